//! `hotcell doctor`: what this host can enforce, found out by trying.
//!
//! [`trial`] runs one small cell, [`limits`], [`containment`] and [`host`] look at what it left
//! unsaid; this file puts the findings in order and prints them. Only the trial decides whether a
//! cell can run.

mod containment;
mod host;
mod limits;
mod trial;

use serde::Serialize;

use super::args::{DoctorArgs, Format};
use super::{Code, Failure, human, print};
use crate::cgroup::{self, Controller, Hierarchies};
use crate::launch::tmpfs_keeps_attributes;
use crate::native::Options;
use limits::Swap;
use trial::Trial;

/// How much of a thing this host has.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Debug)]
#[serde(rename_all = "lowercase")]
enum State {
    /// It works.
    Ok,
    /// It works in part, or could not be tried.
    Degraded,
    /// It doesn't work.
    Missing,
}

/// One finding: a line of the table.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
struct Check {
    name: &'static str,
    state: State,
    detail: String,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Check {
        Check::new(name, State::Ok, detail)
    }

    fn degraded(name: &'static str, detail: impl Into<String>) -> Check {
        Check::new(name, State::Degraded, detail)
    }

    fn missing(name: &'static str, detail: impl Into<String>) -> Check {
        Check::new(name, State::Missing, detail)
    }

    fn new(name: &'static str, state: State, detail: impl Into<String>) -> Check {
        // A path can hold anything; a finding is one line, and not one that drives a terminal.
        let detail = detail.into().replace(char::is_control, " ");
        Check { name, state, detail }
    }
}

/// The whole answer, as `--format json` gives it.
#[derive(Serialize)]
struct Report {
    can_run: bool,
    checks: Vec<Check>,
}

/// Prints what was found out; the code says whether a cell can run.
pub(super) fn doctor(args: &DoctorArgs) -> Result<u8, Failure> {
    let options = args.driver.options();
    let trial = Trial::run(&options);
    let report = Report { can_run: trial.failure.is_none(), checks: checks(&options, &trial) };
    let text = match args.format {
        Format::Table => table(&report.checks),
        Format::Json => format!("{}\n", serde_json::to_string_pretty(&report)?),
    };
    print(&text)?;
    Ok(if report.can_run { 0 } else { Code::NotAble as u8 })
}

/// All findings: the ground first, the limits, what a cell is made of, and the cell itself.
fn checks(options: &Options, trial: &Trial) -> Vec<Check> {
    let detected = Hierarchies::detect().map_err(|error| match error {
        cgroup::Error::NoUnifiedTree => format!("{error}: mount one (type cgroup2)"),
        other => Failure::from(other).line,
    });
    let host = detected.as_ref().ok();
    let ran = trial.ran.as_ref();
    let swap = host.map(|host| Swap::look(host, &options.cgroup_parent));
    let parent = host.map(|host| host.unified.join(&options.cgroup_parent));
    vec![
        host::kernel(&rustix::system::uname().release().to_string_lossy()),
        host::privilege(
            rustix::process::geteuid().is_root(),
            host::has(caps::Capability::CAP_SYS_ADMIN),
        ),
        host::resource_privilege(host::has(caps::Capability::CAP_SYS_RESOURCE)),
        host::cgroups(detected.as_ref().map_err(String::as_str)),
        limits::limit(Controller::Memory, host, ran),
        limits::swap(host, swap.as_ref(), ran),
        limits::limit(Controller::Cpu, host, ran),
        limits::limit(Controller::Pids, host, ran),
        limits::io(host, ran),
        trial::freeze(trial, parent.as_deref()),
        trial::kill(trial, parent.as_deref()),
        trial::clone3(trial),
        trial::exit_status(trial),
        host::namespaces("/proc/self/ns".as_ref()),
        host::overlay(&host::read("/proc/filesystems").unwrap_or_default(), ran.is_some()),
        host::memfd(host::read("/proc/sys/vm/memfd_noexec").as_deref()),
        containment::filter(host::read("/proc/sys/kernel/seccomp/actions_avail").as_deref()),
        containment::own_ids(
            host::read("/proc/sys/user/max_user_namespaces").as_deref(),
            tmpfs_keeps_attributes(),
        ),
        host::state_dir(&options.state_dir, rustix::process::geteuid().as_raw()),
        trial::network(trial),
        limits::swap_accounting(swap.as_ref()),
        trial.verdict(),
    ]
}

fn table(checks: &[Check]) -> String {
    let row = |check: &Check| {
        let state = match check.state {
            State::Ok => "ok",
            State::Degraded => "degraded",
            State::Missing => "missing",
        };
        [check.name.to_owned(), state.to_owned(), check.detail.clone()]
    };
    let rows: Vec<_> = checks.iter().map(row).collect();
    human::table(["CHECK", "STATE", "DETAIL"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_a_detail_stays_on_its_line() {
        let checks = [Check::ok("a", "x\ny\u{1b}[2J"), Check::degraded("trial-cell", "z")];
        assert_eq!(
            table(&checks),
            "CHECK        STATE      DETAIL\n\
             a            ok         x y [2J\n\
             trial-cell   degraded   z\n"
        );
    }

    #[test]
    fn the_json_form_has_the_words_that_scripts_look_for() {
        let report = Report { can_run: false, checks: vec![Check::missing("kernel", "old")] };
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"can_run":false,"checks":[{"name":"kernel","state":"missing","detail":"old"}]}"#
        );
    }

    #[test]
    fn names_are_single_words_and_unique_and_the_trial_is_the_last() {
        let checks = checks(&Options::default(), &Trial::default());
        let mut names: Vec<_> = checks.iter().map(|check| check.name).collect();
        assert_eq!(names.last(), Some(&"trial-cell"));
        assert!(names.iter().all(|name| !name.contains(' ')), "{names:?}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), checks.len(), "{names:?}");
    }
}
