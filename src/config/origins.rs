//! `AllowedOrigins`: the pages whose scripts may connect.

use super::reader::Reader;
use super::text::open;

/// More origins than one site has; a longer list is a mistake.
const ORIGINS: usize = 256;

/// Which `Origin` headers are let in. A request without one comes from a program, and is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// All.
    Any,
    /// Those whose host and port are the request's own `Host`.
    SameHost,
    /// These: lower-case, `scheme://host[:port]` or `null`.
    Listed(Vec<String>),
}

pub(super) fn read(r: &mut Reader<'_, '_>) -> Origins {
    let listed = r.list(
        "AllowedOrigins",
        (&["*"], ORIGINS),
        &open("an origin like \"https://example.org:8443\", or \"*\""),
        "Pages whose scripts may connect, by their `Origin`: these alone. `\"*\"`: all. Empty: those that come from the \
         same host and port. Programs send no `Origin` and are not held by this.",
        parse_origin,
    );
    if listed.iter().any(|origin| origin == "*") {
        Origins::Any
    } else if listed.is_empty() {
        Origins::SameHost
    } else {
        Origins::Listed(listed)
    }
}

/// RFC 6454, section 6.2: scheme, `://`, host, and the port if it is not the scheme's own.
fn parse_origin(text: &str) -> Result<String, String> {
    let origin = text.to_ascii_lowercase();
    if origin == "*" || origin == "null" {
        return Ok(origin);
    }
    let Some((scheme, host)) = origin.split_once("://") else { return Err("its scheme is missing".into()) };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if !is_scheme {
        return Err("its scheme is none".into());
    }
    if host.contains(['/', '?', '#']) {
        return Err("it ends with the host and port, without a path".into());
    }
    if host.is_empty() || !host.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'@' | b'*' | b'"')) {
        return Err("its host is none".into());
    }
    let own_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    // Browsers leave the scheme's own port out.
    Ok(match origin.strip_suffix(own_port) {
        Some(without) if !own_port.is_empty() => without.to_owned(),
        _ => origin,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_brought_to_the_form_that_browsers_send() {
        for (text, expected) in [
            ("*", "*"),
            ("null", "null"),
            ("https://Example.org", "https://example.org"),
            ("https://example.org:443", "https://example.org"),
            ("http://example.org:443", "http://example.org:443"),
            ("http://[::1]:80", "http://[::1]"),
            ("app://x", "app://x"),
        ] {
            assert_eq!(parse_origin(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_no_browser_sends_is_refused() {
        for (text, reason) in [
            ("example.org", "its scheme is missing"),
            ("https://example.org/", "it ends with the host and port, without a path"),
            ("https://", "its host is none"),
            ("https://*.example.org", "its host is none"),
            ("1://x", "its scheme is none"),
        ] {
            assert_eq!(parse_origin(text), Err(reason.into()), "{text}");
        }
    }
}
