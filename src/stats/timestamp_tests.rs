//! Every form of a timestamp, and the calendar against another's.

use proptest::prelude::*;

use super::*;

fn nanos(text: &str) -> Option<i128> {
    parse(text).map(unix_nanos)
}

#[test]
fn every_form_that_go_reads_is_read() {
    let at = 1_480_000_000 * SECOND;
    for (text, offset) in [
        ("2016-11-24T15:06:40Z", 0),
        ("2016-11-24T15:06:40", 0),
        ("2016-11-24T15:06:40.5", 500_000_000),
        ("2016-11-24T15:06:40.123Z", 123_000_000),
        ("2016-11-24T15:06:40.123456Z", 123_456_000),
        ("2016-11-24T15:06:40.123456789Z", 123_456_789),
        ("2016-11-24T15:06:40.1234567899Z", 123_456_789),
        ("2016-11-24T15:06:40,5Z", 500_000_000),
        ("2016-11-24T17:06:40+02:00", 0),
        ("2016-11-24T09:36:40.1-05:30", 100_000_000),
        ("2016-11-25T15:06:40+24:00", 0),
        ("2016-11-24T17:06:40.000+0200", 0),
        ("2016-11-24T17:06:40.000001+0200", 1000),
        ("2016-11-24T15:06Z", -40 * SECOND),
        ("2016-11-24T15:06", -40 * SECOND),
        ("2016-11-24 15:06:40", 0),
        ("2016-11-24   15:06:40.5", 500_000_000),
        ("2016-11-24", -54_400 * SECOND),
        ("2016-11-24T5:06:40Z", -36_000 * SECOND),
        ("1970-01-01T00:00:00Z", -at),
        ("", -at),
    ] {
        assert_eq!(nanos(text), Some(at + offset), "{text:?}");
    }
    assert_eq!(parse("0001-01-01T00:00:00Z"), Some(zero()));
    assert_eq!(unix_nanos_wrapped(zero()), -6_795_364_578_871_345_152);
    assert!(parse("2000-02-29T00:00:00Z").is_some());
    assert!(parse("0000-02-29T00:00:00Z").is_some());
}

#[test]
fn what_go_refuses_is_refused() {
    for text in [
        "yesterday",
        " ",
        "2016-11-24t15:06:40Z",
        "2016-11-24T15:06:40z",
        "2016-11-24T15:06:40 Z",
        " 2016-11-24T15:06:40Z",
        "2016-11-24T15:06:40Z ",
        "2016-11-24T15:06:40ZZ",
        "2016-11-24T15:06:40.Z",
        "2016-11-24T15:06:40.",
        "2016-11-24T15:06:40+02",
        "2016-11-24T15:06:40+0200",
        "2016-11-24T15:06:40.5+0200",
        "2016-11-24T15:06:40+25:00",
        "2016-11-24T15:06:40+02:61",
        "2016-11-24T15:06+02:00",
        "2016-11-24T15:06:4Z",
        "2016-11-24T15:6:40Z",
        "2016-11-24T15Z",
        "2016-11-24T",
        "2016-11-24 ",
        "2016-11-24 15:06:40Z",
        "2016-11-24 15:06",
        "2016-11-2T15:06:40Z",
        "2016-1-24T15:06:40Z",
        "2016-13-24T15:06:40Z",
        "2016-00-24T15:06:40Z",
        "2016-11-31T15:06:40Z",
        "2016-11-00T15:06:40Z",
        "2015-02-29T15:06:40Z",
        "1900-02-29T15:06:40Z",
        "2016-11-24T24:00:00Z",
        "2016-11-24T15:60:40Z",
        "2016-11-24T15:06:60Z",
        "02016-11-24T15:06:40Z",
        "216-11-24T15:06:40Z",
        "+016-11-24T15:06:40Z",
        "-001-11-24T15:06:40Z",
        "2016-11-24T+5:06:40Z",
        "2016-11-24T15:06:40+-1:00",
        "２016-11-24T15:06:40Z",
        "1480000000",
    ] {
        assert_eq!(parse(text), None, "{text:?}");
    }
}

#[test]
fn times_are_cut_to_milliseconds_and_written_in_utc() {
    for (seconds, nanos, text) in [
        (1_480_000_000, 123_999_999, "2016-11-24T15:06:40.123Z"),
        (1_480_000_000, 0, "2016-11-24T15:06:40.000Z"),
        (0, 0, "1970-01-01T00:00:00.000Z"),
        (-1, 999_999_999, "1969-12-31T23:59:59.999Z"),
        (-62_135_596_800, 0, "0001-01-01T00:00:00.000Z"),
        (253_402_300_799, 999_999_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800, 0, "10000-01-01T00:00:00.000Z"),
        (-62_198_755_200, 0, "-0001-01-01T00:00:00.000Z"),
    ] {
        assert_eq!(format(from_unix(seconds, nanos)), text);
    }
}

// jiff comes with the program only.
#[cfg(feature = "cli")]
proptest! {
    #[test]
    fn the_calendar_is_the_one_of_jiff(seconds in -62_167_219_200i64..253_402_207_200) {
        let theirs = jiff::Timestamp::from_second(seconds).unwrap().to_string();
        prop_assert_eq!(&format(from_unix(seconds, 0))[..10], &theirs[..10]);
        prop_assert_eq!(nanos(&theirs[..10]), Some(i128::from(seconds.div_euclid(DAY) * DAY) * SECOND));
    }
}

proptest! {
    #[test]
    fn nanoseconds_come_back(nanos: i64) {
        prop_assert_eq!(unix_nanos_wrapped(from_unix_nanos(nanos)), nanos);
        prop_assert_eq!(unix_nanos(from_unix_nanos(nanos)), i128::from(nanos));
    }

    #[test]
    fn no_text_panics(text in prop_oneof![".{0,40}", "[0-9TZ:.,+ -]{0,30}"]) {
        let _ = parse(&text);
    }

    #[test]
    fn no_time_panics(seconds in i64::MIN / 2..i64::MAX / 2, nanos in 0u32..1_000_000_000) {
        let text = format(from_unix(seconds, nanos));
        prop_assert!(text.ends_with('Z'));
    }
}
