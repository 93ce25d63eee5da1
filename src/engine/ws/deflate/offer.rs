//! Which of a client's offers is accepted, and in what form (RFC 7692, sections 5 and 7.1).

use super::agreed::Agreed;
use super::form::Form;
use super::{NAME, Settings, WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use crate::engine::http::Extension;

/// The smallest window that RFC 7692 knows.
const BITS_MIN: u8 = 8;

/// One offer, as it is meant.
#[derive(Debug, Default)]
struct Offer {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// Whether the client takes an answer with `client_max_window_bits`, and what it uses at most.
    client_max_window_bits: Option<u8>,
}

/// The first offer that can be accepted, in the client's order.
pub fn choose(settings: &Settings, offered: &[Extension]) -> Option<Agreed> {
    let own = offered.iter().filter(|extension| extension.name == NAME);
    own.filter_map(read).find_map(|offer| accept(settings, &offer))
}

/// RFC 7692 7.1: an offer is declined for a parameter that is unknown, stands twice or has a value
/// that it must not have.
fn read(extension: &Extension) -> Option<Offer> {
    let mut offer = Offer::default();
    for (name, value) in &extension.params {
        let value = value.as_deref();
        let is_new = match name.as_str() {
            "server_no_context_takeover" if value.is_none() => {
                !std::mem::replace(&mut offer.server_no_context_takeover, true)
            }
            "client_no_context_takeover" if value.is_none() => {
                !std::mem::replace(&mut offer.client_no_context_takeover, true)
            }
            "server_max_window_bits" => offer.server_max_window_bits.replace(bits(value?)?).is_none(),
            // RFC 7692 7.1.2.2: without a value it says that an answer may have one.
            "client_max_window_bits" => {
                let bits = value.map_or(Some(WINDOW_BITS_MAX), bits)?;
                offer.client_max_window_bits.replace(bits).is_none()
            }
            _ => false,
        };
        if !is_new {
            return None;
        }
    }
    Some(offer)
}

/// RFC 7692 7.1.2: a decimal number from 8 to 15 without leading zeros.
fn bits(value: &str) -> Option<u8> {
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit()) && !value.starts_with('0');
    value.parse().ok().filter(|bits| is_plain && (BITS_MIN..=WINDOW_BITS_MAX).contains(bits))
}

fn accept(settings: &Settings, offer: &Offer) -> Option<Agreed> {
    let (form, server_window_bits) = match offer.server_max_window_bits {
        // zlib makes no raw stream with so small a window.
        Some(asked) if asked < WINDOW_BITS_MIN => return None,
        // RFC 7692 7.1.2.1: the answer names the same window or a smaller one, and some clients take
        // the same alone.
        Some(asked) if asked < settings.window_bits => (Form::Narrow, Some(asked)),
        Some(asked) => (Form::Wide, Some(asked)),
        None => (Form::Wide, Some(settings.window_bits).filter(|bits| *bits < WINDOW_BITS_MAX)),
    };
    // A client that offers not to refer to earlier messages is taken at its word.
    let allowed = settings.client_window_bits.filter(|_| !offer.client_no_context_takeover);
    let kept_bits = match (allowed, offer.client_max_window_bits) {
        (Some(allowed), Some(asked)) => Some(allowed.min(asked).max(WINDOW_BITS_MIN)),
        // RFC 7692 7.1.2.2: no window may be asked of it, so it may use the largest.
        (Some(WINDOW_BITS_MAX), None) => Some(WINDOW_BITS_MAX),
        (Some(_) | None, _) => None,
    };
    // A window of 8 bits is kept as one of 9, which the answer must not ask for.
    let names_client_window = offer.client_max_window_bits.is_some_and(|asked| asked >= WINDOW_BITS_MIN);
    Some(Agreed { form, server_window_bits, kept_bits, names_client_window })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ws::deflate::Kinds;

    const SETTINGS: Settings =
        Settings { threshold: 1024, level: 1, window_bits: 15, client_window_bits: None, kinds: Kinds::ALL };

    /// Offers as they stand in the header, of which nothing is quoted.
    fn offers(text: &str) -> Vec<Extension> {
        let param = |param: &str| match param.split_once('=') {
            Some((name, value)) => (name.trim().to_owned(), Some(value.trim().to_owned())),
            None => (param.trim().to_owned(), None),
        };
        let extension = |text: &str| {
            let mut parts = text.split(';');
            let name = parts.next().unwrap_or_default().trim().to_owned();
            Extension { name, params: parts.map(param).collect() }
        };
        text.split(',').map(extension).collect()
    }

    fn answer(settings: &Settings, offered: &str) -> Option<String> {
        let agreed = choose(settings, &offers(offered))?.to_string();
        Some(agreed.strip_prefix("permessage-deflate; server_no_context_takeover").unwrap().to_owned())
    }

    #[test]
    fn the_answer_names_what_was_agreed() {
        for (offered, wanted) in [
            ("permessage-deflate", ""),
            ("permessage-deflate; client_max_window_bits", ""),
            ("permessage-deflate; client_max_window_bits=10", ""),
            ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", ""),
            ("permessage-deflate; server_max_window_bits=15", "; server_max_window_bits=15"),
            ("permessage-deflate; server_max_window_bits=14", "; server_max_window_bits=14"),
            ("permessage-deflate; server_max_window_bits=9", "; server_max_window_bits=9"),
            ("x-webkit-deflate-frame, permessage-deflate", ""),
            ("permessage-deflate; server_max_window_bits=8, permessage-deflate", ""),
            ("permessage-deflate; mux, permessage-deflate; server_max_window_bits=9", "; server_max_window_bits=9"),
        ] {
            let wanted = format!("; client_no_context_takeover{wanted}");
            assert_eq!(answer(&SETTINGS, offered), Some(wanted), "{offered}");
        }
    }

    #[test]
    fn offers_that_cannot_be_met_are_declined() {
        for offered in [
            "permessage-bzip2",
            "Permessage-Deflate",
            "permessage-deflate; unknown",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=true",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits=",
            "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=0x9",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
        ] {
            assert_eq!(answer(&SETTINGS, offered), None, "{offered}");
        }
    }

    #[test]
    fn a_smaller_window_of_the_server_is_told_to_who_asks_for_none() {
        let settings = Settings { window_bits: 12, ..SETTINGS };
        for (offered, wanted) in [
            ("permessage-deflate", 12),
            ("permessage-deflate; server_max_window_bits=13", 13),
            ("permessage-deflate; server_max_window_bits=12", 12),
            ("permessage-deflate; server_max_window_bits=11", 11),
        ] {
            let wanted = format!("; client_no_context_takeover; server_max_window_bits={wanted}");
            assert_eq!(answer(&settings, offered), Some(wanted), "{offered}");
        }
    }

    #[test]
    fn a_client_may_refer_to_what_it_said_where_that_is_configured() {
        for (allowed, offered, wanted) in [
            (15, "permessage-deflate", ""),
            (15, "permessage-deflate; client_max_window_bits", "; client_max_window_bits=15"),
            (11, "permessage-deflate; client_max_window_bits", "; client_max_window_bits=11"),
            (11, "permessage-deflate; client_max_window_bits=10", "; client_max_window_bits=10"),
            (11, "permessage-deflate; client_max_window_bits=8", ""),
            (11, "permessage-deflate", "; client_no_context_takeover"),
            (15, "permessage-deflate; client_no_context_takeover", "; client_no_context_takeover"),
        ] {
            let settings = Settings { client_window_bits: Some(allowed), ..SETTINGS };
            assert_eq!(answer(&settings, offered), Some(wanted.to_owned()), "{allowed} {offered}");
        }
        let settings = Settings { client_window_bits: Some(11), ..SETTINGS };
        let kept = |offered| choose(&settings, &offers(offered)).unwrap().kept_bits;
        assert_eq!(kept("permessage-deflate; client_max_window_bits=8"), Some(9));
        assert_eq!(kept("permessage-deflate; client_max_window_bits"), Some(11));
        assert_eq!(kept("permessage-deflate"), None);
    }
}
