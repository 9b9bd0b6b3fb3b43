//! A process that enters a cell that runs: the same as a cell's first one, but for the file system,
//! which is there.

use std::borrow::Cow;

use oci_spec::runtime::Spec;

use super::super::{Error, Given, Plan, Step, Tasks, filter};
use super::{annotated, capabilities, process, standing, terminal, unsupported};
use crate::bundle::{Bundle, annotation, without_id};
use crate::init::wire::CONTROL_FD;
use crate::sys::abi::*;

/// What the plan needs to know besides the bundle, whose process is the one that enters.
#[derive(Debug)]
pub(in super::super) struct Entry {
    /// The namespaces (`CLONE_NEW*`) that the cell has and its parent has not.
    pub(in super::super) namespaces: u64,
    /// Whether a process of the cell's may trace others.
    pub(in super::super) traced: bool,
    /// Whether it may for a filter's listener, which is worth more than any right of the cell's.
    pub(in super::super) may_trace: bool,
    /// The cgroups the child joins by itself.
    pub(in super::super) joins: Vec<Cow<'static, str>>,
    /// Which standard streams are the null device.
    pub(in super::super) null_streams: [bool; 3],
    /// Whether there is a socket for its terminal.
    pub(in super::super) console: bool,
    /// How many descriptors, from 3 on, the process gets under the same numbers.
    pub(in super::super) preserved: u32,
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
    let mut given = Vec::with_capacity(16);
    let target = Given::Target.to(&mut given);
    for hierarchy in &entry.joins {
        let tasks = Tasks::Given(Given::Tasks(hierarchy.clone()).to(&mut given));
        steps.push(Step::JoinTasks { hierarchy: hierarchy.clone(), tasks });
    }
    steps.extend(after);
    steps.push(Step::Enter { target, namespaces: entry.namespaces });
    if entry.namespaces & CLONE_NEWUSER != 0 {
        steps.push(Step::BecomeRoot);
    }
    steps.push(Step::EnterRoot("/"));
    let terminal = spec.process().as_ref().filter(|process| process.terminal() == Some(true));
    if let Some(process) = terminal {
        steps.push(terminal::step(process, entry.console, false, &mut given)?);
    }
    for (number, null) in (0..).zip(entry.null_streams) {
        if null {
            steps.push(Step::NullStream(number));
        }
    }
    let mut plan = process::compile(bundle, steps)?;
    standing::label_before(&mut plan.steps, |step| matches!(step, Step::Enter { .. }));
    for step in &mut plan.steps {
        if let Step::WorkingDir { make, .. } = step {
            *make = false;
        }
    }
    plan.steps.push(Step::AllClear);
    if entry.namespaces & CLONE_NEWPID != 0 {
        let traced = entry.traced || plan.listener.is_some() && entry.may_trace;
        bear_late(&mut plan, traced)?;
        plan.steps.push(Step::Birth);
    }
    if plan.listener.is_some() && !plan.bound_early {
        plan.steps.push(Step::Listen);
    }
    given.extend((0..entry.preserved).map(|number| Given::Kept(CONTROL_FD as u32 + number)));
    plan.given = given;
    Ok(plan)
}

/// Sees to what a birth among others takes, some of whom may have `traced` who is born.
pub(super) fn bear_late(plan: &mut Plan, traced: bool) -> Result<(), Error> {
    plan.born_late = true;
    let apart = plan.borrowed != 0 || plan.listener.is_some();
    let Some(program) = plan.filter.as_ref().filter(|_| apart) else {
        return Ok(());
    };
    // Loading it takes a right that the task does not have, or gives a listener that it must not have:
    // better not to be born with that.
    match filter::in_the_way_of_birth(program) {
        None => plan.bound_early = true,
        Some(call) if traced => {
            let hint = if plan.listener.is_some() { "" } else { "; set process.noNewPrivileges" };
            let why = format!(
                "does not let pass {call} to a process that enters, and processes of the cell may \
                 trace one that loads it later{hint}"
            );
            return Err(Error::Invalid { field: "linux.seccomp".to_owned(), why });
        }
        Some(_) => {}
    }
    Ok(())
}

/// Whether a process of the cell may trace what appears beside it, and gain by that.
pub(in super::super) fn traces(spec: &Spec) -> bool {
    capabilities::may_trace(spec)
}

/// Whether a process of the cell may trace what appears beside it.
pub(in super::super) fn may_trace_at_all(spec: &Spec) -> bool {
    capabilities::has_ptrace(spec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{CellConfig, spec};

    fn entry(namespaces: u64) -> Entry {
        let (joins, null_streams) = (vec!["pids".into()], [true, false, false]);
        let (traced, may_trace, console, preserved) = (false, false, false, 0);
        Entry { namespaces, traced, may_trace, joins, null_streams, console, preserved }
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
        assert!(inside.born_late && !host.born_late);
        assert!(inside.steps.ends_with(&[Step::AllClear, Step::Birth]));
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
    fn the_right_to_load_a_filter_is_not_born_among_tracers() {
        use crate::bundle::Seccomp;
        let mut config = CellConfig::new("/srv", ["true"]);
        config.no_new_privileges = false;
        let plan = |config: &CellConfig, traced| {
            let bundle = Bundle::in_memory(spec(config).unwrap());
            enter(&bundle, &Entry { traced, ..entry(CLONE_NEWNS | CLONE_NEWPID) })
        };
        assert!(plan(&config, false).unwrap().bound_early);
        assert!(plan(&config, true).unwrap().bound_early);
        let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["setsid"], "action": "SCMP_ACT_ERRNO"}]}"#;
        config.seccomp = Seccomp::Profile(std::sync::Arc::new(profile.parse().unwrap()));
        let error = plan(&config, true).unwrap_err().to_string();
        assert!(error.contains("linux.seccomp: does not let pass setsid"), "{error}");
        assert!(!plan(&config, false).unwrap().bound_early);
        config.no_new_privileges = true;
        assert!(!plan(&config, true).unwrap().bound_early, "loading it takes no right then");
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
