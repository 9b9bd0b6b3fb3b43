//! `process.terminal` and `process.consoleSize`.

use oci_spec::runtime::{Process, Spec};

use super::super::plan::Given;
use super::super::{Error, Step};
use super::{Place, annotated};
use crate::bundle::annotation;

/// The step that opens the task's terminal, if it gets one.
pub(super) fn compile(
    spec: &Spec,
    place: &Place,
    given: &mut Vec<Given>,
) -> Result<Option<Step>, Error> {
    let Some(process) = spec.process().as_ref().filter(|process| process.terminal() == Some(true))
    else {
        return Ok(None);
    };
    if annotated(spec, annotation::INIT) == Some("true") {
        return Err(invalid("has no use for an init that stays"));
    }
    step(process, place.console.is_some(), true, given).map(Some)
}

/// The step for a process with a terminal: whether there is a socket for it, and whether it is the
/// cell's console.
pub(super) fn step(
    process: &Process,
    socket: bool,
    console: bool,
    given: &mut Vec<Given>,
) -> Result<Step, Error> {
    if !socket {
        return Err(invalid("needs a console socket to send the terminal to"));
    }
    let [rows, columns] = size(process)?;
    let uid = process.user().uid();
    let socket = Given::Console.to(given);
    Ok(Step::Terminal { socket, uid, rows, columns, console })
}

fn invalid(why: &str) -> Error {
    Error::Invalid { field: "process.terminal".into(), why: why.into() }
}

/// Rows and columns; 0 and 0 where nothing is said of them.
fn size(process: &Process) -> Result<[u16; 2], Error> {
    let Some(size) = process.console_size() else {
        return Ok([0, 0]);
    };
    let number = |value: u64| {
        u16::try_from(value).map_err(|_| Error::Invalid {
            field: "process.consoleSize".to_owned(),
            why: format!("{value} is more than a terminal can have ({})", u16::MAX),
        })
    };
    Ok([number(size.height())?, number(size.width())?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> Spec {
        let json = format!(
            r#"{{"ociVersion": "1.0.2", "process": {{"terminal": true, "cwd": "/", "args": ["x"],
                "user": {{"uid": 7, "gid": 0}}{json}}}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    fn place() -> Place {
        let console = Some(tempfile::tempfile().unwrap().into());
        Place { console, ..Place::default() }
    }

    #[test]
    fn a_terminal_is_its_users_and_as_large_as_asked_for() {
        let sized = spec(r#", "consoleSize": {"height": 40, "width": 132}"#);
        let mut given = Vec::new();
        let step = compile(&sized, &place(), &mut given).unwrap().unwrap();
        let expected = Step::Terminal { socket: 4, uid: 7, rows: 40, columns: 132, console: true };
        assert_eq!((step, given), (expected, vec![Given::Console]));
        let huge = spec(r#", "consoleSize": {"height": 65536, "width": 1}"#);
        let error = compile(&huge, &place(), &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("process.consoleSize: 65536"), "{error}");
    }

    #[test]
    fn a_terminal_that_nobody_shows_is_refused() {
        let error = compile(&spec(""), &Place::default(), &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("process.terminal: needs a console socket"));
    }
}
