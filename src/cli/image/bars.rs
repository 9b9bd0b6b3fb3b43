//! How far a pull is: bars on a terminal, a line for each layer elsewhere.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::termios::tcgetwinsize;

use crate::cli::human;
use crate::image::load::LayerOf;
use crate::image::pull::Progress;

/// How often bytes that come are worth a new picture.
const PACE: Duration = Duration::from_millis(100);
/// Signs in a bar.
const BAR: usize = 24;

/// Tells of a pull on standard error. Its end takes the bars away.
pub(super) struct Bars {
    how: How,
    state: Mutex<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Silent,
    Lines,
    Bars,
}

/// What is known of the pull.
#[derive(Debug)]
struct State {
    rows: Vec<Row>,
    committing: bool,
    since: Instant,
    /// When the picture was made, and how many lines it has.
    drawn: Option<Instant>,
    lines: usize,
}

/// A layer.
#[derive(Debug)]
struct Row {
    layer: LayerOf,
    got: u64,
    phase: Phase,
}

/// How far a layer is. It may be unpacked while it comes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Phase {
    Waiting,
    Downloading,
    Unpacking,
    Done,
    There,
}

impl Bars {
    pub(super) fn new(quiet: bool) -> Bars {
        let how = match (quiet, io::stderr().is_terminal()) {
            (true, _) => How::Silent,
            (false, true) => How::Bars,
            (false, false) => How::Lines,
        };
        let since = Instant::now();
        let state = State { rows: Vec::new(), committing: false, since, drawn: None, lines: 0 };
        Bars { how, state: Mutex::new(state) }
    }

    /// Hears what is done now. It is not worth a word if that can't be shown.
    pub(super) fn tell(&self, progress: &Progress) {
        if self.how == How::Silent {
            return;
        }
        let mut state = self.state();
        let line = state.hear(progress);
        match self.how {
            How::Bars => state.show(line.is_some()),
            _ => {
                if let Some(line) = line {
                    let _ = writeln!(io::stderr(), "{line}");
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        if self.how == How::Bars {
            let lines = self.state().lines;
            let _ = write!(io::stderr(), "{}", up(lines));
        }
    }
}

impl State {
    /// Takes it in. Gives the line about it, if it is worth one.
    fn hear(&mut self, progress: &Progress) -> Option<String> {
        let (layer, phase, line) = match progress {
            Progress::Layers(layers) => {
                let row = |layer: &LayerOf| Row { layer: *layer, got: 0, phase: Phase::Waiting };
                self.rows = layers.iter().map(row).collect();
                return None;
            }
            Progress::There(layer) => (layer, Phase::There, "is there"),
            Progress::Downloading { layer, bytes } => {
                self.row(layer)?.got = *bytes;
                (layer, Phase::Downloading, "")
            }
            Progress::Downloaded(layer) => {
                self.row(layer)?.got = layer.bytes;
                (layer, Phase::Downloading, "downloaded")
            }
            Progress::Unpacking(layer) => (layer, Phase::Unpacking, ""),
            Progress::Unpacked(layer) => (layer, Phase::Done, "unpacked"),
            Progress::Committing => {
                self.committing = true;
                return Some("writing to the disk".to_owned());
            }
        };
        let row = self.row(layer)?;
        row.phase = row.phase.max(phase);
        let LayerOf { number, of, bytes, .. } = row.layer;
        let said = || format!("layer {number} of {of}: {line} ({})", human::size(bytes));
        (!line.is_empty()).then(said)
    }

    fn row(&mut self, layer: &LayerOf) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.layer.number == layer.number)
    }

    /// Makes a new picture: at once for a new state, else when the last one is old enough.
    fn show(&mut self, at_once: bool) {
        let now = Instant::now();
        if !at_once && self.drawn.is_some_and(|then| now - then < PACE) {
            return;
        }
        let size = tcgetwinsize(io::stderr()).map(|size| (size.ws_col.into(), size.ws_row.into()));
        // A terminal may not know.
        let (width, height) = match size {
            Ok((width, height)) if width > 0 && height > 1 => (width, height),
            _ => (80, 24),
        };
        let lines = self.picture(now - self.since, width, height);
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let _ = write!(io::stderr(), "{}{text}", up(self.lines));
        self.lines = lines.len();
        self.drawn = Some(now);
    }

    /// The lines: a bar for each layer, those that are done left out where there are too many, and the
    /// sum.
    fn picture(&self, time: Duration, width: usize, height: usize) -> Vec<String> {
        let room = height.saturating_sub(2);
        let all = self.rows.len() <= room;
        let busy = |row: &&Row| all || !matches!(row.phase, Phase::There | Phase::Done);
        let mut lines: Vec<_> = self.rows.iter().filter(busy).take(room).map(Row::line).collect();
        lines.push(self.sum(time));
        // The last column stays free: some terminals go to the next line there.
        let fit = |line: String| line.chars().take(width.saturating_sub(1)).collect();
        lines.into_iter().map(fit).collect()
    }

    fn sum(&self, time: Duration) -> String {
        let mut done = 0;
        let (mut got, mut all) = (0, 0);
        for row in &self.rows {
            let is_there = row.phase == Phase::There;
            done += usize::from(is_there || row.phase == Phase::Done);
            if !is_there {
                got += row.got();
                all += row.layer.bytes;
            }
        }
        if self.committing {
            return "writing to the disk".to_owned();
        }
        let sum = format!(
            "{done} of {} layers, {} of {}",
            self.rows.len(),
            human::size(got),
            human::size(all),
        );
        let rate = got as f64 / time.as_secs_f64().max(0.1);
        // When all has come, nothing comes any more.
        if got < all { format!("{sum}, {}/s", human::size(rate as u64)) } else { sum }
    }
}

impl Row {
    fn got(&self) -> u64 {
        match self.phase {
            Phase::Done => self.layer.bytes,
            _ => self.got.min(self.layer.bytes),
        }
    }

    fn line(&self) -> String {
        let id: String = self.layer.blob.hex().chars().take(12).collect();
        let size = human::size(self.layer.bytes);
        let got = self.got();
        let what = match self.phase {
            Phase::Waiting => format!("waiting ({size})"),
            Phase::There => format!("is there ({size})"),
            Phase::Done => format!("unpacked ({size})"),
            // A layer that was fetched before is unpacked alone.
            Phase::Unpacking if got == 0 || got == self.layer.bytes => {
                format!("unpacking ({size})")
            }
            Phase::Downloading if got == self.layer.bytes => format!("downloaded ({size})"),
            Phase::Downloading | Phase::Unpacking => {
                format!("{} {} of {size}", bar(got, self.layer.bytes), human::size(got))
            }
        };
        format!("{id}  {what}")
    }
}

fn bar(got: u64, of: u64) -> String {
    let full = (u128::from(got) * BAR as u128 / u128::from(of.max(1))).min(BAR as u128) as usize;
    let head = if full < BAR { ">" } else { "" };
    format!("[{}{head}{}]", "=".repeat(full), " ".repeat(BAR - full - head.len()))
}

/// Back to the first of so many lines, and all below it taken away.
fn up(lines: usize) -> String {
    match lines {
        0 => "\r\x1b[J".to_owned(),
        lines => format!("\r\x1b[{lines}A\x1b[J"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Digest;

    fn layer(number: usize, bytes: u64) -> LayerOf {
        LayerOf { number, of: 3, blob: Digest::sha256(&[number as u8]), bytes }
    }

    fn state() -> State {
        let since = Instant::now();
        let mut state = State { rows: Vec::new(), committing: false, since, drawn: None, lines: 0 };
        let layers = vec![layer(1, 1000), layer(2, 4_000_000), layer(3, 30_000)];
        assert_eq!(state.hear(&Progress::Layers(layers)), None);
        state
    }

    #[test]
    fn a_picture_has_a_bar_for_each_layer_and_the_sum() {
        let mut state = state();
        let number = |number: usize| Digest::sha256(&[number as u8]).hex()[..12].to_owned();
        state.hear(&Progress::There(layer(1, 1000)));
        state.hear(&Progress::Downloading { layer: layer(2, 4_000_000), bytes: 1_000_000 });
        let second = Duration::from_secs(1);
        assert_eq!(
            state.picture(second, 80, 24),
            [
                format!("{}  is there (1kB)", number(1)),
                format!("{}  [======>                 ] 1MB of 4MB", number(2)),
                format!("{}  waiting (30kB)", number(3)),
                "1 of 3 layers, 1MB of 4.03MB, 1MB/s".to_owned(),
            ]
        );
        assert!(state.picture(second, 20, 24).iter().all(|line| line.len() <= 19));
        state.hear(&Progress::Unpacking(layer(2, 4_000_000)));
        state.hear(&Progress::Downloading { layer: layer(2, 4_000_000), bytes: 3_000_000 });
        assert!(state.picture(second, 80, 24)[1].ends_with("] 3MB of 4MB"));
        state.hear(&Progress::Downloaded(layer(2, 4_000_000)));
        state.hear(&Progress::Unpacked(layer(3, 30_000)));
        let few = state.picture(second, 80, 4);
        assert_eq!(few.len(), 2, "{few:?}");
        assert!(few[0].ends_with("unpacking (4MB)") && few[1].starts_with("2 of 3"), "{few:?}");
        assert_eq!(few[1], "2 of 3 layers, 4.03MB of 4.03MB");
        state.hear(&Progress::Committing);
        assert_eq!(state.picture(second, 80, 24)[3], "writing to the disk");
    }

    #[test]
    fn elsewhere_each_layer_has_a_line_when_something_of_it_is_done() {
        let mut state = state();
        let mut hear = |progress| state.hear(&progress);
        let two = layer(2, 4_000_000);
        let line = |text: &str| Some(text.to_owned());
        assert_eq!(hear(Progress::There(layer(1, 1000))), line("layer 1 of 3: is there (1kB)"));
        assert_eq!(hear(Progress::Downloading { layer: two, bytes: 1 }), None);
        assert_eq!(hear(Progress::Downloaded(two)), line("layer 2 of 3: downloaded (4MB)"));
        assert_eq!(hear(Progress::Unpacking(two)), None);
        assert_eq!(hear(Progress::Unpacked(two)), line("layer 2 of 3: unpacked (4MB)"));
        assert_eq!(hear(Progress::Unpacked(layer(9, 1))), None);
    }

    #[test]
    fn a_bar_is_as_full_as_what_came() {
        assert_eq!(bar(0, 10), format!("[>{}]", " ".repeat(23)));
        assert_eq!(bar(10, 10), format!("[{}]", "=".repeat(24)));
        assert_eq!(bar(u64::MAX, 1), format!("[{}]", "=".repeat(24)));
        assert_eq!(bar(0, 0).len(), 26);
    }
}
