//! The text to the byte, and everything that Go would read.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::contract::Stat;
use crate::stats::timestamp::{from_unix_nanos, zero};
use crate::stats::{ScanError, Stats};

const T0: i64 = 1_470_873_600_000_000_000;

fn map(metrics: &[(&str, u64)]) -> BTreeMap<String, u64> {
    metrics.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect()
}

fn stat(nanos: i64, metrics: &[(&str, u64)]) -> Stat {
    Stat::new(from_unix_nanos(nanos), map(metrics))
}

/// The metrics of the only sample in `{"metrics":…}`.
fn scan_metrics(json: &str) -> Option<BTreeMap<String, u64>> {
    let stats = Stats::scan(&format!(r#"[{{"metrics":{json}}}]"#)).unwrap().unwrap();
    assert_eq!((stats.len(), stats[0].timestamp), (1, zero()), "{json}");
    stats[0].metrics.clone()
}

#[test]
fn no_samples_are_no_text_and_others_a_line_of_json() {
    assert_eq!(Stats::default().to_text(), "");
    let stats = Stats(vec![
        stat(T0 + 123_456_789, &[("net_rx", 1), ("cpu_user", 2)]),
        Stat { timestamp: from_unix_nanos(T0 + 1_000_000_000), metrics: None },
        stat(T0, &[]),
    ]);
    assert_eq!(
        stats.to_string(),
        "[{\"timestamp\":\"2016-08-11T00:00:00.123Z\",\"metrics\":{\"cpu_user\":2,\"net_rx\":1}},\
         {\"timestamp\":\"2016-08-11T00:00:01.000Z\",\"metrics\":null},\
         {\"timestamp\":\"2016-08-11T00:00:00.000Z\",\"metrics\":{}}]\n"
    );
}

#[test]
fn names_are_escaped_as_go_escapes_them() {
    let name = "\u{0}\u{8}\t\n\u{c}\r\u{1f} \"\\/<>&'\u{7f}é\u{2028}\u{2029}😀";
    let escaped = concat!(
        r#"\u0000\u0008\t\n\u000c\r\u001f \"\\/\u003c\u003e\u0026'"#,
        "\u{7f}é",
        r"\u2028\u2029",
        "😀"
    );
    let stats = Stats(vec![stat(0, &[(name, 1)])]);
    let text = stats.to_text();
    let wanted =
        format!(r#"[{{"timestamp":"1970-01-01T00:00:00.000Z","metrics":{{"{escaped}":1}}}}]"#);
    assert_eq!(text, wanted + "\n");
    assert_eq!(Stats::scan(&text).unwrap(), Some(stats));
}

#[test]
fn nothing_and_null_are_none() {
    for text in ["", "null", " null\n"] {
        assert_eq!(Stats::scan(text).unwrap(), None, "{text:?}");
    }
    for text in ["[]", " [ ]\n"] {
        assert_eq!(Stats::scan(text).unwrap(), Some(Stats::default()), "{text:?}");
    }
}

#[test]
fn what_is_missing_or_null_is_at_its_zero_value() {
    let nothing = Stat { timestamp: zero(), metrics: None };
    for text in ["null", "{}", r#"{"timestamp":null,"metrics":null}"#, r#"{"other":[{"a":"b"}]}"#] {
        let scanned = Stats::scan(&format!("[{text}]")).unwrap();
        assert_eq!(scanned, Some(Stats(vec![nothing.clone()])), "{text}");
    }
    assert_eq!(scan_metrics(r#"{"a":null,"b":1}"#), Some(map(&[("a", 0), ("b", 1)])));
    assert_eq!(scan_metrics("{}"), Some(map(&[])));
}

#[test]
fn fields_are_found_in_any_case_and_the_last_one_wins() {
    let text = r#"[{"TimeStamp":"","METRICS":{"a":1,"b":1,"a":2},"metrics":{"b":3},
        "timestamp":"2016-08-11T00:00:00Z","timeſtamp":null,"Times":0,"":1,"\u006detrics":{"c":4}}]"#;
    let wanted = stat(T0, &[("a", 2), ("b", 3), ("c", 4)]);
    assert_eq!(Stats::scan(text).unwrap(), Some(Stats(vec![wanted])));
    assert_eq!(scan_metrics(r#"{"a":1},"metrics":null"#), None);
    assert_eq!(scan_metrics(r#"{"a":1},"metrics":null,"metrics":{"b":2}"#), Some(map(&[("b", 2)])));
    assert_eq!(scan_metrics(r#"{"a":1,"A":2}"#), Some(map(&[("A", 2), ("a", 1)])));
}

#[test]
fn values_are_whole_numbers_of_64_bits() {
    let most = scan_metrics(r#"{"a":18446744073709551615}"#);
    assert_eq!(most, Some(map(&[("a", u64::MAX)])));
    for bad in ["18446744073709551616", "-1", "-0", "1.0", "1e2", "1e999", "\"1\"", "true", "[]"] {
        let text = format!(r#"[{{"metrics":{{"a":{bad}}}}}]"#);
        assert!(matches!(Stats::scan(&text), Err(ScanError::Shape(_))), "{text}");
    }
}

#[test]
fn json_of_another_shape_is_refused() {
    for text in [
        "{}",
        "5",
        "\"\"",
        "true",
        "[5]",
        "[[]]",
        "[\"\"]",
        "[false]",
        r#"[{"metrics":[]}]"#,
        r#"[{"metrics":""}]"#,
        r#"[{"timestamp":5}]"#,
        r#"[{"timestamp":{}}]"#,
        r#"[{"timestamp":[50,48]}]"#,
        r#"[{"timestamp":"yesterday"}]"#,
        r#"[{},{"metrics":1}]"#,
    ] {
        assert!(matches!(Stats::scan(text), Err(ScanError::Shape(_))), "{text}");
    }
}

#[test]
fn what_is_not_one_json_value_is_refused() {
    for text in [
        " ",
        "{",
        "[",
        "[,]",
        "[{}]x",
        "[] []",
        "[{},]",
        "nul",
        "NULL",
        "\u{feff}[]",
        "[{'a':1}]",
        "[{\"a\":\"\n\"}]",
        r#"[{"a":"\x"}]"#,
        r#"[{"a":01}]"#,
        r#"[{"a":.5}]"#,
        r#"[{"a":+1}]"#,
        r#"[{"metrics":{"a":1,}}]"#,
        "[{\"metrics\":{\"\t\":1}}]",
        "[NaN]",
        "[{}]\0",
        "\u{b}[]",
        r#"[{"metrics":{"\ud8":1}}]"#,
        "[{}]//",
    ] {
        assert!(matches!(Stats::scan(text), Err(ScanError::Syntax(_))), "{text}");
    }
}

#[test]
fn what_is_no_unicode_becomes_the_replacement_character() {
    for (json, name) in [
        (&br#""\ud800""#[..], "\u{fffd}"),
        (br#""\udc00\ud800""#, "\u{fffd}\u{fffd}"),
        (br#""\ud800\ud83d\ude00\ud800\n""#, "\u{fffd}😀\u{fffd}\n"),
        (b"\"a\xffb\"", "a\u{fffd}b"),
        (b"\"\xe2\x82\"", "\u{fffd}\u{fffd}"),
    ] {
        let text = [&b"[{\"metrics\":{"[..], json, b":1},\"x\":", json, b"}]"].concat();
        let stats = Stats::scan_bytes(&text).unwrap().unwrap();
        assert_eq!(stats[0].metrics, Some(map(&[(name, 1)])), "{json:?}");
    }
}

#[test]
fn deep_values_of_unknown_fields_are_passed_over() {
    let deep = "[".repeat(9000) + &"]".repeat(9000);
    assert!(Stats::scan(&format!(r#"[{{"x":{deep}}}]"#)).unwrap().is_some());
    assert!(Stats::scan(&deep).is_err());
}

fn any_stats() -> impl Strategy<Value = Stats> {
    // The years that four digits can hold, in milliseconds.
    let time = -62_167_219_200_000i64..253_402_300_800_000;
    let metrics = prop::option::of(prop::collection::btree_map(".{0,6}", any::<u64>(), 0..4));
    prop::collection::vec((time, metrics), 0..5).prop_map(|samples| {
        let stat = |(millis, metrics): (i64, _)| {
            let (second, milli) = (millis.div_euclid(1000), millis.rem_euclid(1000));
            let timestamp = super::timestamp::from_unix(second, milli as u32 * 1_000_000);
            Stat { timestamp, metrics }
        };
        samples.into_iter().map(stat).collect()
    })
}

proptest! {
    #[test]
    fn text_comes_back_as_what_it_was(stats in any_stats()) {
        let text = stats.to_text();
        let scanned = Stats::scan(&text).unwrap();
        prop_assert_eq!(scanned.as_ref().map(Stats::to_text).unwrap_or_default(), text);
        prop_assert_eq!(scanned, (!stats.is_empty()).then_some(stats));
    }

    #[test]
    fn no_text_panics(text in prop_oneof![
        ".{0,40}",
        r#"(\[|\]|\{|\}|,|:|"timestamp"|"metrics"|"\\u[0-9d][8-f]00"|null|1|-|"2016-08-11"){0,12}"#,
    ]) {
        let _ = Stats::scan(&text);
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = Stats::scan_bytes(&bytes);
        let _ = Stats::scan_bytes(&[b"[{\"metrics\":{\"", &*bytes, b"\":1}}]"].concat());
    }
}
