//! Sizes and CPUs: their units, and the forms in which people write them, `64m` and `0.5`.

use std::str::FromStr;

use super::Error;

/// A size in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = Error;

    /// `64m`, `1.5g`, `4096`: units are powers of 1024.
    fn from_str(text: &str) -> Result<Bytes, Error> {
        parse_bytes(text)
    }
}

/// Thousandths of one CPU.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct MilliCpu(pub u32);

impl FromStr for MilliCpu {
    type Err = Error;

    /// CPUs as a decimal number: `0.5`.
    fn from_str(text: &str) -> Result<MilliCpu, Error> {
        parse_cpus(text)
    }
}

impl MilliCpu {
    /// Quota and period in microseconds. The period is 100 ms, as Docker's and fn's; below 10
    /// milli-CPU it is 1 s, because the kernel takes no quota under 1 ms. So no amount is rounded
    /// or clamped.
    #[must_use]
    pub fn quota_and_period_us(self) -> (i64, u64) {
        match self.0 {
            ..10 => (i64::from(self.0) * 1000, 1_000_000),
            10.. => (i64::from(self.0) * 100, 100_000),
        }
    }
}

/// A size as Docker reads it: `b`, `k`, `m`, `g`, `t`, `p` (also `kb`, `kib`, …, any case) are
/// powers of 1024, and a fraction is allowed: `1.5g`.
fn parse_bytes(text: &str) -> Result<Bytes, Error> {
    let refuse = |why: &str| Error::invalid("size", text, why);
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.to_ascii_lowercase();
    let shift = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit) {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return Err(refuse("must be a number with b, k, m, g, t or p behind it")),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let parse = |digits: &str| match digits {
        "" => Ok(0),
        digits => digits.parse::<u64>().map_err(|_| refuse("must be a number below 2^63")),
    };
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 9 {
        return Err(refuse("must be a number with b, k, m, g, t or p behind it"));
    }
    let scale = 10u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
    let part = (u128::from(parse(fraction)?) << shift) / scale;
    let total = (u128::from(parse(whole)?) << shift) + part;
    match i64::try_from(total) {
        Ok(bytes) => Ok(Bytes(bytes.unsigned_abs())),
        Err(_) => Err(refuse("must be a number below 2^63")),
    }
}

/// CPUs as a decimal number, to the thousandth: `0.5` is 500 milli-CPU.
fn parse_cpus(text: &str) -> Result<MilliCpu, Error> {
    let refuse = |why: &str| Error::invalid("number of CPUs", text, why);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !is_number(whole) || !is_number(fraction) {
        return Err(refuse("must be a decimal number such as 0.5"));
    }
    let trimmed = fraction.trim_end_matches('0');
    if trimmed.len() > 3 {
        return Err(refuse("must not be finer than a thousandth"));
    }
    let thousandths: u32 = format!("{trimmed:0<3}").parse().map_err(|_| refuse("is no number"))?;
    let whole: u32 = if whole.is_empty() { Ok(0) } else { whole.parse() }
        .map_err(|_| refuse("must be at most 1000000"))?;
    if whole > 1_000_000 {
        return Err(refuse("must be at most 1000000"));
    }
    match whole * 1000 + thousandths {
        0 => Err(refuse("must be more than 0")),
        milli => Ok(MilliCpu(milli)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [
            ("64m", 64 << 20),
            ("64MB", 64 << 20),
            ("64MiB", 64 << 20),
            ("1.5g", 3 << 29),
            ("128", 128),
            ("0", 0),
            ("7b", 7),
            (".5k", 512),
        ] {
            assert_eq!(parse_bytes(text).unwrap().0, bytes, "{text}");
        }
        for bad in ["", "m", "-1", "64q", "1e3", "9999999p", "0x10", " 1", "1 m", "."] {
            assert!(parse_bytes(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn cpus_are_thousandths() {
        for (text, milli) in [("0.5", 500), ("2", 2000), (".25", 250), ("1.0000", 1000)] {
            assert_eq!(parse_cpus(text).unwrap().0, milli, "{text}");
        }
        for bad in ["", ".", "0", "-1", "0.0005", "1e1", "2000000", "NaN", "1.2.3"] {
            assert!(parse_cpus(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_milli_cpu_is_exact_and_above_the_kernels_minimum() {
        for milli in 1..=20_000 {
            let (quota, period) = MilliCpu(milli).quota_and_period_us();
            assert!(quota >= 1000, "{milli}");
            assert_eq!(quota.unsigned_abs() * 1000, u64::from(milli) * period, "{milli}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,24}") {
            let _ = (parse_bytes(&text), parse_cpus(&text));
        }
    }
}
