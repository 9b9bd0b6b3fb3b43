//! Points in time: their text as Go writes and reads it, and their arithmetic on the proleptic
//! Gregorian calendar, which covers every year that a [`SystemTime`] can hold.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: i64 = 86_400;
const SECOND: i128 = 1_000_000_000;

/// Go's zero time, 0001-01-01T00:00:00Z: what a sample without a timestamp has.
pub(super) fn zero() -> SystemTime {
    from_unix(days_from_civil(1, 1, 1) * DAY, 0)
}

/// Nanoseconds since the Unix epoch, exactly.
pub(super) fn unix_nanos(at: SystemTime) -> i128 {
    let nanos = |length: Duration| {
        i128::from(length.as_secs()) * SECOND + i128::from(length.subsec_nanos())
    };
    match at.duration_since(UNIX_EPOCH) {
        Ok(after) => nanos(after),
        Err(before) => -nanos(before.duration()),
    }
}

/// The same in 64 bits, which wrap outside the years 1678 to 2262, as Go's `UnixNano` does.
#[expect(clippy::cast_possible_truncation, reason = "wrapping is what is asked for")]
pub(super) fn unix_nanos_wrapped(at: SystemTime) -> i64 {
    unix_nanos(at) as i64
}

/// The point in time that many nanoseconds after the Unix epoch, or before it.
pub(super) fn from_unix_nanos(nanos: i64) -> SystemTime {
    let length = Duration::from_nanos(nanos.unsigned_abs());
    if nanos < 0 { UNIX_EPOCH - length } else { UNIX_EPOCH + length }
}

/// The point in time that many seconds after the Unix epoch, or before it, and nanoseconds later.
pub(super) fn from_unix(seconds: i64, nanos: u32) -> SystemTime {
    let length = Duration::from_secs(seconds.unsigned_abs());
    let start = if seconds < 0 { UNIX_EPOCH - length } else { UNIX_EPOCH + length };
    start + Duration::from_nanos(nanos.into())
}

/// RFC 3339 in UTC with three digits of fraction, which are cut off and not rounded.
///
/// A year past 9999 has more digits and one before 0 a sign, as in Go; such text can't be read
/// back.
pub(super) fn format(at: SystemTime) -> String {
    let millis = unix_nanos(at).div_euclid(1_000_000);
    let (seconds, milli) = (millis.div_euclid(1000), millis.rem_euclid(1000));
    let (days, second) = (seconds.div_euclid(DAY.into()), seconds.rem_euclid(DAY.into()));
    let (year, month, day) = civil_from_days(i64::try_from(days).unwrap_or(0));
    let (sign, year) = (if year < 0 { "-" } else { "" }, year.unsigned_abs());
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{sign}{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// Reads what go-openapi's `strfmt.ParseDateTime` reads; `None` is its error.
///
/// These are its forms, all read as UTC where no offset is given:
///
/// * `2006-01-02T15:04:05Z` and with an offset such as `+07:00` instead of the `Z`, or without
///   either: local time, for which `strfmt` takes UTC;
/// * `2006-01-02T15:04:05.000+0700`, an offset without colon, behind 3 or 6 digits of fraction;
/// * `2006-01-02T15:04Z`, `2006-01-02T15:04`, `2006-01-02 15:04:05` and `2006-01-02`, which only
///   its later releases know;
/// * the empty text, which is the Unix epoch.
///
/// As in Go's `time.Parse`, seconds may have any number of digits behind a point or a comma (past
/// the ninth they are dropped), an hour may have one digit, letters are capital, the date must
/// exist, there is no second 60, and an offset is at most 24 hours and 60 minutes.
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    if text.is_empty() {
        return Some(UNIX_EPOCH);
    }
    let mut rest = Cursor(text.as_bytes());
    let year = i64::from(rest.digits(4)?);
    rest.byte(b'-')?;
    let month = rest.digits(2)?;
    rest.byte(b'-')?;
    let day = rest.digits(2)?;
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    let midnight = days_from_civil(year, month, day) * DAY;
    if rest.0.is_empty() {
        return Some(from_unix(midnight, 0));
    }
    let sortable = rest.byte(b'T').is_none();
    if sortable {
        rest.byte(b' ')?;
        while rest.byte(b' ').is_some() {}
    }
    let hour = rest.digits(2).or_else(|| rest.digits(1)).filter(|hour| *hour < 24)?;
    rest.byte(b':')?;
    let minute = rest.digits(2).filter(|minute| *minute < 60)?;
    let start = midnight + i64::from(hour * 3600 + minute * 60);
    if !sortable && matches!(rest.0, b"" | b"Z") {
        return Some(from_unix(start, 0));
    }
    rest.byte(b':')?;
    let second = rest.digits(2).filter(|second| *second < 60)?;
    let fraction = rest.fraction();
    let nanos = (0..9).fold(0, |sum, place| {
        sum * 10 + fraction.get(place).map_or(0, |digit| u32::from(digit - b'0'))
    });
    let offset = match rest.0 {
        b"" => 0,
        _ if sortable => return None,
        _ => rest.offset(matches!(fraction.len(), 3 | 6))?,
    };
    Some(from_unix(start + i64::from(second) - offset, nanos))
}

/// What is left to read.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn byte(&mut self, wanted: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[wanted])?;
        Some(())
    }

    fn digits(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let number = digits.iter().try_fold(0, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
        })?;
        self.0 = rest;
        Some(number)
    }

    /// The digits behind a point or comma; a point without a digit is left where it is.
    fn fraction(&mut self) -> &'a [u8] {
        let [b'.' | b',', rest @ ..] = self.0 else { return &[] };
        let end = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, after) = rest.split_at(end);
        if !digits.is_empty() {
            self.0 = after;
        }
        digits
    }

    /// Seconds east of UTC, up to the end of the text.
    fn offset(&mut self, may_lack_colon: bool) -> Option<i64> {
        if self.0 == b"Z" {
            return Some(0);
        }
        let (sign, rest) = self.0.split_first()?;
        let sign = match sign {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        self.0 = rest;
        let hours = self.digits(2).filter(|hours| *hours <= 24)?;
        if self.byte(b':').is_none() && !may_lack_colon {
            return None;
        }
        let minutes = self.digits(2).filter(|minutes| *minutes <= 60)?;
        self.0.is_empty().then(|| sign * i64::from(hours * 3600 + minutes * 60))
    }
}

fn days_in(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date. Years are counted from March on, so that the leap day is their
/// last and the lengths of the months before it follow one formula.
fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let from_march = i64::from((month + 9) % 12);
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * from_march + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date that many days after 1970-01-01.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
#[path = "timestamp_tests.rs"]
mod tests;
