//! Who may change the job. Everybody may look at it who reaches the API.

use std::net::SocketAddr;

use axum::http::{HeaderMap, header};
use constant_time_eq::constant_time_eq;
use weir_core::Secret;

use crate::Error;
use crate::gate::Refused;

/// Who may change the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Whoever reaches the API: it listens on this machine only.
    Machine,
    /// Nobody: on the network nobody is known.
    Nobody,
    /// Whoever knows the token.
    Token(Secret),
}

impl Access {
    /// To an API that listens at `address`. `is_plaintext`: the token may cross the network in clear.
    ///
    /// # Errors
    /// Where it would, and nobody has said that it may; and where it may, and there is none.
    pub fn of(address: SocketAddr, token: Option<Secret>, is_plaintext: bool) -> Result<Self, Error> {
        let is_local = address.ip().is_loopback();
        match token {
            Some(_) if !is_local && !is_plaintext => Err(Error::Clear(address)),
            Some(token) => Ok(Self::Token(token)),
            None if is_plaintext => Err(Error::NoToken),
            None if is_local => Ok(Self::Machine),
            None => Ok(Self::Nobody),
        }
    }

    /// Whether a request with these headers may change anything.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Refused> {
        match self {
            Self::Machine => Ok(()),
            Self::Nobody => Err(Refused::ReadOnly),
            Self::Token(token) => match given(headers) {
                // How long it takes says nothing of where they differ.
                Some(given) if constant_time_eq(given, token.expose().as_bytes()) => Ok(()),
                Some(_) => Err(Refused::WrongToken),
                None => Err(Refused::NoToken),
            },
        }
    }

    /// By what it lets changes in, for the log.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Nobody => "nobody",
            Self::Token(_) => "token",
        }
    }
}

/// The token that is given; of several none is.
fn given(headers: &HeaderMap) -> Option<&[u8]> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (given.next(), given.next()) else { return None };
    let (scheme, token) = only.as_bytes().split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(address: &str, token: Option<&str>, is_plaintext: bool) -> Result<Access, Error> {
        Access::of(address.parse().unwrap(), token.map(Secret::new), is_plaintext)
    }

    #[test]
    fn a_token_crosses_no_network_in_clear_unless_somebody_says_so() {
        for (address, token, is_plaintext, wanted) in [
            ("127.0.0.1:1", None, false, Ok(Access::Machine)),
            ("[::1]:1", Some("t"), false, Ok(Access::Token(Secret::new("t")))),
            ("0.0.0.0:1", None, false, Ok(Access::Nobody)),
            ("10.1.2.3:1", Some("t"), true, Ok(Access::Token(Secret::new("t")))),
            ("[::]:1", Some("t"), false, Err("--api-plaintext")),
            ("0.0.0.0:1", None, true, Err("there is none")),
            ("127.0.0.1:1", None, true, Err("there is none")),
        ] {
            match (access(address, token, is_plaintext), wanted) {
                (Ok(access), Ok(wanted)) => assert_eq!(access, wanted, "{address}"),
                (Err(error), Err(wanted)) => assert!(error.to_string().contains(wanted), "{address}: {error}"),
                (found, wanted) => panic!("{address}: {found:?}, not {wanted:?}"),
            }
        }
    }

    #[test]
    fn only_the_token_lets_in() {
        let access = access("127.0.0.1:1", Some("correct-horse-battery"), false).unwrap();
        for (given, wanted) in [
            (&["Bearer correct-horse-battery"][..], Ok(())),
            (&["bearer correct-horse-battery"], Ok(())),
            (&["Bearer correct-horse-batterz"], Err(Refused::WrongToken)),
            (&["Bearer correct-horse"], Err(Refused::WrongToken)),
            (&["Bearer correct-horse-battery-staple"], Err(Refused::WrongToken)),
            (&["Bearer "], Err(Refused::WrongToken)),
            (&["Bearer"], Err(Refused::NoToken)),
            (&["Basic correct-horse-battery"], Err(Refused::NoToken)),
            (&["Bearer x", "Bearer correct-horse-battery"], Err(Refused::NoToken)),
            (&[], Err(Refused::NoToken)),
        ] {
            let mut headers = HeaderMap::new();
            for value in given {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            assert_eq!(access.check(&headers), wanted, "{given:?}");
        }
    }
}
