//! The session that a handshake asks for: two headers, or two members of the query.
//!
//! One that cannot be read is none: the client learns it from the session that it gets.

use super::credential::percent_decoded;
use super::head::Head;
use crate::base::Secret;

/// Bytes of a session's id, and of its secret.
const BYTES: usize = 128;

/// A session that a handshake asks for.
#[derive(Clone, Debug)]
pub struct ResumeClaim {
    /// Its id.
    pub session: Box<str>,
    /// What proves that it is the client's.
    pub secret: Secret,
}

/// Reads `Hydrogen-Session` and `Hydrogen-Secret`, or else `session` and `secret` in the query,
/// where the query may hold what is secret.
pub fn resume_claim(head: &Head, query_allowed: bool) -> Option<ResumeClaim> {
    let header = |name: &str| {
        let value = head.headers.once(name).ok()??;
        std::str::from_utf8(value).ok().map(str::to_owned)
    };
    let in_query = |name: &str| {
        let query = head.query.as_deref().filter(|_| query_allowed)?;
        let mut values = query.split('&').filter_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        percent_decoded(values.next()?)
    };
    let session = header("hydrogen-session").or_else(|| in_query("session"))?;
    let secret = header("hydrogen-secret").or_else(|| in_query("secret"))?;
    let is_good = |text: &str| (1..=BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    (is_good(&session) && is_good(&secret))
        .then(|| ResumeClaim { session: session.into(), secret: Secret::new(secret) })
}

#[cfg(test)]
mod tests {
    use super::super::{HeadLimits, parse_head};
    use super::*;

    fn claim(target: &str, headers: &str, query_allowed: bool) -> Option<(String, String)> {
        let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        let head = parse_head(text.as_bytes(), &HeadLimits::default()).unwrap();
        let claim = resume_claim(&head, query_allowed)?;
        Some((claim.session.to_string(), claim.secret.expose().to_owned()))
    }

    #[test]
    fn a_session_is_named_by_headers_or_by_the_query() {
        let found = Some(("1f.ab".to_owned(), "s-1".to_owned()));
        let headers = "Hydrogen-Session: 1f.ab\r\nHydrogen-Secret: s-1\r\n";
        assert_eq!(claim("/", headers, false), found);
        assert_eq!(claim("/?session=1f.ab&secret=s-1", "", true), found);
        assert_eq!(claim("/?key=x&secret=s%2D1&session=1f.ab", "", true), found);
        assert_eq!(claim("/?session=1f.ab&secret=s-1", "", false), None);
        assert_eq!(claim("/?session=1f.ab", "", true), None);
        assert_eq!(claim("/?session=&secret=s-1", "", true), None);
        assert_eq!(claim(&format!("/?session={}&secret=s", "a".repeat(129)), "", true), None);
        assert_eq!(claim("/", "", true), None);
    }
}
