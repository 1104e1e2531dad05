//! What `--to` takes: an address, perhaps with the output whose records go there.

use weir_connector::{Error, Registry, Side, Written};

/// Where the records of one output go: `ADDR` (the first output), or `OUTPUT=ADDR`.
#[derive(Debug, Clone)]
pub struct To {
    /// Name of the output, as the plugin has it; `None` is its first one.
    pub output: Option<String>,
    /// Where its records go.
    pub address: Written,
}

impl To {
    /// Reads the words of the flag.
    pub fn parse(text: &str, registry: Registry) -> Result<Self, Error> {
        // No address has a `=` before a `:` or `?`, so the first one tells.
        let (output, address) = match text.split_once('=') {
            Some((output, address)) if !output.contains([':', '?']) => (Some(output.to_owned()), address),
            _ => (None, text),
        };
        if output.as_deref() == Some("") {
            let reason = "OUTPUT=ADDR needs the name of an output".to_owned();
            return Err(Error::Address { address: text.to_owned(), reason });
        }
        Ok(Self { output, address: registry.address(Side::Sink, address)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::CONNECTORS;

    #[test]
    fn an_output_may_be_named() {
        for (text, output, key) in [
            ("late", None, "kafka"),
            ("late=-", Some("late"), "stdout"),
            ("late=file:a=b", Some("late"), "file"),
            ("late=-?format=json", Some("late"), "stdout"),
            ("-?format=json", None, "stdout"),
            ("file:a=b", None, "file"),
        ] {
            let to = To::parse(text, CONNECTORS).unwrap();
            assert_eq!((to.output.as_deref(), to.address.key), (output, key), "{text}");
        }
        for text in ["=x", "late=", "late=a b"] {
            assert!(To::parse(text, CONNECTORS).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_says_of_which_connector_it_is() {
        for (text, wanted) in [
            ("-", "stdin"),
            ("-?separator=:", "stdin"),
            ("file:a:b", "file"),
            ("clicks", "kafka"),
            ("kafka:file", "kafka"),
            ("generate:clicks", "generate"),
        ] {
            assert_eq!(CONNECTORS.address(Side::Source, text).unwrap().key, wanted, "{text}");
        }
        for (side, text, wanted) in [
            (Side::Source, "fil:x", "; did you mean file:?"),
            (Side::Source, "http://x", "may be - or start with file:, generate:"),
            (Side::Source, "", "1 to 249"),
            (Side::Sink, "generate:clicks", "a generator is a source; nothing can be written to it"),
        ] {
            let error = CONNECTORS.address(side, text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?} is not an address: ")) && error.contains(wanted), "{error}");
        }
    }
}
