//! Timestamps: the one form that nearly every client sends is read by hand, the rest of RFC 3339
//! by `base`.

use crate::base::Wall;

/// Days before each month of a year that is no leap year.
const DAYS_BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

/// Parses RFC 3339.
pub(super) fn parse(text: &str) -> Option<Wall> {
    text.as_bytes().try_into().ok().and_then(utc_millis).or_else(|| Wall::parse(text))
}

/// `YYYY-MM-DDThh:mm:ss.mmmZ` of the years 1970 to 2999; none for what else is written so.
fn utc_millis(text: &[u8; 24]) -> Option<Wall> {
    let marks = [text[4], text[7], text[10], text[13], text[16], text[19], text[23]];
    if &marks != b"--T::.Z" {
        return None;
    }
    let year = digits(&text[..4])?;
    let month = digits(&text[5..7])?;
    let day = digits(&text[8..10])?;
    let (hour, minute) = (digits(&text[11..13])?, digits(&text[14..16])?);
    let (second, milli) = (digits(&text[17..19])?, digits(&text[20..23])?);
    // The 29th to 31st depend on the month; they are left to the calendar proper.
    if !(1970..3000).contains(&year) || !(1..=28).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let before = DAYS_BEFORE.get(usize::try_from(month - 1).ok()?)?;
    let leap_day = i64::from(month > 2 && leap_days(year) != leap_days(year - 1));
    let days = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969) + before + leap_day + day - 1;
    Some(Wall((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + milli))
}

/// Leap days from year 1 to the end of `year`.
fn leap_days(year: i64) -> i64 {
    year / 4 - year / 100 + year / 400
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn other_forms_and_no_forms_are_left_to_the_full_parser() {
        for (text, expected) in [
            ("2026-02-26T18:45:00.000Z", Some(1_772_131_500_000)),
            ("2026-02-26T19:45:00+01:00", Some(1_772_131_500_000)),
            ("2026-02-26T18:45:00.000999Z", Some(1_772_131_500_000)),
            ("2024-02-29T00:00:00.000Z", Some(1_709_164_800_000)),
            ("2023-02-29T00:00:00.000Z", None),
            ("2026-13-01T00:00:00.000Z", None),
            ("2026-00-01T00:00:00.000Z", None),
            ("2026-01-00T00:00:00.000Z", None),
            ("2026-01-01T24:00:00.000Z", None),
            ("2026-01-01T00:60:00.000Z", None),
            ("2026-01-0xT00:00:00.000Z", None),
            ("2026-01-01", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected.map(Wall), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_short_way_agrees_with_the_calendar(ms in 0i64..32_503_680_000_000) {
            let text = Wall(ms).to_string();
            prop_assert_eq!(parse(&text), Some(Wall(ms)));
            if let Some(wall) = text.as_bytes().try_into().ok().and_then(utc_millis) {
                prop_assert_eq!(wall, Wall(ms));
            } else {
                prop_assert!(matches!(&text[8..10], "29" | "30" | "31"));
            }
        }
    }
}
