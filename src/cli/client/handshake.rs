//! The WebSocket upgrade. Done here, over tungstenite's parts, since a refusal's whole body is to
//! be told, and tungstenite reads the part of it that came with the head.

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::Duration;

use serde_json::Value;
use tungstenite::WebSocket;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocketConfig};

use super::MESSAGE_BYTES;
use super::broken::{Broken, Retry, printable};
use super::socket::Stream;
use super::target::Target;
use crate::cli::exit::{Exit, Stop};

/// The name of hydrogen-protocol, as it is offered.
const SUBPROTOCOL: &str = "hydrogen-protocol";

const HEAD_BYTES: usize = 64 * 1024;
const HEADERS: usize = 64;
/// An error with its details is far smaller.
const BODY_BYTES: usize = 64 * 1024;

/// Upgrades the connection. The stream keeps the deadline.
pub(super) fn upgrade(mut stream: Stream, target: &Target) -> Result<WebSocket<Stream>, Broken> {
    let key = generate_key();
    let mut request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\nUser-Agent: hydrogen/{}\r\n",
        target.resource,
        target.authority,
        env!("CARGO_PKG_VERSION"),
    );
    if let Some(authorization) = target.authorization() {
        request.push_str(&format!("Authorization: {authorization}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).and_then(|()| stream.flush())?;
    let (head, rest) = read_head(&mut stream).map_err(|error| no_head(error, target))?;
    if head.status != 101 {
        return Err(refusal(&head, &read_body(&mut stream, &head, rest, BODY_BYTES), &target.to_string()));
    }
    let not_ours = |why: &str| Broken::for_good(Exit::Lost, format_args!("{target}: {why}"));
    // RFC 6455 4.1: the client fails the connection unless the accept key fits.
    if head.field("sec-websocket-accept") != Some(derive_accept_key(key.as_bytes()).as_str()) {
        return Err(not_ours("the answer to the handshake is not of this handshake"));
    }
    if head.field("sec-websocket-extensions").is_some() {
        return Err(not_ours("it chose an extension that was not offered"));
    }
    if head.field("sec-websocket-protocol") != Some(SUBPROTOCOL) {
        return Err(not_ours("it does not speak hydrogen-protocol there"));
    }
    let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES)).max_frame_size(Some(MESSAGE_BYTES));
    Ok(WebSocket::from_partially_read(stream, rest, Role::Client, Some(config)))
}

pub(super) fn no_head(error: std::io::Error, target: &Target) -> Broken {
    match error.kind() {
        ErrorKind::TimedOut => Broken::lost(format_args!("{target} did not answer in time")),
        ErrorKind::UnexpectedEof => Broken::lost(format_args!("{target} hung up before it answered")),
        ErrorKind::InvalidData => Broken::for_good(Exit::Lost, format_args!("{target} does not speak HTTP")),
        _ => error.into(),
    }
}

/// Status and header fields of an answer, names in lower case.
pub(super) struct Head {
    pub(super) status: u16,
    fields: Vec<(String, String)>,
}

impl Head {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Reads up to the head's end; gives what came after it too. The stream keeps the deadline.
pub(super) fn read_head(stream: &mut Stream) -> std::io::Result<(Head, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let len = stream.read(&mut piece)?;
        if len == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&piece[..len]);
        let mut fields = [httparse::EMPTY_HEADER; HEADERS];
        let mut answer = httparse::Response::new(&mut fields);
        match answer.parse(&bytes) {
            Ok(httparse::Status::Complete(end)) => {
                let field = |field: &httparse::Header<'_>| {
                    (field.name.to_ascii_lowercase(), String::from_utf8_lossy(field.value).into_owned())
                };
                let fields = answer.headers.iter().map(field).collect();
                // A complete head has a status.
                let head = Head { status: answer.code.unwrap_or_default(), fields };
                return Ok((head, bytes[end..].to_vec()));
            }
            Ok(httparse::Status::Partial) if bytes.len() <= HEAD_BYTES => {}
            Ok(httparse::Status::Partial) | Err(_) => return Err(ErrorKind::InvalidData.into()),
        }
    }
}

/// As much of the body as comes, until its end, the bound or the deadline.
pub(super) fn read_body(stream: &mut Stream, head: &Head, mut body: Vec<u8>, most: usize) -> Vec<u8> {
    let length = head.field("content-length").and_then(|text| text.trim().parse::<usize>().ok());
    let length = length.unwrap_or(most).min(most);
    let mut piece = [0; 4096];
    while body.len() < length {
        match stream.read(&mut piece) {
            Ok(len) if len > 0 => body.extend_from_slice(&piece[..len]),
            // What has come tells enough.
            Ok(_) | Err(_) => break,
        }
    }
    body.truncate(length);
    body
}

pub(super) fn refusal(head: &Head, body: &[u8], target: &str) -> Broken {
    let text = String::from_utf8_lossy(body);
    let error = serde_json::from_str::<Value>(&text).ok().and_then(|mut body| body.get_mut("error").map(Value::take));
    let said = match &error {
        Some(error) => {
            let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
            format!("{}: {}", printable(part("code")), printable(part("message")))
        }
        None => printable(text.trim()),
    };
    let status = head.status;
    let hint = match status {
        401 => " (the key comes from HYDROGEN_KEY, --key-file or --key)",
        300..=399 => " (redirects are not followed)",
        _ => "",
    };
    let why = format!("{target} refused the connection with {status} {said}{hint}");
    let exit = if matches!(status, 401 | 403 | 429) { Exit::Refused } else { Exit::Lost };
    let asked = || {
        let ms = error.as_ref().and_then(|error| error.get("retry_after_ms")).and_then(Value::as_u64);
        let seconds = || head.field("retry-after").and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        ms.map(Duration::from_millis).or_else(seconds)
    };
    let retry = match status {
        // 408, 429 and 5xx are about now, all others about the request.
        408 | 429 | 500..=599 => asked().map_or(Retry::Later, Retry::After),
        _ => Retry::Never,
    };
    Broken { stop: Stop::new(exit, why), retry }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, fields: &[(&str, &str)], body: &str) -> Broken {
        let fields = fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        refusal(&Head { status, fields }, body.as_bytes(), "ws://h:1")
    }

    #[test]
    fn refusals_decide_on_exit_and_retry_and_tell_the_servers_words() {
        let json = r#"{"error":{"code":"rate_limited","message":"too many","retry_after_ms":1500}}"#;
        for (status, fields, body, exit, retry, part) in [
            (
                401,
                &[][..],
                r#"{"error":{"code":"unauthenticated","message":"no"}}"#,
                Exit::Refused,
                Retry::Never,
                "401 unauthenticated: no",
            ),
            (403, &[], "", Exit::Refused, Retry::Never, "403"),
            (404, &[], "<h1>\x1bnot here", Exit::Lost, Retry::Never, "404 <h1> not here"),
            (429, &[("retry-after", "9")], json, Exit::Refused, Retry::After(Duration::from_millis(1500)), "too many"),
            (503, &[("retry-after", "9")], "", Exit::Lost, Retry::After(Duration::from_secs(9)), "503"),
            (503, &[], "busy", Exit::Lost, Retry::Later, "503 busy"),
        ] {
            let broken = refused(status, fields, body);
            let message = broken.stop.message.unwrap();
            assert_eq!((broken.stop.exit, broken.retry), (exit, retry), "{message}");
            assert!(message.contains(part), "{message:?}");
        }
    }
}
