//! Fewer samples over the same time: neighbours become their average.

use std::time::SystemTime;

use super::timestamp::{from_unix_nanos, unix_nanos, unix_nanos_wrapped};
use crate::contract::Stat;

/// Thins `stats`, sorted by time, to at most `max` samples; `None` (Go's nil) if none are left,
/// because there are none or `max` is not above 0.
///
/// Lists that are short enough stay as they are. Otherwise the time between the first sample and
/// the last is cut into `max` windows, whose samples become their average; a sample on the edge of
/// two belongs to the earlier. A window without samples is left out and doesn't count, so that gaps
/// make the list shorter, and the last of `max` windows takes everything that is left.
///
/// Averages are Go's, to the bit: times in nanoseconds are divided before they are summed, so up to
/// a nanosecond per sample is lost; a metric that a sample lacks counts as 0; sums wrap. A window's
/// only sample stays as it is.
///
/// Where the original would not come to an end, because its windows have no length (a time shorter
/// than `max` nanoseconds) or lead backwards (the last sample is older than the first), every
/// window takes at least one sample.
#[must_use]
pub fn decimate(max: i64, stats: Vec<Stat>) -> Option<Vec<Stat>> {
    let (Some(first), Some(last)) = (stats.first(), stats.last()) else {
        return None;
    };
    if max <= 0 {
        return None;
    }
    let most = usize::try_from(max).unwrap_or(usize::MAX);
    if stats.len() <= most {
        return Some(stats);
    }
    let mut start = unix_nanos(first.timestamp);
    let window = i128::from(span(first.timestamp, last.timestamp) / max);
    let times: Vec<i128> = stats.iter().map(|stat| unix_nanos(stat.timestamp)).collect();

    let mut times = &times[..];
    let mut rest = stats.into_iter();
    let mut out = Vec::new();
    while let Some(next) = times.first() {
        // Gaps are jumped over, not walked through: they may be billions of windows long.
        if window > 0 && *next > start + window {
            start += (next - start - 1) / window * window;
        }
        let count = if out.len() + 1 == most {
            times.len()
        } else {
            times.iter().position(|time| *time > start + window).unwrap_or(times.len()).max(1)
        };
        out.extend(average(rest.by_ref().take(count).collect()));
        times = &times[count..];
        start += window;
    }
    Some(out)
}

/// From one point in time to another in nanoseconds; what 64 bits can't hold is cut off, as in Go.
fn span(from: SystemTime, to: SystemTime) -> i64 {
    let nanos = unix_nanos(to) - unix_nanos(from);
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

/// The average of some samples, `None` of none.
fn average(samples: Vec<Stat>) -> Option<Stat> {
    let count = i64::try_from(samples.len()).ok()?;
    let mut samples = samples.into_iter();
    let mut sum = samples.next()?;
    if count == 1 {
        return Some(sum);
    }
    let mut nanos = unix_nanos_wrapped(sum.timestamp) / count;
    for sample in samples {
        nanos = nanos.wrapping_add(unix_nanos_wrapped(sample.timestamp) / count);
        for (key, value) in sample.metrics.into_iter().flatten() {
            // The original would crash if the first sample had no map and another had values.
            let total = sum.metrics.get_or_insert_default().entry(key).or_default();
            *total = total.wrapping_add(value);
        }
    }
    for value in sum.metrics.iter_mut().flat_map(|metrics| metrics.values_mut()) {
        *value /= count.unsigned_abs();
    }
    Some(Stat { timestamp: from_unix_nanos(nanos), ..sum })
}

#[cfg(test)]
#[path = "decimate_tests.rs"]
mod tests;
