//! What a user wrote of a node: read into the connector's own type, not checked yet.

use std::any::Any;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use toml::de::ValueDeserializer;

use crate::row::Connector;

/// What a user wrote for a connector, in the connector's own type. Only the connector itself looks inside.
pub trait Settings: Any + Debug + Send + Sync {
    /// The same with every relative path made relative to `folder`; `None` where there is no path.
    fn rebased(&self, folder: &Path) -> Option<Arc<dyn Settings>> {
        let _no_path = folder;
        None
    }
}

impl dyn Settings {
    /// The settings as what they are; `None` where they are another's.
    pub fn of<T: Settings>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }
}

/// Which connector a node is of, and what was written for it.
#[derive(Debug, Clone)]
pub struct Written {
    /// The connector.
    pub connector: &'static Connector,
    /// The key of its table in the file.
    pub key: &'static str,
    /// What was written.
    pub settings: Arc<dyn Settings>,
}

/// Reads a table of a file into the settings `T`.
pub fn table<T: Settings + DeserializeOwned>(
    value: ValueDeserializer<'_>,
) -> Result<Arc<dyn Settings>, toml::de::Error> {
    Ok(Arc::new(T::deserialize(value)?))
}
