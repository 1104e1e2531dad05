//! Which `Host` a request may name. A page in a browser can make a name of its own point to this machine (DNS
//! rebinding) and then read what the API shows; but its requests name that name. Numbers cannot be made to point
//! anywhere, so they are always fine.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

/// The hosts that requests may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// Any: the API is open to the network, under names that only the network knows.
    Any,
    /// Those of this machine, and the one that the user gave.
    Local(Arc<str>),
}

impl Hosts {
    /// For an API that listens at `address`, which the user called `given`.
    pub fn of(address: SocketAddr, given: &str) -> Self {
        if address.ip().is_loopback() { Self::Local(given.into()) } else { Self::Any }
    }

    /// A request without a `Host` is of no browser.
    fn allow(&self, headers: &HeaderMap) -> bool {
        let Self::Local(given) = self else { return true };
        headers.get_all(header::HOST).iter().all(|host| host.to_str().is_ok_and(|host| is_local(host, given)))
    }
}

fn is_local(host: &str, given: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let is_number = name.parse::<IpAddr>().is_ok()
        || name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).is_some_and(|n| n.parse::<Ipv6Addr>().is_ok());
    let name = name.to_ascii_lowercase();
    is_number || name == "localhost" || name.ends_with(".localhost") || name.eq_ignore_ascii_case(given)
}

/// Refuses what names another host.
pub(crate) async fn check(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    if hosts.allow(request.headers()) {
        return next.run(request).await;
    }
    let text = "this API listens on this machine only and answers to localhost, to numbers and to the host of --api\n";
    (StatusCode::FORBIDDEN, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(hosts: &Hosts, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        hosts.allow(&headers)
    }

    #[test]
    fn a_name_of_somebody_else_is_refused_on_loopback() {
        let local = Hosts::of("127.0.0.1:7070".parse().unwrap(), "Box.example");
        for (host, wanted) in [
            ("localhost", true),
            ("LOCALHOST:7070", true),
            ("weir.localhost:1", true),
            ("127.0.0.1:7070", true),
            ("127.9.9.9", true),
            ("[::1]:7070", true),
            ("[::1]", true),
            ("box.example:7070", true),
            ("evil.example", false),
            ("evil.example:7070", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("[evil]", false),
            ("", false),
        ] {
            assert_eq!(allows(&local, host), wanted, "{host:?}");
        }
        assert!(local.allow(&HeaderMap::new()));
    }

    #[test]
    fn an_api_for_the_network_has_names_that_only_the_network_knows() {
        for address in ["0.0.0.0:7070", "[::]:7070", "10.1.2.3:7070"] {
            assert!(allows(&Hosts::of(address.parse().unwrap(), "0.0.0.0"), "weir.internal"), "{address}");
        }
    }
}
