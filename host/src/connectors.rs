//! Every connector that this host has.

use weir_connector::Registry;

/// A row each: the whole of what is to be done for a connector outside its own crate.
pub const CONNECTORS: Registry = Registry::new(&[weir_local::CONNECTORS, weir_kafka::CONNECTORS]);
