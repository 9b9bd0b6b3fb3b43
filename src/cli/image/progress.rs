//! How far a load is, on one line of a terminal that its end takes away again.

use std::io::{self, IsTerminal, Write};

use crate::cli::human;
use crate::image::load::{LayerOf, Progress};

/// The line. There is none where nobody looks at it.
#[derive(Debug)]
pub(super) struct Line {
    shown: bool,
}

impl Line {
    /// On standard error, if that is a terminal.
    pub(super) fn new(quiet: bool) -> Line {
        Line { shown: !quiet && io::stderr().is_terminal() }
    }

    /// Shows what is done now. It is not worth a word if that can't be written.
    pub(super) fn tell(&self, progress: Progress) {
        if self.shown {
            let _ = write!(io::stderr(), "\r{}\x1b[K", words(progress));
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn words(progress: Progress) -> String {
    let layer = |what: &str, layer: LayerOf| {
        let LayerOf { number, of, bytes, .. } = layer;
        format!("layer {number} of {of}: {what} ({})", human::size(bytes))
    };
    match progress {
        Progress::There(it) => layer("is there", it),
        Progress::Unpacking(it) => layer("unpacking", it),
        Progress::Unpacked(it) => layer("unpacked", it),
        Progress::Committing => "writing to the disk".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Digest;

    #[test]
    fn a_layer_is_told_with_its_number_and_size() {
        let blob = Digest::sha256(b"");
        let layer = LayerOf { number: 2, of: 6, blob, bytes: 22_776_303 };
        assert_eq!(words(Progress::Unpacking(layer)), "layer 2 of 6: unpacking (22.8MB)");
    }
}
