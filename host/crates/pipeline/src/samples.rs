//! What tests read and write: the connectors of the host itself.

use weir_connector::Registry;

/// In the order of the host.
pub(crate) const CONNECTORS: Registry = Registry::new(&[weir_local::CONNECTORS, weir_kafka::CONNECTORS]);
