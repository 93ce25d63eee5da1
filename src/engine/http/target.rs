//! Request targets (RFC 9112 section 3.2) and `Host` (RFC 9110 section 7.2).
//!
//! Paths stay as they were sent: nothing is decoded, merged or resolved here.

use std::net::Ipv6Addr;

use super::method::Method;
use super::refusal::Refusal;

/// A request target, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// From the first slash on; `*` for `OPTIONS *`; empty for CONNECT.
    pub path: &'a str,
    /// What stands after the first question mark.
    pub query: Option<&'a str>,
    /// Host and port of an absolute or CONNECT target.
    pub authority: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Checks and takes apart the second word of a request line.
    pub fn parse(method: Method, text: &'a str) -> Result<Target<'a>, Refusal> {
        // RFC 3986: a URI is visible ASCII; the rest must be percent-encoded.
        if !text.bytes().all(|b| matches!(b, b'!'..=b'~')) {
            return Err(Refusal::Target);
        }
        if method == Method::Connect {
            // RFC 9112 3.2.3: CONNECT names a host and a port, and nothing else does.
            return match is_host(text, true) {
                true => Ok(Target { path: "", query: None, authority: Some(text) }),
                false => Err(Refusal::Target),
            };
        }
        // RFC 9112 3.2.4: the asterisk is for OPTIONS alone.
        if text == "*" && method == Method::Options {
            return Ok(Target { path: "*", query: None, authority: None });
        }
        // A fragment is the client's own and should not be here; it never takes part in routing.
        let text = text.split('#').next().unwrap_or(text);
        if text.starts_with('/') {
            let (path, query) = split_query(text);
            return Ok(Target { path, query, authority: None });
        }
        absolute(text).ok_or(Refusal::Target)
    }
}

/// RFC 9112 3.2.2: servers accept the absolute form, and its host wins over `Host`.
fn absolute(text: &str) -> Option<Target<'_>> {
    let (scheme, rest) = text.split_once("://")?;
    if !["http", "https", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return None;
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) if user.bytes().all(is_userinfo) => host,
        Some(_) => return None,
        None => authority,
    };
    if !is_host(authority, false) {
        return None;
    }
    let (path, query) = split_query(rest);
    Some(Target { path: if path.is_empty() { "/" } else { path }, query, authority: Some(authority) })
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    }
}

/// `uri-host [ ":" port ]` of RFC 9110 7.2, not empty; with `port_needed` the port must be there.
pub(super) fn is_host(text: &str, port_needed: bool) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else { return false };
            if address.parse::<Ipv6Addr>().is_err() {
                return false;
            }
            match port.strip_prefix(':') {
                Some(port) => (None, Some(port)),
                None if port.is_empty() => (None, None),
                None => return false,
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        },
    };
    let port_is_valid = match port {
        Some("") => !port_needed,
        Some(port) => port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok(),
        None => !port_needed,
    };
    port_is_valid && host.is_none_or(|host| !host.is_empty() && is_reg_name(host.as_bytes()))
}

/// `reg-name` of RFC 3986 3.2.2.
fn is_reg_name(mut name: &[u8]) -> bool {
    while let [b, rest @ ..] = name {
        name = match (b, rest) {
            (b'%', [high, low, rest @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            (b, rest) if is_unreserved_or_sub_delim(*b) => rest,
            _ => return false,
        };
    }
    true
}

fn is_userinfo(b: u8) -> bool {
    is_unreserved_or_sub_delim(b) || b == b':' || b == b'%'
}

fn is_unreserved_or_sub_delim(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_taken_apart_by_form() {
        for (method, text, path, query, authority) in [
            (Method::Get, "/", "/", None, None),
            (Method::Get, "/a?b=c?d", "/a", Some("b=c?d"), None),
            (Method::Get, "/a?", "/a", Some(""), None),
            (Method::Get, "///slashes", "///slashes", None, None),
            (Method::Get, "/a?q#part?x", "/a", Some("q"), None),
            (Method::Get, "http://h", "/", None, Some("h")),
            (Method::Get, "WS://h:80?key=a", "/", Some("key=a"), Some("h:80")),
            (Method::Get, "http://u:p@h:8080/f?q=1", "/f", Some("q=1"), Some("h:8080")),
            (Method::Get, "http://[::1]:8080/f", "/f", None, Some("[::1]:8080")),
            (Method::Options, "*", "*", None, None),
            (Method::Connect, "h:443", "", None, Some("h:443")),
            (Method::Connect, "[::1]:443", "", None, Some("[::1]:443")),
        ] {
            assert_eq!(Target::parse(method, text), Ok(Target { path, query, authority }), "{text}");
        }
    }

    #[test]
    fn targets_of_the_wrong_form_are_refused() {
        for (method, text) in [
            (Method::Get, "*"),
            (Method::Get, "foo/bar"),
            (Method::Get, "h:443"),
            (Method::Get, "s://]ufd/:"),
            (Method::Get, "ftp://h/"),
            (Method::Get, "http://"),
            (Method::Get, "http:///x"),
            (Method::Get, "http://a b/"),
            (Method::Get, "http://u[@h/"),
            (Method::Get, "#"),
            (Method::Get, "?a"),
            (Method::Get, "/\u{e9}"),
            (Method::Get, "/\u{7f}"),
            (Method::Options, "**"),
            (Method::Connect, "/"),
            (Method::Connect, "h"),
            (Method::Connect, "h:"),
            (Method::Connect, "h:99999"),
        ] {
            assert_eq!(Target::parse(method, text), Err(Refusal::Target), "{text}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses_with_a_port() {
        for good in ["a", "a:", "a:1", "0.0.0.0=5000", "a,b", "a_b.c", "[::1]", "[::1]:65535", "%41b"] {
            assert!(is_host(good, false), "{good}");
        }
        for bad in ["", ":80", "a:b", "a:65536", "a:1:2", "a b", "a/b", "a@b", "[::1", "[x]", "[::1]80", "%4", "ü"] {
            assert!(!is_host(bad, false), "{bad}");
        }
    }
}
