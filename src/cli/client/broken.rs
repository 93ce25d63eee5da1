//! How a connection fails or ends, and whether another attempt makes sense.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use tungstenite::protocol::CloseFrame;

use crate::cli::exit::{Exit, Stop};
use crate::cli::interrupt;

/// Whether to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It would fail in the same way.
    Never,
    /// After a wait of our choosing.
    Later,
    /// After the wait that the server asked for.
    After(Duration),
}

/// The part of an error that says whether the same command can succeed later.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    code: String,
    retryable: bool,
    retry_after_ms: Option<u64>,
}

impl Retry {
    /// Whether it makes sense to repeat a command that was answered with this error.
    pub fn of_error(error_json: &str) -> Retry {
        let refusal: Refusal = serde_json::from_str(error_json).unwrap_or_default();
        // Somebody may make room on the disk, or bring the store back.
        let is_passing = refusal.retryable || matches!(refusal.code.as_str(), "unavailable" | "storage_full");
        match (is_passing, refusal.retry_after_ms) {
            (false, _) => Retry::Never,
            (true, None) => Retry::Later,
            (true, Some(ms)) => Retry::After(Duration::from_millis(ms)),
        }
    }
}

/// A connection that could not be made, or came to an end.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken {
    /// What to tell if this is the end.
    pub stop: Stop,
    /// Whether it need not be.
    pub retry: Retry,
}

impl Broken {
    /// A failure that another attempt would meet again.
    pub fn for_good(exit: Exit, why: impl std::fmt::Display) -> Broken {
        Broken { stop: Stop::new(exit, why), retry: Retry::Never }
    }

    /// A failure that may pass.
    pub fn lost(why: impl std::fmt::Display) -> Broken {
        Broken { stop: Stop::new(Exit::Lost, why), retry: Retry::Later }
    }

    /// The server did not answer in time: perhaps another connection gets an answer.
    pub fn unanswered(wait: Duration) -> Broken {
        Broken { stop: super::no_answer(wait), retry: Retry::Later }
    }

    /// The server refused what the connection is for.
    pub fn answered(error_json: String) -> Broken {
        let retry = Retry::of_error(&error_json);
        Broken { stop: Stop::answered(error_json), retry }
    }

    /// The server ended the connection with a close frame.
    pub fn from_close(frame: Option<CloseFrame>) -> Broken {
        let Some(frame) = frame else { return Broken::lost("the server closed the connection") };
        let code = u16::from(frame.code);
        let reason = printable(&frame.reason);
        let why = format!("the server closed the connection: {code} {reason}");
        match code {
            // Blocked, or the credential is expired.
            1008 | 4001 => Broken::for_good(Exit::Refused, why.trim_end()),
            // An administrator's doing, or another client took the session over.
            4003 | 4004 => Broken::for_good(Exit::Lost, why.trim_end()),
            1001 => Broken { retry: reconnect_after(&reason), ..Broken::lost(why.trim_end()) },
            _ => Broken::lost(why.trim_end()),
        }
    }

    /// Reading or writing failed.
    pub fn from_websocket(error: tungstenite::Error) -> Broken {
        use tungstenite::Error;
        match error {
            Error::Io(error) => error.into(),
            Error::ConnectionClosed | Error::AlreadyClosed => Broken::lost("the server closed the connection"),
            error => Broken::lost(format_args!("the connection broke: {error}")),
        }
        .unless_interrupted()
    }

    /// After Ctrl-C, whatever failed did so because of it.
    fn unless_interrupted(self) -> Broken {
        if interrupt::is_asked() { Stop::silent(Exit::Interrupted).into() } else { self }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        Broken::lost(format_args!("the connection broke: {error}")).unless_interrupted()
    }
}

impl From<Stop> for Broken {
    fn from(stop: Stop) -> Broken {
        Broken { stop, retry: Retry::Never }
    }
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Stop {
        broken.stop
    }
}

/// A draining server suggests when to come back: `draining; reconnect_after_ms=350`.
fn reconnect_after(reason: &str) -> Retry {
    let digits = reason.split("reconnect_after_ms=").nth(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        &rest[..end]
    });
    digits.and_then(|digits| digits.parse().ok()).map_or(Retry::Later, |ms| Retry::After(Duration::from_millis(ms)))
}

/// What a peer sent, fit for a terminal, and short.
pub fn printable(text: &str) -> String {
    const CHARACTERS: usize = 300;
    text.chars().take(CHARACTERS).map(fit_for_terminal).collect()
}

/// Texts of others neither steer the terminal nor turn the order of what stands beside them.
pub fn fit_for_terminal(c: char) -> char {
    // Unicode's bidirectional formatting characters (UAX #9, section 2).
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_control() || turns { ' ' } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(code: u16, reason: &str) -> Broken {
        Broken::from_close(Some(CloseFrame { code: code.into(), reason: reason.into() }))
    }

    #[test]
    fn texts_of_others_neither_steer_nor_turn_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}c\u{2066}d\né"), "a [2Jb c d é");
    }

    #[test]
    fn close_codes_decide_on_exit_and_retry() {
        let after = |ms| Retry::After(Duration::from_millis(ms));
        for (code, reason, exit, retry) in [
            (1000, "", Exit::Lost, Retry::Later),
            (1001, "draining; reconnect_after_ms=350", Exit::Lost, after(350)),
            (1001, "reconnect_after_ms=0; bye", Exit::Lost, after(0)),
            (1001, "reconnect_after_ms=soon", Exit::Lost, Retry::Later),
            (1001, "reconnect_after_ms=99999999999999999999", Exit::Lost, Retry::Later),
            (1008, "blocked", Exit::Refused, Retry::Never),
            (1013, "slow consumer", Exit::Lost, Retry::Later),
            (4001, "expired", Exit::Refused, Retry::Never),
            (4003, "", Exit::Lost, Retry::Never),
        ] {
            let broken = closed(code, reason);
            assert_eq!((broken.stop.exit, broken.retry), (exit, retry), "{code} {reason}");
        }
    }

    #[test]
    fn errors_tell_whether_a_command_may_be_repeated() {
        for (error, expected) in [
            (
                r#"{"code":"rate_limited","retryable":true,"retry_after_ms":70}"#,
                Retry::After(Duration::from_millis(70)),
            ),
            (r#"{"code":"draining","retryable":true}"#, Retry::Later),
            (r#"{"code":"storage_full","retryable":false}"#, Retry::Later),
            (r#"{"code":"unavailable"}"#, Retry::Later),
            (r#"{"code":"forbidden","retryable":false,"retry_after_ms":70}"#, Retry::Never),
            (r#"{"code":"no_topic"}"#, Retry::Never),
            ("null", Retry::Never),
            (r#"{"code":5}"#, Retry::Never),
        ] {
            assert_eq!(Retry::of_error(error), expected, "{error}");
        }
    }

    #[test]
    fn reasons_cannot_steer_a_terminal() {
        let message = closed(1000, "a\x1b[2Jb").stop.message.unwrap();
        assert!(message.ends_with("1000 a [2Jb"), "{message:?}");
    }
}
