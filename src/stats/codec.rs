//! The text that stands for a list of samples in a database column, to the byte as Go's
//! `encoding/json` writes it, and read as leniently.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::{ScanError, Stats, timestamp};
use crate::contract::Stat;

/// Nothing for no samples, else a JSON list and the newline that Go's encoder ends with.
pub(super) fn write(stats: &[Stat]) -> String {
    let mut text = String::new();
    for stat in stats {
        text.push(if text.is_empty() { '[' } else { ',' });
        let _ = write!(text, r#"{{"timestamp":"{}","metrics":"#, timestamp::format(stat.timestamp));
        match &stat.metrics {
            None => text.push_str("null"),
            Some(metrics) => write_metrics(metrics, &mut text),
        }
        text.push('}');
    }
    if !text.is_empty() {
        text.push_str("]\n");
    }
    text
}

fn write_metrics(metrics: &BTreeMap<String, u64>, text: &mut String) {
    for (index, (key, value)) in metrics.iter().enumerate() {
        text.push(if index == 0 { '{' } else { ',' });
        write_string(key, text);
        let _ = write!(text, ":{value}");
    }
    text.push_str(if metrics.is_empty() { "{}" } else { "}" });
}

/// Go also escapes what HTML and JavaScript would stumble over. Backspace and form feed are written
/// as numbers: the short forms came with Go 1.22, long after the contract.
fn write_string(string: &str, text: &mut String) {
    text.push('"');
    for char in string.chars() {
        match char {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\0'..' ' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(text, "\\u{:04x}", u32::from(char));
            }
            _ => text.push(char),
        }
    }
    text.push('"');
}

/// Reads a column's bytes, syntax first, so that Go's two kinds of failure stay apart.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Stats>, ScanError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice::<IgnoredAny>(bytes).map_err(ScanError::Syntax)?;
    let samples: Option<Vec<Option<Sample>>> =
        serde_json::from_slice(bytes).map_err(ScanError::Shape)?;
    let stat = |sample: Option<Sample>| sample.unwrap_or_else(Sample::zero).0;
    Ok(samples.map(|samples| samples.into_iter().map(stat).collect()))
}

/// A sample while it is read. `null` in its place leaves it at its zero value.
struct Sample(Stat);

impl Sample {
    fn zero() -> Sample {
        Sample(Stat { timestamp: timestamp::zero(), metrics: None })
    }
}

impl<'de> Deserialize<'de> for Sample {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sample, D::Error> {
        deserializer.deserialize_map(SampleVisitor)
    }
}

struct SampleVisitor;

impl<'de> Visitor<'de> for SampleVisitor {
    type Value = Sample;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a timestamp and metrics")
    }

    /// Go finds fields in any case, lets a later one win over an earlier, adds later metrics to
    /// earlier ones, and takes `null` for a time or a number as if nothing stood there.
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Sample, A::Error> {
        let Sample(mut stat) = Sample::zero();
        while let Some(Text(name)) = fields.next_key()? {
            if folds_to(&name, "timestamp") {
                if let Some(Text(time)) = fields.next_value()? {
                    stat.timestamp = timestamp::parse(&time)
                        .ok_or_else(|| A::Error::custom(format!("{time:?} is no timestamp")))?;
                }
            } else if folds_to(&name, "metrics") {
                match fields.next_value::<Option<BTreeMap<Text, Option<u64>>>>()? {
                    None => stat.metrics = None,
                    Some(metrics) => stat.metrics.get_or_insert_default().extend(
                        metrics.into_iter().map(|(key, value)| (key.0, value.unwrap_or(0))),
                    ),
                }
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Sample(stat))
    }
}

/// Whether Go takes `name` for the field `field`. Its folding knows the long s, too.
fn folds_to(name: &str, field: &str) -> bool {
    let fold = |char: char| if char == 'ſ' { 's' } else { char.to_ascii_lowercase() };
    name.chars().map(fold).eq(field.chars())
}

/// A string as Go takes it: what is no Unicode becomes U+FFFD where serde would refuse it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, mut bytes: &[u8]) -> Result<Text, E> {
        let mut text = String::new();
        while !bytes.is_empty() {
            let valid = match std::str::from_utf8(bytes) {
                Ok(valid) => valid,
                Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or(""),
            };
            text.push_str(valid);
            bytes = match &bytes[valid.len()..] {
                [] => break,
                // Half of a surrogate pair, which the reader hands on in three bytes.
                [0xed, 0xa0..=0xbf, _, rest @ ..] | [_, rest @ ..] => rest,
            };
            text.push('\u{fffd}');
        }
        Ok(Text(text))
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
