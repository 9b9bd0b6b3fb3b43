//! `run`: a container from its bundle to its end, with this program's streams.

use super::Error;
use super::args::{CgroupManager, RunArgs};
use super::attend::{Signals, attend};
use super::console::Relay;
use super::delete::remove;
use super::log::Log;
use super::making::{Made, When, make};
use super::store::Store;

/// Runs the container and gives its code; with `--detach`, returns when it has been started.
pub(super) fn run(
    store: &Store,
    args: &RunArgs,
    manager: CgroupManager,
    log: &Log,
) -> Result<u8, Error> {
    if args.detach {
        return make(store, &args.make, manager, When::Now, log).map(|_| 0);
    }
    // From here on signals wait to be read.
    let signals = Signals::watch()?;
    // Other commands may act on it while it runs.
    let Made { home, record, cell, terminal } =
        make(store, &args.make, manager, When::Foreground, log)?;
    let id = home.id().clone();
    drop(home);
    let ended = terminal
        .map(Relay::new)
        .transpose()
        .and_then(|mut relay| attend(&cell, &signals, relay.as_mut()));
    if ended.is_err() {
        let _ = cell.kill();
    }
    if args.keep {
        return Ok(ended?.shell_code());
    }
    let removed = match store.lock(&id).and_then(|home| remove(home, &record, log)) {
        // Somebody else was faster.
        Err(Error::Unknown) => Ok(()),
        removed => removed,
    };
    let code = ended?.shell_code();
    removed.map(|()| code)
}
