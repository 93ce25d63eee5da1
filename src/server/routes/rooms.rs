//! The routes of signaling: those of GoVPN's server in its shapes, and the list of rooms.

use super::{check_method, check_right, check_status};
use crate::config::PublicStatus;
use crate::engine::http::{Answer, Head, Refusal};
use crate::engine::work::Request;
use crate::server::status::StatusSource;
use crate::sys::clock::Clock;

/// The answer, if the request is for signaling and it is served.
pub(super) fn answer(
    request: &Request,
    status: &StatusSource,
    public: PublicStatus,
    clock: Clock,
) -> Result<Option<Answer>, Refusal> {
    let Some(rooms) = status.rooms() else { return Ok(None) };
    let head = &request.head;
    let path = match rooms.below(&head.path) {
        Some("/health") => return Ok(Some(healthy())),
        Some("/stats") => "/stats",
        Some(_) | None => head.path.as_str(),
    };
    match path {
        "/health" if is_for_govpn(head) => Ok(Some(healthy())),
        // Go's encoder ends what it writes with a line feed.
        "/stats" => {
            check_status(request, public)?;
            Ok(status.room_stats(clock.now()).map(|stats| Answer::json(200, format!("{stats}\n"))))
        }
        "/api/rooms" => {
            check_method(request)?;
            check_right(request)?;
            let asked = head.query.as_deref().and_then(|query| {
                query.split('&').find_map(|part| part.strip_prefix("room=")).filter(|room| !room.is_empty())
            });
            let list = rooms.list(asked);
            if asked.is_some() && list["rooms"].as_array().is_none_or(Vec::is_empty) {
                return Err(Refusal::NotFound);
            }
            Ok(Some(Answer::json(200, list.to_string())))
        }
        _ => Ok(None),
    }
}

fn healthy() -> Answer {
    Answer::text(200, "OK")
}

/// Whoever names itself as its clients do, or wants plain text rather than JSON.
fn is_for_govpn(head: &Head) -> bool {
    if head.headers.first("x-client-id").is_some() {
        return true;
    }
    let ranges: Vec<(&str, f32)> = head
        .headers
        .elements("accept")
        .filter_map(|range| {
            let mut parts = std::str::from_utf8(range).ok()?.split(';').map(str::trim);
            let name = parts.next()?;
            let quality = parts.find_map(|part| part.strip_prefix("q=")).and_then(|q| q.parse().ok());
            Some((name, quality.unwrap_or(1.0)))
        })
        .collect();
    prefers_plain(&ranges)
}

/// RFC 9110 12.5.1: media ranges with their qualities. Of equals, the first that is named counts.
fn prefers_plain(ranges: &[(&str, f32)]) -> bool {
    let of = |names: [&str; 2]| {
        let found = ranges.iter().position(|(name, _)| names.iter().any(|own| name.eq_ignore_ascii_case(own)));
        found.map(|place| (ranges[place].1, place))
    };
    match (of(["text/plain", "text/*"]), of(["application/json", "application/*"])) {
        (Some((plain, at)), Some((json, json_at))) => plain > 0.0 && (plain > json || (plain == json && at < json_at)),
        (Some((plain, _)), None) => plain > 0.0,
        (None, Some(_) | None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_for_who_names_it_before_json() {
        for (ranges, plain) in [
            (&[][..], false),
            (&[("*/*", 1.0)], false),
            (&[("text/plain", 1.0)], true),
            (&[("text/plain", 0.0)], false),
            (&[("text/plain", 1.0), ("*/*", 0.1)], true),
            (&[("text/plain", 0.5), ("application/json", 0.9)], false),
            (&[("application/json", 1.0), ("text/plain", 1.0)], false),
            (&[("text/plain", 1.0), ("application/json", 1.0)], true),
            (&[("text/html", 1.0), ("*/*", 0.8)], false),
        ] {
            assert_eq!(prefers_plain(ranges), plain, "{ranges:?}");
        }
    }
}
