//! One buffer for each thread, lent out for as long as something is copied without waiting.

use std::cell::Cell;

/// Its size: what a pipe holds unless someone enlarged it.
pub(super) const SIZE: usize = 64 << 10;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Runs `work` with this thread's buffer. What is in it is anyone's: the bytes of other streams.
///
/// A foreign writer runs in there. If it comes back to us, it gets a buffer of its own; if it
/// panics, the next one is made anew.
pub(super) fn with<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
    buffer.resize(SIZE, 0);
    let done = work(&mut buffer);
    // A thread that is ending keeps nothing.
    let _ = BUFFER.try_with(|kept| kept.set(buffer));
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_survives_a_call_within_a_call_and_a_panic() {
        with(|outer| {
            outer.fill(1);
            with(|inner| inner.fill(2));
            assert!(outer.iter().all(|byte| *byte == 1));
        });
        let _ = std::panic::catch_unwind(|| with(|_| panic!("on purpose")));
        assert_eq!(with(|buffer| buffer.len()), SIZE);
    }
}
