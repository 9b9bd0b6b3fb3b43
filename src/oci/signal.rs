//! Signals as people and engines name them.

use std::str::FromStr;

use rustix::process::Signal;

use super::Error;
use crate::sys::pidfd;

/// A signal to be sent; 0 only asks whether somebody is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Wanted(pub(super) Option<Signal>);

/// The signal of this number.
pub(super) fn of(number: i32) -> Option<Signal> {
    pidfd::signal(number)
}

impl FromStr for Wanted {
    type Err = Error;

    /// A number, or a name with or without `SIG` in any case; `RTMIN+n` and `RTMAX-n` too.
    fn from_str(text: &str) -> Result<Wanted, Error> {
        let unknown = || Error::Signal(text.to_owned());
        if text == "0" {
            return Ok(Wanted(None));
        }
        let number = match text.parse::<i32>() {
            Ok(number) => Some(number),
            Err(_) => named(&text.to_ascii_uppercase()),
        };
        let signal = number.and_then(of).ok_or_else(unknown)?;
        Ok(Wanted(Some(signal)))
    }
}

fn named(text: &str) -> Option<i32> {
    let name = text.strip_prefix("SIG").unwrap_or(text);
    let offset = |rest: &str, sign| match rest.strip_prefix(sign) {
        Some(digits) => digits.parse::<i32>().ok().filter(|offset| (0..=30).contains(offset)),
        None => rest.is_empty().then_some(0),
    };
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return offset(rest, '+').map(|offset| 34 + offset);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        return offset(rest, '-').map(|offset| 64 - offset);
    }
    let other = match name {
        "CLD" => "CHLD",
        "IOT" => "ABRT",
        "POLL" => "IO",
        name => name,
    };
    nix::sys::signal::Signal::from_str(&format!("SIG{other}")).ok().map(|signal| signal as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_a_number_and_names() {
        let number = |text: &str| text.parse::<Wanted>().ok().map(|w| w.0.map(Signal::as_raw));
        for text in ["9", "KILL", "SIGKILL", "sigkill", "Kill"] {
            assert_eq!(number(text), Some(Some(9)), "{text}");
        }
        assert_eq!(number("0"), Some(None));
        assert_eq!(number("SIGRTMIN+3"), Some(Some(37)));
        assert_eq!(number("RTMAX"), Some(Some(64)));
        assert_eq!(number("SIGCLD"), Some(Some(17)));
        for bad in
            ["", "FOO", "SIG", "-1", "65", "32", "RTMIN-1", "RTMAX+1", "RTMIN+31", "SIGSIGHUP"]
        {
            assert_eq!(number(bad), None, "{bad}");
        }
    }
}
