//! `ps`: a container's processes, as numbers or as ps(1) shows them.

use std::process::{Command, Stdio};

use super::args::{Format, PsArgs};
use super::store::Store;
use super::{Error, place, print};

/// Prints the processes, by their numbers on the host.
pub(super) fn ps(store: &Store, args: &PsArgs) -> Result<u8, Error> {
    let home = store.find(&args.id.parse()?)?;
    let record = home.record()?;
    let pids = match place::find(&record)? {
        Some(cgroup) => cgroup.pids()?,
        None => Vec::new(),
    };
    match args.format {
        Format::Json if pids.is_empty() => print("null\n"),
        Format::Json => print(&format!("{}\n", serde_json::Value::from(pids))),
        Format::Table => print(&table(&shown(&args.options)?, &pids)?),
    }
}

/// What ps(1) says about all processes.
fn shown(options: &[String]) -> Result<String, Error> {
    let options = if options.is_empty() { &["-ef".to_owned()] } else { options };
    let output = Command::new("ps")
        .args(options)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Error::io("execute", "ps", error))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(Error::Ps(output.status.to_string())),
    }
}

/// The head and the lines of these processes. What a process calls itself comes after its number.
fn table(shown: &str, pids: &[i32]) -> Result<String, Error> {
    let mut lines = shown.lines();
    let head = lines.next().unwrap_or_default();
    let column = head.split_whitespace().position(|title| title == "PID");
    let column = column.ok_or_else(|| Error::Ps("it shows no PID".to_owned()))?;
    let ours = lines.filter(|line| {
        let pid = line.split_whitespace().nth(column).and_then(|pid| pid.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    });
    Ok([head].into_iter().chain(ours).map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_the_containers_processes_are_shown() {
        let all = "UID PID CMD\nroot 1 init\nroot 22 sleep 1\nroot 2 [x]\n";
        assert_eq!(super::table(all, &[22]).unwrap(), "UID PID CMD\nroot 22 sleep 1\n");
        assert!(super::table("CMD\n1\n", &[1]).is_err());
    }
}
