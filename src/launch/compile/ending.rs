//! What comes between the set-up and the command: hooks inside, the filter's listener, the latch.

use oci_spec::runtime::Spec;

use super::super::inside::{self, InsideHook, InsidePoint};
use super::super::plan::Given;
use super::super::{Error, Listener, Plan, Step, filter};
use super::namespaces::Namespaces;
use super::{Place, enter};
use crate::bundle::annotation;
use crate::init::wire::CONTROL_FD;
use crate::sys::abi::*;

/// Refuses hooks inside that would be told of a process that is not the cell's.
pub(super) fn refuse_hooks_inside(
    spec: &Spec,
    namespaces: &Namespaces,
    making: bool,
) -> Result<(), Error> {
    let born_later = namespaces.joins(CLONE_NEWUSER) || namespaces.joins(CLONE_NEWPID);
    if born_later && (making || !inside::steps(spec, InsidePoint::StartContainer)?.is_empty()) {
        let field = "hooks.createContainer and hooks.startContainer".to_owned();
        let detail = " beside a user or pid namespace with a path to join".to_owned();
        return Err(Error::Unsupported { field, detail });
    }
    Ok(())
}

/// What comes between the set-up and the command.
pub(super) fn ending(
    spec: &Spec,
    place: &Place,
    namespaces: &Namespaces,
    given: &mut Vec<Given>,
    plan: &mut Plan,
) -> Result<(), Error> {
    let hooks = inside::steps(spec, InsidePoint::StartContainer)?;
    let joins_pid = namespaces.joins(CLONE_NEWPID);
    if joins_pid {
        // Whoever is in there may be one that traces.
        enter::bear_late(plan, true)?;
    }
    if place.latch.is_some() && plan.stay {
        let field = format!("annotation {}", annotation::INIT);
        let why = "an init that stays can't wait for its start".to_owned();
        return Err(Error::Invalid { field, why });
    }
    if place.latch.is_some() || !hooks.is_empty() {
        plan.steps.push(Step::FindProgram);
    }
    plan.steps.extend(joins_pid.then_some(Step::Birth));
    listening(place, plan)?;
    if place.latch.is_some() {
        let wait = Given::LatchWait.to(given);
        let tell = Given::LatchTell.to(given);
        plan.steps.extend([Step::AllClear, Step::Latch { wait, tell }]);
    }
    if !hooks.is_empty() {
        start_hooks(hooks, given, plan)?;
    }
    plan.steps.push(Step::AllClear);
    for number in 0..place.preserved {
        Given::Kept(CONTROL_FD as u32 + number).to(given);
    }
    Ok(())
}

/// A filter that leaves calls to an agent is loaded while the parent is there, who takes its listener.
fn listening(place: &Place, plan: &mut Plan) -> Result<(), Error> {
    if plan.listener.is_none() {
        return Ok(());
    }
    if plan.stay {
        let field = "linux.seccomp.listenerPath".to_owned();
        let why = "an init that stays has no listener of its task's filter to give".to_owned();
        return Err(Error::Invalid { field, why });
    }
    Listener::needs_name(plan, place.id.is_some())?;
    if !plan.bound_early {
        plan.steps.push(Step::Listen);
    }
    Ok(())
}

/// Hooks whose programs are the cell's. What they may do is what the task may: that includes not to
/// gain by the init.
fn start_hooks(
    hooks: Vec<InsideHook>,
    given: &mut Vec<Given>,
    plan: &mut Plan,
) -> Result<(), Error> {
    if plan.stay {
        let field = format!("annotation {}", annotation::INIT);
        let why = "an init that stays runs no hooks.startContainer".to_owned();
        return Err(Error::Invalid { field, why });
    }
    if let Some(program) = &plan.filter {
        if let Some(call) = filter::in_the_way_of_hooks(program) {
            let why = format!("refuses {call}, which it takes to run hooks.startContainer");
            return Err(Error::Invalid { field: "linux.seccomp".to_owned(), why });
        }
        plan.steps.push(Step::Filter);
    }
    inside::add(hooks, given, &mut plan.steps);
    Ok(())
}
