//! A cell's standard streams: what the task brought along, at the far ends of pipes.

use oci_spec::runtime::Spec;

use super::configure::TaskStreams;
use crate::bundle::owner;
use crate::contract::{Error, ErrorKind, Output, Result};
use crate::launch::{Stdio, Stream};
use crate::logs::{Feed, Pump, input_pipe, output_pipe};

/// Our ends, each with what serves it. A stream that the task left out has none.
pub(super) struct Streams {
    stdin: Option<Feed>,
    outputs: Vec<Pump>,
}

impl Streams {
    /// Makes the pipes; the cell's ends belong to the user it runs as, because programs open
    /// `/dev/stdout` by name.
    pub(super) fn open(task: TaskStreams, spec: &Spec) -> Result<(Streams, Stdio)> {
        // Ids that nobody has can't be launched.
        let owner = owner(spec).unwrap_or((0, 0));
        let mut streams = Streams { stdin: None, outputs: Vec::new() };
        let mut stdio = Stdio::default();
        if let Some(input) = task.stdin {
            let (ours, cells) = input_pipe(owner).map_err(no_pipe)?;
            stdio.stdin = Stream::Fd(cells);
            streams.stdin = Some(Feed::start(ours, input).map_err(no_pipe)?);
        }
        let mut output = |name, writer: Option<Output>| -> Result<Stream> {
            let Some(writer) = writer else {
                return Ok(Stream::Null);
            };
            let (ours, cells) = output_pipe(owner).map_err(no_pipe)?;
            streams.outputs.push(Pump::start(ours, name, vec![writer]).map_err(no_pipe)?);
            Ok(Stream::Fd(cells))
        };
        stdio.stdout = output("standard output", task.stdout)?;
        stdio.stderr = output("standard error", task.stderr)?;
        Ok((streams, stdio))
    }

    /// The cell has ended: what is in the pipes is all, and nobody reads any more.
    pub(super) fn finish(&self) {
        self.stdin.iter().for_each(Feed::stop);
        self.outputs.iter().for_each(Pump::finish);
    }

    /// Returns when every writer has taken everything, has failed, or has been busy for `GRACE`.
    pub(super) async fn offered(&self) {
        for output in &self.outputs {
            output.offered().await;
        }
    }

    /// What a reader or writer of the task failed with, if one did.
    pub(super) fn failure(&self) -> Option<Error> {
        // All are asked: a failure that comes after the question is logged.
        let stdin = self.stdin.as_ref().and_then(Feed::failure);
        let outputs: Vec<_> = self.outputs.iter().map(Pump::failure).collect();
        stdin.or_else(|| outputs.into_iter().flatten().next())
    }
}

fn no_pipe(error: std::io::Error) -> Error {
    Error::caused(ErrorKind::Host, "run: making the pipes of the standard streams", error)
}
