//! `state`: one container as JSON, in the specification's keys and runc's.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use serde::Serialize;

use super::args::IdArgs;
use super::record::Record;
use super::status::Status;
use super::store::{Home, Store};
use super::{Error, print};

/// A container as `state` and `list` tell of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct State {
    oci_version: String,
    pub(super) id: String,
    /// 0 once it has stopped.
    pub(super) pid: i32,
    pub(super) status: String,
    pub(super) bundle: String,
    rootfs: String,
    pub(super) created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    pub(super) owner: String,
}

impl State {
    /// The container in `home` now.
    pub(super) fn of(home: &Home) -> Result<State, Error> {
        let record = home.record()?;
        let status = Status::of(home, &record)?;
        Ok(State::new(record, status, owner(home)))
    }

    fn new(record: Record, status: Status, owner: String) -> State {
        let running = !matches!(status, Status::Stopped | Status::Creating);
        State {
            oci_version: record.oci_version,
            id: record.id,
            pid: record.process.filter(|_| running).map_or(0, |process| process.pid),
            status: status.to_string(),
            bundle: record.bundle.to_string_lossy().into_owned(),
            rootfs: record.rootfs.to_string_lossy().into_owned(),
            created: record.created,
            annotations: record.annotations,
            owner,
        }
    }
}

/// Prints the container's state.
pub(super) fn state(store: &Store, args: &IdArgs) -> Result<u8, Error> {
    let home = store.find(&args.id.parse()?)?;
    let state = State::of(&home)?;
    let text = serde_json::to_string_pretty(&state)
        .map_err(|error| Error::io("print", home.path(), error))?;
    print(&format!("{text}\n"))
}

/// The name of the user whose directory it is; its number where it has no account.
fn owner(home: &Home) -> String {
    let Ok(found) = rustix::fs::fstat(home.as_fd()) else {
        return String::new();
    };
    let uid = found.st_uid.to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut lines = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let name = lines.find(|fields| fields.get(2) == Some(&uid.as_str()));
    name.map_or(uid.clone(), |fields| fields[0].to_owned())
}
