//! The original's own tests, further runs of it, and what it never comes to an end with.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000_000;
const T0: i64 = 1_500_000_000 * SECOND;

fn stat(nanos: i64, x: u64) -> Stat {
    Stat::new(from_unix_nanos(nanos), BTreeMap::from([("x".to_owned(), x)]))
}

/// One sample a second, `x` counting up; `gap` seconds are added from sample 150 on.
fn seconds(count: u32, gap: i64) -> Vec<Stat> {
    (0..count)
        .map(|x| {
            let gap = if x >= 150 { gap } else { 0 };
            stat(T0 + (i64::from(x) + gap) * SECOND, x.into())
        })
        .collect()
}

/// Nanoseconds since T0 and `x`.
fn points(stats: &[Stat]) -> Vec<(i64, u64)> {
    let point = |stat: &Stat| (unix_nanos_wrapped(stat.timestamp) - T0, stat.get("x").unwrap());
    stats.iter().map(point).collect()
}

fn decimated(max: i64, offsets: &[i64]) -> Vec<(i64, u64)> {
    let stats = offsets.iter().zip(0..).map(|(offset, x)| stat(T0 + offset, x)).collect();
    decimate(max, stats).as_deref().map(points).unwrap_or_default()
}

#[test]
fn an_average_is_the_middle_of_its_samples() {
    let start = 1_470_873_600 * SECOND;
    let samples = (0..10).map(|x| stat(start + 60 * SECOND * x, x.unsigned_abs())).collect();
    assert_eq!(average(samples), Some(stat(1_470_873_870 * SECOND, 4)));
    assert_eq!(average(Vec::new()), None);
}

#[test]
fn long_lists_come_down_to_what_the_original_makes_of_them() {
    type Case = (u32, i64, usize, &'static [(i64, u64)], (i64, u64));
    let cases: [Case; 5] = [
        (
            480,
            0,
            240,
            &[(500_000_000, 0), (2_500_000_000, 2), (4_500_000_000, 4)],
            (478_500_000_000, 478),
        ),
        (700, 0, 240, &[(999_999_999, 1), (3_999_999_999, 4)], (697_999_999_999, 698)),
        (
            300,
            0,
            240,
            &[(500_000_000, 0), (2 * SECOND, 2), (3 * SECOND, 3)],
            (298_500_000_000, 298),
        ),
        (
            300,
            1200,
            49,
            &[(2_999_999_997, 3), (9_499_999_998, 9), (15_499_999_998, 15)],
            (1499 * SECOND, 299),
        ),
        (3600, 0, 240, &[(6_999_999_995, 7), (21_999_999_995, 22)], (3_591_999_999_995, 3592)),
    ];
    for (count, gap, len, first, last) in cases {
        let out = points(&decimate(240, seconds(count, gap)).unwrap());
        assert_eq!(out.len(), len, "{count} with a gap of {gap}");
        assert_eq!(&out[..first.len()], first, "{count} with a gap of {gap}");
        assert_eq!(out.last(), Some(&last), "{count} with a gap of {gap}");
    }
}

#[test]
fn short_lists_come_down_to_what_the_original_makes_of_them() {
    let make = |max, count| decimate(max, seconds(count, 0)).as_deref().map(points);
    let bins = vec![(1_500_000_000, 1), (4_999_999_999, 5), (7_999_999_999, 8)];
    assert_eq!(make(3, 10), Some(bins));
    assert_eq!(make(1, 10), Some(vec![(4_500_000_000, 4)]));
    assert_eq!(make(2, 4), Some(vec![(500_000_000, 0), (2_500_000_000, 2)]));
    assert_eq!((make(0, 5), make(-1, 5), make(i64::MIN, 5)), (None, None, None));
    assert_eq!((make(240, 0), make(0, 0), make(-1, 0)), (None, None, None));
    assert_eq!(decimated(3, &[0; 5]), [(0, 2)]);
}

#[test]
fn a_list_that_is_short_enough_stays_as_it_is() {
    for max in [5, 6, i64::MAX] {
        assert_eq!(decimate(max, seconds(5, 0)), Some(seconds(5, 0)));
    }
}

#[test]
fn windows_without_length_take_a_sample_each() {
    assert_eq!(decimated(3, &[0, 0, 0, 0, 1]), [(0, 1), (1, 4)]);
    assert_eq!(decimated(4, &[0, 1, 1, 2, 2, 3]).len(), 4);
}

#[test]
fn lists_in_any_order_come_to_an_end() {
    assert_eq!(decimated(2, &[9 * SECOND, 5 * SECOND, 0]).len(), 2);
    let far = [0, i64::MAX - T0, 1, 2, i64::MIN, 7, 8];
    assert_eq!(decimated(6, &far).len(), 2);
}

#[test]
fn a_gap_of_billions_of_windows_is_jumped_over() {
    // Windows of 1 ns, and one sample some 18 years off, in an unsorted list.
    let mut stats: Vec<Stat> = (0..5).map(|x| stat(T0, x)).collect();
    stats.extend([stat(T0 + (1 << 59), 6), stat(T0 + 4, 7)]);
    let out = points(&decimate(4, stats).unwrap());
    assert_eq!(out, [(0, 2), ((1 << 58) + 2, 6)]);
}

#[test]
fn a_span_of_more_than_64_bits_is_cut_off() {
    let mut stats = vec![Stat { timestamp: super::super::timestamp::zero(), metrics: None }];
    stats.extend(seconds(3, 0));
    assert_eq!(span(stats[0].timestamp, stats[1].timestamp), i64::MAX);
    assert_eq!(span(stats[1].timestamp, stats[0].timestamp), i64::MIN);
    assert_eq!(decimate(2, stats).unwrap().len(), 2);
}

#[test]
fn missing_metrics_count_as_nothing_and_sums_wrap() {
    let sample = |nanos, metrics: &[(&str, u64)]| {
        let metrics = metrics.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect();
        Stat::new(from_unix_nanos(nanos), metrics)
    };
    let samples = vec![sample(0, &[("a", u64::MAX), ("b", 9)]), sample(0, &[("a", 7), ("c", 3)])];
    let wanted = sample(0, &[("a", 3), ("b", 4), ("c", 1)]);
    assert_eq!(decimate(1, samples), Some(vec![wanted]));
}

#[test]
fn a_first_sample_without_metrics_takes_those_of_the_others() {
    let none = |nanos| Stat { timestamp: from_unix_nanos(nanos), metrics: None };
    assert_eq!(decimate(1, vec![none(0), none(2)]), Some(vec![none(1)]));
    assert_eq!(decimate(1, vec![none(0), stat(2, 8)]), Some(vec![stat(1, 4)]));
}

proptest! {
    #[test]
    fn any_list_comes_to_an_end(offsets: Vec<i64>, near: bool, max in -2i64..20) {
        let time = |offset| if near { offset % 50 } else { offset };
        let stats: Vec<Stat> = offsets.iter().map(|offset| stat(time(*offset), 1)).collect();
        let len = stats.len();
        match decimate(max, stats) {
            None => prop_assert!(max <= 0 || len == 0),
            Some(out) => {
                prop_assert!(!out.is_empty() && out.len() <= usize::try_from(max).unwrap());
                prop_assert!(out.len() == len || len > usize::try_from(max).unwrap());
            }
        }
    }

    // In microseconds, because an average may be as many nanoseconds early as it has samples.
    #[test]
    fn sorted_lists_stay_sorted(
        mut micros in prop::collection::vec(0i64..1 << 40, 1..200),
        max in 1i64..50,
    ) {
        micros.sort_unstable();
        let stats = micros.iter().map(|micros| stat(T0 + micros * 1000, 1)).collect();
        let out = decimate(max, stats).unwrap();
        prop_assert!(out.is_sorted_by_key(|stat| stat.timestamp));
        prop_assert!(out.iter().all(|stat| stat.get("x") == Some(1)));
    }
}
