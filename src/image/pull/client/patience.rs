//! `Retry-After`: how long a registry that has too much to do is waited for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};

/// How often one question waits, and for how long in all.
const TIMES: u32 = 3;
const LONGEST: Duration = Duration::from_secs(60);

/// What is left of the patience with one question.
#[derive(Debug)]
pub(super) struct Patience {
    times: u32,
    left: Duration,
}

impl Patience {
    pub(super) fn new() -> Patience {
        Patience { times: TIMES, left: LONGEST }
    }

    /// How long to wait before the question is asked again; `None` if the answer stands.
    pub(super) fn wait(&mut self, status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
        let busy =
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let said = headers.get(RETRY_AFTER)?.to_str().ok()?;
        let wait = retry_after(said, SystemTime::now())?;
        if !busy || self.times == 0 || wait > self.left {
            return None;
        }
        self.times -= 1;
        self.left -= wait;
        Some(wait)
    }
}

/// Reads seconds or a date.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let at = UNIX_EPOCH + Duration::from_secs(http_date(text)?);
    Some(at.duration_since(now).unwrap_or_default())
}

/// Reads `Sun, 06 Nov 1994 08:49:37 GMT` as seconds since 1970.
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_once(", ")?.1.split(' ');
    let mut word = || words.next();
    let (day, month, year) = (number(word()?)?, word()?, number(word()?)?);
    let (time, zone, none) = (word()?, word()?, word());
    let month = 1 + MONTHS.iter().position(|name| *name == month)? as u64;
    let mut parts = time.split(':').map(number);
    let mut part = || parts.next().flatten();
    let (hour, minute, second) = (part()?, part()?, part()?);
    let sane = (1..=31).contains(&day) && (1970..=9999).contains(&year);
    if !sane || hour > 23 || minute > 59 || second > 60 || zone != "GMT" || none.is_some() {
        return None;
    }
    Some(((days(year, month, day)? * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days since 1970, in years that begin in March, so that February's length does not matter.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let in_year = (153 * month + 2) / 5 + day - 1;
    (365 * year + year / 4 - year / 100 + year / 400 + in_year).checked_sub(719_468)
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_read() {
        for (text, wanted) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Thu, 29 Feb 2024 12:00:00 GMT", Some(1_709_208_000)),
            ("Fri, 01 Mar 2024 00:00:00 GMT", Some(1_709_251_200)),
            ("Sun, 22 Nov 2026 12:00:00 GMT", Some(1_795_348_800)),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 06 Foo 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 24:49:37 GMT", None),
            ("Sun, 06 Nov 99999999999999999999 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49 GMT", None),
            ("tomorrow", None),
            ("", None),
        ] {
            assert_eq!(http_date(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_date_is_how_long_from_now_and_one_gone_by_is_now() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_770);
        let after = |text| retry_after(text, now);
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(after("Sun, 06 Nov 1993 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(after(" 5 "), Some(Duration::from_secs(5)));
        assert_eq!(after("99999999999999999999999"), Some(Duration::MAX));
        assert_eq!(after("-5"), None);
    }

    #[test]
    fn patience_ends_after_three_times_or_sixty_seconds() {
        let headers = |after: &str| HeaderMap::from_iter([(RETRY_AFTER, after.parse().unwrap())]);
        let (busy, fine) = (StatusCode::TOO_MANY_REQUESTS, StatusCode::OK);
        let mut patience = Patience::new();
        assert_eq!(patience.wait(busy, &HeaderMap::new()), None);
        assert_eq!(patience.wait(fine, &headers("1")), None);
        assert_eq!(patience.wait(busy, &headers("61")), None);
        for _ in 0..3 {
            assert_eq!(patience.wait(busy, &headers("1")), Some(Duration::from_secs(1)));
        }
        assert_eq!(patience.wait(busy, &headers("1")), None);
        let mut patience = Patience::new();
        assert_eq!(patience.wait(busy, &headers("40")), Some(Duration::from_secs(40)));
        assert_eq!(patience.wait(busy, &headers("21")), None, "60 s in all");
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(patience.wait(unavailable, &headers("20")), Some(Duration::from_secs(20)));
    }
}
