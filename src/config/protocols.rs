//! `Protocols`: the names under which clients ask for the main dialect.

use super::reader::Reader;
use super::text::open;

/// Names that one dialect needs.
const PROTOCOLS: usize = 16;

/// The subprotocol of the echo dialect.
pub(super) const ECHO: &str = "echo";

pub(super) fn read(r: &mut Reader<'_, '_>) -> Vec<String> {
    let names = r.list(
        "Protocols",
        (&["hydrogen-protocol", "hydrogen"], PROTOCOLS),
        &open("a subprotocol's name, like \"hydrogen\""),
        "Names of the WebSocket subprotocol. A client offers one of them, and the one chosen is echoed.",
        parse_protocol,
    );
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            r.error_at("Protocols", "Protocols", format!("\"{name}\" stands twice"));
        }
    }
    if names.is_empty() {
        r.error_at("Protocols", "Protocols", "one name is needed at least");
    }
    names
}

/// RFC 6455, section 4.1: a subprotocol is a token of HTTP.
pub(super) fn parse_protocol(text: &str) -> Result<String, String> {
    let is_token = (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    if !is_token {
        return Err(String::new());
    }
    if text.starts_with("key.") {
        return Err("`key.` begins a credential".into());
    }
    Ok(text.to_owned())
}
