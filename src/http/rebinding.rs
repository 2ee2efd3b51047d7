//! Pages for whoever is at this machine are shown under the server's own names only.
//!
//! The owner of another site can have its name lead here (DNS rebinding). For a browser, pages of that site and pages of
//! this server are then of one origin, and the ones read the others. The browser still says in each request under which
//! name it looks for the server.

use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use url::{Host, Url};

use super::{State, mailbox, page};

/// Lets a request for the mailbox through that is made to a loopback address or to the configured one, and answers
/// others with 421 (RFC 9110, 15.5.20). Where there is no mailbox every request goes through, to be told so.
pub async fn own_names_only(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    let public = &state.server.services().config.public_url;
    if mailbox::mailbox(&state).is_none() || is_to_us(request.uri(), request.headers(), public) {
        return next.run(request).await;
    }
    let text = format!(
        "The mailbox is shown at localhost and at the server's own address, which is {public}, so that no other \
         site can read it under a name that leads here. Nothing was done. If you come here by a name that is \
         right, set BURSAR_PUBLIC_URL to it."
    );
    page::message(StatusCode::MISDIRECTED_REQUEST, "Not under this name", &text)
}

/// Whether a request says to whom it is made, and everything that it says about that means this server.
fn is_to_us(target: &Uri, headers: &HeaderMap, public: &Url) -> bool {
    let hosts = headers.get_all(header::HOST).iter().map(|value| value.to_str().unwrap_or_default());
    // A target with a server in it says it too, as `:authority` would.
    let mut said = hosts.chain(target.authority().map(Authority::as_str)).peekable();
    said.peek().is_some() && said.all(|authority| is_ours(authority, public))
}

/// Whether an authority, a name and perhaps a port, is one of this server's. Ports do not matter: names are rebound.
fn is_ours(authority: &str, public: &Url) -> bool {
    let named = authority.parse::<Authority>().ok().filter(|_| !authority.contains('@'));
    let Some(Ok(host)) = named.map(|authority| Host::parse(authority.host())) else { return false };
    let is_loopback = match &host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
    };
    is_loopback || public.host().is_some_and(|own| own.to_owned() == host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn to_us(target: &str, hosts: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, HeaderValue::from_str(host).unwrap());
        }
        is_to_us(&target.parse().unwrap(), &headers, &"https://credits.test/at".parse().unwrap())
    }

    #[test]
    fn this_machine_and_the_configured_name_are_ours() {
        for host in [
            "localhost",
            "LocalHost:8080",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.200.3.4:8080",
            "[::1]",
            "[::1]:8080",
            "credits.test",
            "Credits.TEST:8443",
        ] {
            assert!(to_us("/mailbox", &[host]), "{host}");
            assert!(to_us(&format!("http://{host}/mailbox"), &[host]), "{host}");
        }
    }

    #[test]
    fn other_names_are_not() {
        for host in [
            "",
            ":8080",
            "evil.test",
            "evil.test:8080",
            "localhost.evil.test",
            "127.0.0.1.evil.test",
            "credits.test.evil.test",
            "notcredits.test",
            "localhost@evil.test",
            "evil@localhost",
            "evil.test/localhost",
            "evil.test#localhost",
            "192.0.2.1",
            "[2001:db8::1]",
            "0.0.0.0",
            "localhost evil.test",
        ] {
            assert!(!to_us("/mailbox", &[host]), "{host}");
        }
        // Everything that is said has to be right, and something has to be said.
        assert!(!to_us("/mailbox", &[]));
        assert!(!to_us("/mailbox", &["localhost", "evil.test"]));
        assert!(!to_us("http://evil.test/mailbox", &["localhost"]));
        assert!(!to_us("http://localhost/mailbox", &["evil.test"]));
    }
}
