//! `list`: every container of a state directory.

use super::args::{Format, ListArgs};
use super::error::line;
use super::log::Log;
use super::state::State;
use super::store::Store;
use super::table::table;
use super::{Error, print};

/// Prints the containers as ids, a table or JSON. What is made or removed meanwhile, and what a
/// killed command left without a record, is left out.
pub(super) fn list(store: &Store, args: &ListArgs, log: &Log) -> Result<u8, Error> {
    let ids = store.ids()?;
    if args.quiet {
        let lines: Vec<_> = ids.iter().map(|id| format!("{id}\n")).collect();
        return print(&lines.concat());
    }
    let mut states = Vec::new();
    for id in &ids {
        match store.find(id).and_then(|home| State::of(&home)) {
            Ok(state) => states.push(state),
            Err(Error::Unknown) => {}
            // One that can't be read hides none of the others.
            Err(error) => log.warning(&format!("container {id}: {}", line(&error))),
        }
    }
    match args.format {
        Format::Table => print(&rows(states)),
        // Nothing is null, as runc has it.
        Format::Json if states.is_empty() => print("null\n"),
        Format::Json => {
            let text = serde_json::to_string(&states);
            print(&format!("{}\n", text.map_err(|error| Error::io("print", "the list", error))?))
        }
    }
}

fn rows(states: Vec<State>) -> String {
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned).to_vec();
    let row = |s: State| vec![s.id, s.pid.to_string(), s.status, s.bundle, s.created, s.owner];
    let rows: Vec<_> = [head].into_iter().chain(states.into_iter().map(row)).collect();
    table(&rows)
}
