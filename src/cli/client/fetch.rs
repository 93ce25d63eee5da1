//! One plain HTTP request, for what is shown by HTTP alone.

use std::io::Write as _;
use std::time::{Duration, Instant};

use super::broken::Broken;
use super::handshake::{no_head, read_body, read_head, refusal};
use super::socket::{self, Patience};
use super::target::Target;
use super::{MESSAGE_BYTES, Retry};

/// What came of it.
pub enum Fetched {
    /// The body of a 200.
    Found(String),
    /// A 404.
    NotFound,
}

/// Asks for a path, with a query if it has one, and waits so long for the answer.
pub fn fetch(target: &Target, path: &str, timeout: Duration) -> Result<Fetched, Broken> {
    let mut stream = socket::connect(target, Instant::now() + target.connect_timeout)?;
    stream.socket().set_patience(Patience::Until(Some(Instant::now() + timeout)))?;
    // The URL's own query may hold a key.
    let query = target.resource.split_once('?').map_or("", |(_, query)| query);
    let joint = match (query.is_empty(), path.contains('?')) {
        (true, _) => "",
        (false, true) => "&",
        (false, false) => "?",
    };
    let mut request = format!(
        "GET {path}{joint}{query} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nUser-Agent: hydrogen/{}\r\n",
        target.authority,
        env!("CARGO_PKG_VERSION"),
    );
    if let Some(authorization) = target.authorization() {
        request.push_str(&format!("Authorization: {authorization}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).and_then(|()| stream.flush())?;
    let (head, rest) = read_head(&mut stream).map_err(|error| no_head(error, target))?;
    let body = read_body(&mut stream, &head, rest, MESSAGE_BYTES);
    match head.status {
        200 => {
            let length = head.field("content-length").and_then(|text| text.trim().parse::<usize>().ok());
            if length.is_some_and(|length| length != body.len()) {
                return Err(Broken::lost(format_args!("{target} did not send the whole answer")));
            }
            Ok(Fetched::Found(String::from_utf8_lossy(&body).into_owned()))
        }
        404 => Ok(Fetched::NotFound),
        _ => Err(Broken { retry: Retry::Never, ..refusal(&head, &body, &target.to_string()) }),
    }
}
