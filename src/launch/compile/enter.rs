//! A process that enters a cell that runs: the same as a cell's first one, but for the file system,
//! which is there.

use std::borrow::Cow;

use super::super::{Error, Plan, Step};
use super::{annotated, capabilities, process, standing, unsupported};
use crate::bundle::{Bundle, annotation, without_id};
use crate::init::wire::TARGET_FD;
use crate::sys::abi::*;

/// What the plan needs to know besides the bundle, whose process is the one that enters.
#[derive(Debug)]
pub(in super::super) struct Entry {
    /// The namespaces (`CLONE_NEW*`) that the cell has and its parent has not.
    pub(in super::super) namespaces: u64,
    /// The cgroups the child joins by itself.
    pub(in super::super) joins: Vec<Cow<'static, str>>,
    /// Which standard streams are the null device.
    pub(in super::super) null_streams: [bool; 3],
}

/// What the init does for a process that enters a cell.
pub(in super::super) fn enter(bundle: &Bundle, entry: &Entry) -> Result<Plan, Error> {
    let spec = bundle.spec();
    unsupported::refuse(spec)?;
    if entry.namespaces & CLONE_NEWNS == 0 {
        let why = "the cell sees the mounts of the process that is to enter it".to_owned();
        return Err(Error::Invalid { field: "linux.namespaces".to_owned(), why });
    }
    if let Some((what, id)) = without_id(spec) {
        let why = format!("{what} {id} is nobody in linux.uidMappings and gidMappings");
        return Err(Error::Invalid { field: "process.user".to_owned(), why });
    }
    if annotated(spec, annotation::INIT) == Some("true") {
        capabilities::keep_from_init(spec)?;
    }
    let mut steps = Vec::with_capacity(32);
    // By paths of the host's, which are out of reach later.
    steps.push(process::oom_score(spec)?);
    let affinity = spec.process().as_ref().map(standing::exec_affinity).transpose()?;
    let [initial, after] = affinity.unwrap_or_default();
    steps.extend(initial);
    for (at, hierarchy) in entry.joins.iter().enumerate() {
        let descriptor = TARGET_FD + 1 + at;
        steps.push(Step::JoinTasks { hierarchy: hierarchy.clone(), descriptor });
    }
    steps.extend(after);
    steps.push(Step::Enter { namespaces: entry.namespaces });
    if entry.namespaces & CLONE_NEWUSER != 0 {
        steps.push(Step::BecomeRoot);
    }
    steps.push(Step::EnterRoot("/"));
    for (number, null) in (0..).zip(entry.null_streams) {
        if null {
            steps.push(Step::NullStream(number));
        }
    }
    let mut plan = process::compile(bundle, steps)?;
    for step in &mut plan.steps {
        if let Step::WorkingDir { make, .. } = step {
            *make = false;
        }
    }
    plan.steps.push(Step::AllClear);
    plan.born_inside = entry.namespaces & CLONE_NEWPID != 0;
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{CellConfig, spec};

    fn entry(namespaces: u64) -> Entry {
        Entry { namespaces, joins: vec!["pids".into()], null_streams: [true, false, false] }
    }

    fn plan(namespaces: u64) -> Plan {
        let spec = spec(&CellConfig::new("/srv", ["true"])).unwrap();
        enter(&Bundle::in_memory(spec), &entry(namespaces)).unwrap()
    }

    #[test]
    fn the_golden_plan() {
        let text = plan(CLONE_NEWNS | CLONE_NEWPID).to_string();
        let golden = include_str!("enter.txt");
        assert_eq!(text, golden, "--- got ---\n{text}");
    }

    #[test]
    fn privilege_goes_before_the_process_is_seen_inside() {
        let (inside, host) = (plan(CLONE_NEWNS | CLONE_NEWPID), plan(CLONE_NEWNS));
        assert!(inside.born_inside && !host.born_inside);
        assert_eq!(inside.steps.last(), Some(&Step::AllClear));
        assert!(inside.steps.iter().any(|step| matches!(step, Step::Capabilities { .. })));
    }

    #[test]
    fn cpus_are_chosen_before_and_after_the_cgroup() {
        let mut spec = spec(&CellConfig::new("/srv", ["true"])).unwrap();
        let affinity = serde_json::json!({"initial": "0", "final": "0-1"});
        let process = spec.process_mut().as_mut().unwrap();
        process.set_exec_cpu_affinity(Some(serde_json::from_value(affinity).unwrap()));
        let text = enter(&Bundle::in_memory(spec), &entry(CLONE_NEWNS)).unwrap().to_string();
        let at = |part: &str| text.find(part).unwrap_or_else(|| unreachable!("{text}"));
        assert!(at("run on CPUs 0\n") < at("join the pids cgroup"), "{text}");
        assert!(at("join the pids cgroup") < at("run on CPUs 0,1\n"), "{text}");
        assert!(at("run on CPUs 0,1\n") < at("enter "), "{text}");
    }

    #[test]
    fn a_directory_is_not_made_in_a_cell_that_runs() {
        let made = |step: &Step| matches!(step, Step::WorkingDir { make: true, .. });
        assert!(!plan(CLONE_NEWNS).steps.iter().any(made));
    }

    #[test]
    fn without_mounts_of_its_own_there_is_no_cell_to_enter() {
        let spec = spec(&CellConfig::new("/srv", ["true"])).unwrap();
        let error = enter(&Bundle::in_memory(spec), &entry(CLONE_NEWPID)).unwrap_err();
        assert!(error.to_string().contains("linux.namespaces: the cell sees the mounts"));
    }
}
