//! What the API is, for programs: an OpenAPI document. It is written by hand, and held to the routes and to the types of
//! [`crate::model`] by the tests below, both ways.

use axum::http::header;
use axum::response::{IntoResponse as _, Response};

/// Where it is served.
pub(crate) const PATH: &str = "/v1/openapi.json";

const DOCUMENT: &str = include_str!("openapi.json");

pub(crate) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::{Value, json};

    use super::*;
    use crate::model::{
        Job, Operator, Plugin, Refusal, RefusalKind, Sink, Split, Standing, State, Swapped, Turn, Waiting,
    };

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    fn keys(value: &Value) -> BTreeSet<&str> {
        value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
    }

    /// Every route is a line `.route("PATH", get(..` or `post(..`.
    fn routes() -> BTreeSet<(String, &'static str)> {
        let sources = [include_str!("routes.rs"), include_str!("control.rs")];
        let lines = sources.into_iter().flat_map(str::lines).filter_map(|line| line.split_once(".route("));
        let route = |(_, said): (&str, &'static str)| {
            let (path, method) = said.split_once(", ").unwrap();
            let path = if path == "openapi::PATH" { PATH } else { path.trim_matches('"') };
            let method = ["get", "post"].into_iter().find(|name| method.starts_with(&format!("{name}(")));
            (path.to_owned(), method.unwrap_or("?"))
        };
        lines.map(route).collect()
    }

    #[test]
    fn the_document_has_the_routes_and_no_others() {
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        let written =
            paths.iter().flat_map(|(path, methods)| keys(methods).into_iter().map(move |method| (path, method)));
        let written: BTreeSet<(String, &str)> = written.map(|(path, method)| (path.clone(), method)).collect();
        let routes: BTreeSet<(String, &str)> = routes();
        assert!(routes.len() >= 12, "{routes:?}");
        assert_eq!(written, routes);
    }

    /// A job with one of everything.
    fn job() -> Job {
        let plugin = Plugin { name: "p".into(), version: "1".into(), digest: "d".into() };
        let operator = Operator { name: "o".into(), parallelism: 1, plugin, state_bytes: 1, watermark_ms: Some(1) };
        let split = Split {
            source: "s".into(),
            topic: "t".into(),
            partition: 0,
            position: 1,
            end: Some(1),
            lag: Some(1),
            watermark_ms: Some(1),
            idle: true,
        };
        Job {
            job: "j".into(),
            shard: 0,
            state: State::Running,
            delivery: "none".into(),
            epoch: 1,
            attempt: None,
            restarts: 1,
            last_error: None,
            next_attempt: None,
            waiting: Some(Waiting { what: "w".into(), seconds: 1.0, patient: true }),
            operators: vec![operator],
            splits: vec![split],
            sinks: vec![Sink { topic: "t".into(), records: 1 }],
            plan: None,
        }
    }

    /// One of each type, by name.
    fn samples() -> BTreeMap<&'static str, Value> {
        let job = job();
        let plugin = &job.operators[0].plugin;
        let turn = Turn { epoch: 1, at_ms: 1, from: plugin.clone(), to: plugin.clone(), failure: None };
        let swapped = Swapped { plugin: plugin.clone(), epoch: Some(1), paused_ms: Some(1.0), took_ms: None };
        BTreeMap::from([
            ("Waiting", json!(job.waiting)),
            ("Operator", json!(job.operators[0])),
            ("Plugin", json!(plugin)),
            ("Split", json!(job.splits[0])),
            ("Sink", json!(job.sinks[0])),
            ("Standing", json!(Standing { state: State::Paused, epoch: 1 })),
            ("Swapped", json!(swapped)),
            ("Turn", json!(turn)),
            ("Refusal", json!(Refusal::new(RefusalKind::State, "e"))),
            ("Job", json!(job)),
        ])
    }

    #[test]
    fn the_document_has_the_fields_and_no_others() {
        let samples = samples();
        let document = document();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let objects = schemas.iter().filter(|(_, schema)| schema["type"] == "object");
        assert_eq!(
            objects.map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            samples.keys().copied().collect::<Vec<_>>()
        );
        for (name, sample) in &samples {
            let properties = &schemas[*name]["properties"];
            assert_eq!(keys(properties), keys(sample), "{name}");
            let required = schemas[*name]["required"].as_array().unwrap();
            assert_eq!(required.iter().filter_map(Value::as_str).collect::<BTreeSet<_>>(), keys(sample), "{name}");
            for (field, value) in sample.as_object().unwrap() {
                let said = &properties[field];
                assert!(fits(value, said), "{name}.{field} is {value}, and the document says {said}");
            }
        }
    }

    /// Whether the document lets it be; what it refers to is looked at for itself.
    fn fits(value: &Value, said: &Value) -> bool {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let kinds = &said["type"];
        said["$ref"].is_string()
            || said["oneOf"].is_array()
            || *kinds == kind
            || kinds.as_array().is_some_and(|kinds| kinds.contains(&kind.into()))
    }

    #[test]
    fn every_word_of_a_choice_is_in_the_document() {
        let document = document();
        let states = [
            State::Starting,
            State::Running,
            State::Paused,
            State::Recovering,
            State::Stopping,
            State::Finished,
            State::Failed,
        ];
        assert_eq!(document["components"]["schemas"]["State"]["enum"], json!(states));
        assert_eq!(json!(states), json!(states.map(State::word)));
        let kinds = [
            RefusalKind::Unknown,
            RefusalKind::Unfit,
            RefusalKind::State,
            RefusalKind::Conflict,
            RefusalKind::Busy,
            RefusalKind::Failed,
        ];
        assert_eq!(document["components"]["schemas"]["Refusal"]["properties"]["kind"]["enum"], json!(kinds));
    }

    #[test]
    fn what_is_referred_to_is_there() {
        let document = document();
        let references = DOCUMENT.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next());
        let names: BTreeSet<&str> = references.collect();
        // A job is asked for by its own path; all others by one or by a job.
        assert_eq!(names, keys(&document["components"]["schemas"]));
    }
}
