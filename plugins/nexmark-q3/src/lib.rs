//! `nexmark-q3`: the join of the query q3 of Nexmark. Its key is the number of a person, who comes as `{"name":..,"city":..,
//! "state":..}` and has auctions that come as `{"auction":..}` (`nexmark` with `{ "query": "q3" }` sends them so). Each pair goes
//! out once both are there, with the time of the later: `{"name":..,"city":..,"state":..,"auction":..}`.

use std::io::Write;

use serde::{Deserialize, Serialize};
use weir_sdk::{Context, Description, Failure, Json, ListTable, NoConfig, Operator, Record, ValueTable, json};

/// Of each key, the person.
const PERSON: ValueTable<Json<Half>> = ValueTable::new("person");
/// And the auctions that wait for one.
const WAITING: ListTable<Json<Half>> = ListTable::new("waiting");

/// A side of the join: its time, and the fields that it has in the output.
#[derive(Serialize, Deserialize)]
struct Half {
    at_ms: Option<i64>,
    fields: String,
}

/// The operator.
pub struct Sellers;

impl Operator for Sellers {
    type Config = NoConfig;

    fn describe() -> Description {
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).table(PERSON).table(WAITING)
    }

    fn open(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let value = record.value().unwrap_or_default();
        let at_ms = record.timestamp();
        let names = ["name", "city", "state", "auction"];
        match json::pick(value, names)? {
            [Some(name), Some(city), Some(state), None] => {
                let fields = format!(r#""name":{name},"city":{city},"state":{state}"#);
                let person = Half { at_ms, fields };
                for Json(auction) in ctx.list(WAITING).all()? {
                    put(&person, &auction, record, ctx)?;
                }
                ctx.list(WAITING).clear()?;
                ctx.value(PERSON).set(&Json(person))
            }
            [None, None, None, Some(auction)] => {
                let auction = Half { at_ms, fields: format!(r#""auction":{auction}"#) };
                match ctx.value(PERSON).get()? {
                    Some(Json(person)) => put(&person, &auction, record, ctx),
                    None => ctx.list(WAITING).push(&Json(auction)),
                }
            }
            _ => Err(Failure::new("neither a person with name, city and state nor an auction")),
        }
    }
}

fn put(person: &Half, auction: &Half, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
    let pair = record.with_timestamp(person.at_ms.max(auction.at_ms));
    let mut written = Ok(());
    ctx.emit_with(pair, |out| written = write!(out, "{{{},{}}}", person.fields, auction.fields));
    Ok(written?)
}

weir_sdk::operator!(Sellers);
