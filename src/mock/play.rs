//! What a scripted container does: its image, its task's life, and what goes wrong on the way.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use oci_spec::runtime::Spec;

use super::Operation;
use crate::contract::Error;

/// Where the image is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Image {
    /// Here.
    Present,
    /// Elsewhere, until it is pulled.
    Remote,
    /// Nowhere, whatever a pull says.
    Gone,
    /// Here, and it declares a volume.
    WithVolume,
}

/// How the task ends.
#[derive(Clone, Debug)]
pub(super) enum End {
    Code(u8),
    Signal(i32),
    OutOfMemory,
    /// The driver can't find out.
    Lost(Error),
}

/// What an operation fails with, and how often; `None`: every time.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) error: Error,
    pub(super) times: Option<u32>,
}

type FromSpec = Arc<dyn Fn(&Spec) -> Vec<u8> + Send + Sync>;

/// What one container does. It begins as a task that ends well at once, and each method changes one
/// thing about it.
///
/// ```
/// use std::time::Duration;
/// use hotcell::contract::{Error, ErrorKind};
/// use hotcell::mock::{Operation, Play};
///
/// let slow_and_stubborn = Play::exits(3)
///     .lasting(Duration::from_secs(60))
///     .ignoring(15)
///     .delay(Operation::CreateContainer, Duration::from_millis(200))
///     .fail_times(1, Operation::Freeze, Error::new(ErrorKind::Host, "not now"));
/// # let _ = slow_and_stubborn;
/// ```
#[derive(Clone)]
#[must_use]
pub struct Play {
    pub(super) image: Image,
    pub(super) delays: BTreeMap<Operation, Duration>,
    pub(super) faults: BTreeMap<Operation, Fault>,
    pub(super) stdout: Vec<u8>,
    pub(super) stdout_from: Option<FromSpec>,
    pub(super) stderr: Vec<u8>,
    pub(super) echo: bool,
    /// `None`: until a signal ends it.
    pub(super) lasting: Option<Duration>,
    pub(super) end: End,
    /// What it does at a signal instead of dying of it; `None`: nothing.
    pub(super) reactions: BTreeMap<i32, Option<End>>,
    pub(super) stats: Vec<(Duration, BTreeMap<String, u64>)>,
}

impl Play {
    fn ending(end: End) -> Play {
        Play {
            image: Image::Present,
            delays: BTreeMap::new(),
            faults: BTreeMap::new(),
            stdout: Vec::new(),
            stdout_from: None,
            stderr: Vec::new(),
            echo: false,
            lasting: Some(Duration::ZERO),
            end,
            reactions: BTreeMap::new(),
            stats: Vec::new(),
        }
    }

    /// A task that exits with `code`.
    pub fn exits(code: u8) -> Play {
        Play::ending(End::Code(code))
    }

    /// A task that dies of `signal`.
    pub fn dies_of(signal: i32) -> Play {
        Play::ending(End::Signal(signal))
    }

    /// A task that the kernel kills for want of memory.
    pub fn runs_out_of_memory() -> Play {
        Play::ending(End::OutOfMemory)
    }

    /// A task whose end the driver learns nothing about but `error`.
    pub fn gets_lost(error: Error) -> Play {
        Play::ending(End::Lost(error))
    }

    /// A task that runs until a signal ends it.
    pub fn never_ends() -> Play {
        Play { lasting: None, ..Play::default() }
    }

    /// A task that copies its standard input to its standard output, like `cat`, and ends well.
    pub fn echoes() -> Play {
        Play { echo: true, ..Play::default() }
    }

    /// How long the task runs: after it has written what it writes and read what it reads.
    pub fn lasting(mut self, time: Duration) -> Play {
        self.lasting = Some(time);
        self
    }

    /// What it writes to standard output when it starts.
    pub fn stdout(mut self, text: impl Into<Vec<u8>>) -> Play {
        self.stdout = text.into();
        self
    }

    /// What it writes to standard error when it starts.
    pub fn stderr(mut self, text: impl Into<Vec<u8>>) -> Play {
        self.stderr = text.into();
        self
    }

    /// Looks at the specification when the container is made, and says what the task writes to
    /// standard output after [`stdout`](Play::stdout)'s text.
    pub fn stdout_from(mut self, text: impl Fn(&Spec) -> Vec<u8> + Send + Sync + 'static) -> Play {
        self.stdout_from = Some(Arc::new(text));
        self
    }

    /// The task takes no notice of `signal`; of SIGKILL it always dies.
    pub fn ignoring(mut self, signal: i32) -> Play {
        self.reactions.insert(signal, None);
        self
    }

    /// The task exits with `code` when it gets `signal`.
    pub fn exiting_on(mut self, signal: i32, code: u8) -> Play {
        self.reactions.insert(signal, Some(End::Code(code)));
        self
    }

    /// The image has to be pulled.
    pub fn needs_pull(mut self) -> Play {
        self.image = Image::Remote;
        self
    }

    /// The image has to be pulled, and is still missing when that went well.
    pub fn image_stays_away(mut self) -> Play {
        self.image = Image::Gone;
        self
    }

    /// The image declares a volume: it is refused.
    pub fn image_with_volume(mut self) -> Play {
        self.image = Image::WithVolume;
        self
    }

    /// How long `operation` takes, or each try of a pull.
    pub fn delay(mut self, operation: Operation, time: Duration) -> Play {
        self.delays.insert(operation, time);
        self
    }

    /// `operation` fails every time, after its delay.
    pub fn fail(mut self, operation: Operation, error: Error) -> Play {
        self.faults.insert(operation, Fault { error, times: None });
        self
    }

    /// `operation` fails so many times, then goes well.
    pub fn fail_times(mut self, times: u32, operation: Operation, error: Error) -> Play {
        self.faults.insert(operation, Fault { error, times: Some(times) });
        self
    }

    /// A measurement that is taken so long after the start, if the task or what waits for it has not
    /// come to its end by then.
    pub fn stat<K: Into<String>>(
        mut self,
        after: Duration,
        metrics: impl IntoIterator<Item = (K, u64)>,
    ) -> Play {
        let metrics = metrics.into_iter().map(|(key, value)| (key.into(), value)).collect();
        self.stats.push((after, metrics));
        self.stats.sort_by_key(|(after, _)| *after);
        self
    }

    pub(super) fn delay_of(&self, operation: Operation) -> Duration {
        self.delays.get(&operation).copied().unwrap_or_default()
    }
}

impl Default for Play {
    /// A task that ends well at once.
    fn default() -> Play {
        Play::exits(0)
    }
}

impl fmt::Debug for Play {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Play")
            .field("image", &self.image)
            .field("lasting", &self.lasting)
            .field("end", &self.end)
            .field("delays", &self.delays)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}
