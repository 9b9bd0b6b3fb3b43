//! `Content-Range`: which part of a blob an answer is.

/// A part of something, in bytes, both ends counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Range {
    pub(super) first: u64,
    pub(super) last: u64,
    /// How long the whole is, if that is told.
    pub(super) whole: Option<u64>,
}

impl Range {
    /// Reads `bytes FIRST-LAST/WHOLE`, where the whole may be `*`.
    pub(super) fn parse(text: &str) -> Option<Range> {
        let (unit, rest) = text.trim().split_once(' ')?;
        let (span, whole) = rest.trim_start().split_once('/')?;
        let (first, last) = span.split_once('-')?;
        let whole = match whole {
            "*" => None,
            whole => Some(number(whole)?),
        };
        let range = Range { first: number(first)?, last: number(last)?, whole };
        let fits = range.first <= range.last && whole.is_none_or(|whole| range.last < whole);
        (unit.eq_ignore_ascii_case("bytes") && fits).then_some(range)
    }

    /// Whether it starts at `offset` in something of `size` bytes, and ends in it.
    pub(super) fn continues(&self, offset: u64, size: u64) -> bool {
        self.first == offset && self.last < size && self.whole.is_none_or(|whole| whole == size)
    }

    pub(super) fn length(&self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }
}

/// Digits alone: parsing would take a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_range_that_makes_sense_is_read() {
        let whole = Some(10);
        let read = |first, last, whole| Some(Range { first, last, whole });
        for (text, wanted) in [
            ("bytes 0-9/10", read(0, 9, whole)),
            ("Bytes 3-3/10", read(3, 3, whole)),
            ("bytes 3-9/*", read(3, 9, None)),
            ("bytes 3-2/10", None),
            ("bytes 3-10/10", None),
            ("bytes +3-9/10", None),
            ("bytes -3-9/10", None),
            ("bytes 3-/10", None),
            ("bytes */10", None),
            ("bytes 3-9", None),
            ("items 3-9/10", None),
            ("bytes=3-9/10", None),
            ("bytes 0-18446744073709551615/*", read(0, u64::MAX, None)),
            ("bytes 0-18446744073709551616/*", None),
            ("", None),
        ] {
            assert_eq!(Range::parse(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_range_continues_only_where_the_last_bytes_ended() {
        let continues = |text: &str| Range::parse(text).unwrap().continues(3, 10);
        assert!(continues("bytes 3-9/10") && continues("bytes 3-5/10") && continues("bytes 3-9/*"));
        assert!(!continues("bytes 2-9/10") && !continues("bytes 4-9/10"));
        assert!(!continues("bytes 3-9/11") && !continues("bytes 3-10/*"));
    }

    proptest! {
        #[test]
        fn nothing_makes_the_reader_fall_over(text in "(bytes )?[0-9*/ +-]{0,60}|\\PC{0,40}") {
            if let Some(range) = Range::parse(&text) {
                prop_assert!(range.length() > 0);
                let _ = range.continues(0, u64::MAX);
            }
        }

        #[test]
        fn what_is_written_is_what_is_read(first: u32, more: u32, after in 1..u64::from(u32::MAX)) {
            let first = u64::from(first);
            let last = first + u64::from(more);
            let whole = last + after;
            let read = Range::parse(&format!("bytes {first}-{last}/{whole}"));
            prop_assert_eq!(read, Some(Range { first, last, whole: Some(whole) }));
        }
    }
}
