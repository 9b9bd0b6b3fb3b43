//! Records of extended headers: their form, and the values in them.

use super::{Refusal, Time};

/// Records as `LENGTH KEY=VALUE\n`, the length being that of the whole.
pub(super) fn records(mut text: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), Refusal>> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let Some((key, value, rest)) = record(text) else {
            let start = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
            text = &[];
            return Some(Err(Refusal::record(start)));
        };
        text = rest;
        Some(Ok((key, value)))
    })
}

fn record(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = text.iter().take(12).position(|byte| *byte == b' ')?;
    let digits = &text[..space];
    if digits.first() == Some(&b'0') {
        return None;
    }
    let length = usize::try_from(plain_decimal(digits)?).ok()?;
    let (record, rest) = text.split_at_checked(length)?;
    let body = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&body[..equals], &body[equals + 1..]);
    (!key.is_empty() && !key.contains(&0)).then_some((key, value, rest))
}

/// A key as it is told, however long.
pub(super) fn shown(key: &[u8]) -> String {
    String::from_utf8_lossy(&key[..key.len().min(100)]).into_owned()
}

/// A text that stands for a name; for an empty one some programs take the header's.
pub(super) fn text(key: &[u8], value: &[u8]) -> Result<Vec<u8>, Refusal> {
    match value.is_empty() || value.contains(&0) {
        true => Err(Refusal::record(key)),
        false => Ok(value.to_vec()),
    }
}

pub(super) fn decimal(key: &[u8], value: &[u8]) -> Result<u64, Refusal> {
    plain_decimal(value).ok_or_else(|| Refusal::record(key))
}

/// Digits alone, up to what a file's size can be.
pub(super) fn plain_decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value: i64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    u64::try_from(value).ok()
}

pub(super) fn id(key: &[u8], value: &[u8]) -> Result<u32, Refusal> {
    let id = u32::try_from(decimal(key, value)?).ok().filter(|id| *id != u32::MAX);
    id.ok_or_else(|| Refusal::record(key))
}

/// Seconds and a fraction of which nanoseconds are kept; below zero the fraction counts down too.
pub(super) fn time(key: &[u8], value: &[u8]) -> Result<Time, Refusal> {
    let malformed = || Refusal::record(key);
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let mut parts = value.splitn(2, |byte| *byte == b'.');
    let seconds = plain_decimal(parts.next().unwrap_or_default()).ok_or_else(malformed)?;
    let seconds = i64::try_from(seconds).map_err(|_| malformed())?;
    let fraction = match parts.next() {
        None => 0,
        Some(digits) if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            let digits = digits.iter().chain(std::iter::repeat(&b'0')).take(9);
            digits.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
        }
        Some(_) => return Err(malformed()),
    };
    Ok(match (negative, fraction) {
        (false, nanoseconds) => Time { seconds, nanoseconds },
        (true, 0) => Time { seconds: -seconds, nanoseconds: 0 },
        (true, nanoseconds) => {
            Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds }
        }
    })
}

pub(super) fn from_percent(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = text.iter();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                (digit(bytes.next()?)? << 4 | digit(bytes.next()?)?) as u8
            }
            byte => *byte,
        });
    }
    Some(plain)
}

/// As libarchive writes it: without padding, though some pad.
pub(super) fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    if text.len() - end > 2 || end % 4 == 1 {
        return None;
    }
    let mut plain = Vec::with_capacity(end / 4 * 3 + 2);
    for group in text[..end].chunks(4) {
        let mut bits = 0u32;
        for byte in group {
            let six = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(six);
        }
        bits <<= 6 * (4 - group.len());
        plain.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_the_epoch_count_down() {
        let time = |text: &str| {
            let time = time(b"mtime", text.as_bytes()).unwrap();
            (time.seconds, time.nanoseconds)
        };
        assert_eq!(time("-1"), (-1, 0));
        assert_eq!(time("-1.25"), (-2, 750_000_000));
        assert_eq!(time("-0.000000001"), (-1, 999_999_999));
        assert_eq!(time("0.5"), (0, 500_000_000));
    }

    #[test]
    fn a_record_has_exactly_the_form_of_one() {
        for text in [
            &b"5 a=\n"[..],
            b"06 a=b\n",
            b"7 a=b\n",
            b"5 a=b\n",
            b"6 a=b ",
            b" 6 a=b\n",
            b"6  =b\n\0",
            b"5 =b\n",
            b"6 abc\n",
            b"-6 a=b\n",
            b"99999999999999999999 a=b\n",
            b"6 a=b\n6",
            b"8 a\0x=b\n",
            b"\0",
        ] {
            let parsed = records(text).collect::<Result<Vec<_>, _>>();
            let fine = text == b"5 a=\n";
            assert_eq!(parsed.is_ok(), fine, "{}", text.escape_ascii());
        }
    }
}
