//! Times as people type them: `10`, `1.5s`, `500ms`, `2m`, `1h`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How long a command may take, as typed.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Timeout {
    pub(super) duration: Duration,
    text: String,
}

impl FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Timeout, String> {
        let refuse = || format!("{text:?} is not a time such as 10, 1.5s, 500ms, 2m or 1h");
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let seconds = match unit {
            "" | "s" => 1.0,
            "ms" => 0.001,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(refuse()),
        };
        let number: f64 = number.parse().map_err(|_| refuse())?;
        let duration = Duration::try_from_secs_f64(number * seconds).map_err(|_| refuse())?;
        if duration.is_zero() {
            return Err(refuse());
        }
        Ok(Timeout { duration, text: text.to_owned() })
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_bare_seconds() {
        for (text, millis) in [("10", 10_000), ("1.5s", 1500), ("500ms", 500), ("2m", 120_000)] {
            let timeout: Timeout = text.parse().unwrap();
            assert_eq!(timeout.duration, Duration::from_millis(millis), "{text}");
        }
        for bad in ["", "0", "-1", "1d", "s", "1.2.3", "inf", "1e400h"] {
            assert!(bad.parse::<Timeout>().is_err(), "{bad}");
        }
    }
}
