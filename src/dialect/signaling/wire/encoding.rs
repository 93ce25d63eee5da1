//! How a payload lies in its envelope: four ways in, and the same four out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::engine::ws::FrameBuilder;

/// How a payload lies in its envelope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dialect::signaling) enum Encoding {
    /// A string: standard base64, padded, of the JSON.
    #[default]
    Base64,
    /// A string that holds the JSON as it is.
    Text,
    /// The JSON object itself.
    Object,
    /// An array of the JSON's bytes, as numbers.
    Bytes,
}

/// A whole message as a text frame. It ends with a line break, as the original's do.
pub(in crate::dialect::signaling) fn frame(id: &str, kind: &str, payload: &str, encoding: Encoding) -> Bytes {
    let size = match encoding {
        Encoding::Base64 => payload.len().div_ceil(3) * 4,
        Encoding::Text => payload.len() + payload.len() / 4,
        Encoding::Object => payload.len(),
        Encoding::Bytes => payload.len() * 4,
    };
    let mut out = FrameBuilder::with_capacity(size + id.len() + kind.len() + 64);
    out.extend_from_slice(b"{\"message_id\":");
    string(&mut out, id);
    out.extend_from_slice(b",\"type\":");
    string(&mut out, kind);
    out.extend_from_slice(b",\"payload\":");
    match encoding {
        Encoding::Base64 => {
            let mut text = String::with_capacity(size);
            STANDARD.encode_string(payload, &mut text);
            out.push(b'"');
            out.extend_from_slice(text.as_bytes());
            out.push(b'"');
        }
        Encoding::Text => string(&mut out, payload),
        Encoding::Object => out.extend_from_slice(payload.as_bytes()),
        // Writing to a Vec cannot fail, and numbers always encode.
        Encoding::Bytes => drop(serde_json::to_writer(&mut *out, payload.as_bytes())),
    }
    out.extend_from_slice(b"}\n");
    out.finish_text()
}

fn string(out: &mut Vec<u8>, text: &str) {
    // Writing to a Vec cannot fail, and a str always encodes.
    let _ = serde_json::to_writer(out, text);
}
