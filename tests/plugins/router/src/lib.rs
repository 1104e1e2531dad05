//! `router`: sends each record where its value says, `TOPIC` or `TOPIC/PARTITION`; an empty value asks for nothing.

use weir_sdk::{Context, Description, Failure, HeaderList, NoConfig, Operator, Record};

/// The operator.
pub struct Router;

impl Operator for Router {
    type Config = NoConfig;

    fn describe() -> Description {
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).with_routes()
    }

    fn open(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let value = String::from_utf8_lossy(record.value().unwrap_or_default());
        let (topic, partition) = value.split_once('/').map_or((&*value, None), |(topic, at)| (topic, Some(at)));
        let mut headers: HeaderList = record.headers().collect();
        if !topic.is_empty() {
            headers.push("weir.route.topic", Some(topic.as_bytes()));
        }
        if let Some(partition) = partition {
            headers.push("weir.route.partition", Some(partition.as_bytes()));
        }
        ctx.emit(record.with_headers(&headers));
        Ok(())
    }
}

weir_sdk::operator!(Router);
