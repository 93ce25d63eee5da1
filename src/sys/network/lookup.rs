//! Looking host names up, with the system's resolver. It blocks: for lookup threads alone.

use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};

use super::Family;
use crate::base::{Code, Error};

/// Bytes of a host name, RFC 1035 section 2.3.4, without the dot that may end it.
pub(super) const NAME_BYTES: usize = 253;
/// Bytes of one label, RFC 1035 section 2.3.4.
const LABEL_BYTES: usize = 63;
/// Addresses that one answer lists.
const ADDRESSES: usize = 64;

/// Why a text is no host name; `None` if it is one, or an address.
pub(super) fn why_no_name(name: &str) -> Option<&'static str> {
    if name.parse::<IpAddr>().is_ok() {
        return None;
    }
    let labels = name.strip_suffix('.').unwrap_or(name);
    if labels.is_empty() {
        return Some("it is empty");
    }
    if labels.len() > NAME_BYTES {
        return Some("it is longer than 253 bytes");
    }
    if !labels.is_ascii() {
        return Some("it has letters beyond ASCII: write it in its xn-- form");
    }
    labels.split('.').find_map(why_no_label)
}

fn why_no_label(label: &str) -> Option<&'static str> {
    // RFC 1123 section 2.1 lets a label begin with a digit. The underscore is in no host name, but
    // in names of services that have addresses all the same.
    if label.is_empty() || label.len() > LABEL_BYTES {
        Some("between its dots stand 1 to 63 characters")
    } else if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        Some("it consists of letters, digits, hyphens, underscores and dots")
    } else if label.starts_with('-') || label.ends_with('-') {
        Some("no part of it begins or ends with a hyphen")
    } else {
        None
    }
}

/// The addresses of a name, in the resolver's order of preference.
pub(super) fn look_up(name: &str, family: Option<Family>) -> Result<Vec<IpAddr>, Error> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for found in (name, 0).to_socket_addrs().map_err(|error| failure(&error))? {
        let address = found.ip();
        let is_wanted = family.is_none_or(|family| family == Family::of(address));
        if is_wanted && !addresses.contains(&address) && addresses.len() < ADDRESSES {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(Error::new(Code::NotFound, "the name has no address of this family"));
    }
    Ok(addresses)
}

/// The resolver's failures come as text alone, in the words of the C library.
fn failure(error: &io::Error) -> Error {
    let text = error.to_string();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    // EAI_NONAME and EAI_NODATA in glibc, EAI_NONAME in musl.
    let has_no_address = ["not known", "No address associated", "does not resolve", "no usable address"];
    if has_no_address.iter().any(|words| text.contains(words)) {
        return Error::new(Code::NotFound, "no such name, or it has no address");
    }
    Error::new(Code::Unavailable, format!("the name servers gave no answer: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_labels_joined_by_dots() {
        let longest_label = "a".repeat(63);
        let longest = format!("{}{}", format!("{}.", "a".repeat(49)).repeat(5), "bcd");
        assert_eq!(longest.len(), NAME_BYTES);
        let with_dot = format!("{longest}.");
        for good in [
            "localhost",
            "example.org",
            "example.org.",
            "a",
            "3com.example",
            "_sip.example.org",
            "xn--bcher-kva.example",
            "127.0.0.1",
            "::1",
            &longest_label,
            &longest,
            &with_dot,
        ] {
            assert_eq!(why_no_name(good), None, "{good}");
        }
        let too_long = format!("{longest}e");
        let label_too_long = "a".repeat(64);
        for (bad, why) in [
            ("", "empty"),
            (".", "empty"),
            ("a..b", "1 to 63"),
            (".a", "1 to 63"),
            (label_too_long.as_str(), "1 to 63"),
            (too_long.as_str(), "longer than 253"),
            ("-a", "hyphen"),
            ("a-.b", "hyphen"),
            ("a b", "consists of"),
            ("a\0b", "consists of"),
            ("a/b", "consists of"),
            ("[::1]", "consists of"),
            ("bücher.example", "xn--"),
        ] {
            assert!(why_no_name(bad).is_some_and(|text| text.contains(why)), "{bad}: {:?}", why_no_name(bad));
        }
    }

    #[test]
    fn the_resolvers_words_tell_missing_names_from_silent_servers() {
        for (text, code) in [
            ("failed to lookup address information: Name or service not known", Code::NotFound),
            ("failed to lookup address information: No address associated with hostname", Code::NotFound),
            ("failed to lookup address information: Name does not resolve", Code::NotFound),
            ("failed to lookup address information: Temporary failure in name resolution", Code::Unavailable),
            ("failed to lookup address information: Try again", Code::Unavailable),
            ("Too many open files (os error 24)", Code::Unavailable),
        ] {
            let error = failure(&io::Error::other(text));
            assert_eq!(error.code, code, "{text}");
            assert!(!error.message.contains("failed to lookup"), "{error}");
        }
    }

    #[test]
    fn localhost_and_addresses_resolve_without_name_servers() {
        assert!(look_up("localhost", Some(Family::Ipv4)).unwrap().contains(&[127, 0, 0, 1].into()));
        assert_eq!(look_up("192.0.2.7", None).unwrap(), [IpAddr::from([192, 0, 2, 7])]);
        assert_eq!(look_up("192.0.2.7", Some(Family::Ipv6)).unwrap_err().code, Code::NotFound);
    }
}
