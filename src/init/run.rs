//! The child's story: receive the plan, do its steps in order, become the task.

use super::cell::Cell;
use super::kernel::{self, Fault, Fd, Outcome};
use super::line::Line;
use super::plan::{self, Plan};
use super::task::{Task, become_task};
use super::wire::{BEFORE_STEPS, Kind, MAKE_DIR, Op, Step};
use super::{enter, files, hook, mounts, privilege, proc, standing, supervise, task, terminal};
use crate::sys::abi::*;
use crate::sys::raw::{Errno, nr};

/// What the parent sees as the exit code of a set-up that failed; the report says why.
pub(super) const SETUP_FAILED: i32 = 127;

/// The whole life of the init.
pub fn run() -> ! {
    let mut line = Line::new();
    let mut index = BEFORE_STEPS;
    match prepare(&mut line, &mut index) {
        Ok(task) => {
            let fault = match task.stay {
                true => supervise::supervise(&line, &task),
                false => become_task(&task, line.closed_from),
            };
            line.report(Kind::Failed, index, fault);
            line.explain(task.name().bytes());
        }
        Err(fault) => line.report(Kind::Failed, index, fault),
    }
    kernel::exit(SETUP_FAILED)
}

/// Ends a child that found its own code wrong: no report, which the parent takes for a death.
pub fn abort() -> ! {
    kernel::exit(SETUP_FAILED)
}

/// Receives the plan and does every step; `index` is left at the step that failed, and as it was
/// before the first.
fn prepare(line: &mut Line, index: &mut u32) -> Outcome<Task> {
    kernel::prctl(PR_SET_DUMPABLE, 0, 0)?;
    // What the embedder ignores would stay ignored here and in the task: SIGCHLD above all.
    kernel::default_signals();
    standing::leave()?;
    kernel::set_session()?;
    kernel::umask(0)?;
    let header = plan::receive_header(line.fd())?;
    if header.unshare != 0 {
        // The parent needs as long for the rest.
        kernel::unshare(u64::from(header.unshare))?;
    }
    let mut plan = Plan::receive(line.fd(), header)?;
    let mut cell = Cell::new();
    *index = 0;
    while *index < plan.header.steps {
        let step = plan.step(*index);
        #[cfg(feature = "fault-injection")]
        super::fault::obey(step.reserved)?;
        perform(line, &mut plan, &mut cell, &step)?;
        *index += 1;
    }
    // What the cell was built with is closed now, and does not get in the way.
    drop(cell);
    line.make_room(plan.header.kept_at as usize, plan.header.kept as usize)?;
    Ok(Task {
        filter: plan.filter()?,
        filter_flags: plan.header.filter_flags,
        borrowed: plan.header.borrowed,
        stay: plan.header.stay != 0,
        paths: plan.pointers(plan.header.paths)?,
        argv: plan.pointers(plan.header.argv)?,
        envp: plan.pointers(plan.header.envp)?,
    })
}

/// Does one step. Every operation is one line here and one function elsewhere.
fn perform(line: &mut Line, plan: &mut Plan, cell: &mut Cell, step: &Step) -> Outcome {
    let [a, b, c] = step.number;
    let text = |slot: usize| plan.text(step.text[slot]);
    match Op::from_number(step.op).ok_or(Fault::new(nr::read, Errno::EINVAL))? {
        Op::Cgroups => plan.receive_more(line.fd(), a),
        Op::JoinTasks => enter::join(plan, step),
        Op::UnshareCgroup => kernel::unshare(CLONE_NEWCGROUP),
        Op::EnterNamespace => enter::enter(Fd(a as i32), b),
        Op::Unshare => kernel::unshare(a),
        Op::KeepProc => proc::keep(cell),
        Op::BeginProc => proc::begin(cell, a as i32, Fd(b as i32), c != 0),
        Op::Birth => enter::be_born(line, plan, cell),
        Op::TimeNamespace => standing::enter_own_time(plan.raw(step.text[0], a as usize)?),
        Op::Cradle => mounts::enter_cradle(Fd(a as i32)),
        Op::Propagation => mounts::set_propagation(c"/", a),
        Op::Scratch => mounts::scratch(cell, text(0)?, text(1)?, a != 0),
        Op::MakeHere => kernel::mkdir_at(AT_FDCWD, text(0)?, a),
        Op::Overlay => mounts::overlay(cell, text(0)?, text(1)?),
        Op::EnterRoot => cell.enter(files::open(text(0)?, O_PATH)?),
        Op::BecomeRoot => privilege::become_root(),
        Op::TreeHere => mounts::tree_here(plan, step),
        Op::TreeAsRoot => mounts::tree_as_root(cell, plan, step),
        Op::Tree => mounts::tree(cell, plan, step),
        Op::Mount => mounts::mount(cell, plan, step),
        Op::Tray => mounts::tray(cell, plan, step),
        Op::SealTray => mounts::seal_tray(cell),
        Op::Node => mounts::node(cell, plan, step),
        Op::Link => mounts::link(cell, plan, step),
        Op::Mask => mounts::mask(cell, text(0)?),
        Op::ReadOnly => mounts::read_only(cell, text(0)?),
        Op::Attributes => mounts::attributes(cell, plan, step),
        Op::RootAttributes => mounts::root_attributes(cell, a),
        Op::Pause => hook::let_others_run(line, cell),
        Op::Pivot => mounts::pivot(cell),
        Op::Cover => mounts::cover(cell),
        Op::Hostname => kernel::set_hostname(text(0)?),
        Op::Domainname => kernel::set_domainname(text(0)?),
        Op::Loopback => kernel::loopback_up(),
        Op::Rlimit => kernel::set_rlimit(a, Rlimit64 { soft: b, hard: c }),
        Op::NullStream => mounts::null_stream(cell, a),
        Op::Bounding => privilege::keep_bounding(a, b),
        Op::Identity => privilege::become_user(a, b, plan.raw(step.text[0], c as usize * 4)?),
        Op::Capabilities => kernel::set_capabilities(a, b, c),
        Op::Ambient => privilege::raise_ambient(a),
        Op::WorkingDir => mounts::working_dir(cell, text(0)?, step.flags & MAKE_DIR != 0),
        Op::Umask => kernel::umask(a),
        Op::NoNewPrivileges => kernel::prctl(PR_SET_NO_NEW_PRIVS, 1, 0),
        Op::OomScore => standing::set_oom_score(plan.raw(step.text[0], a as usize)?, b != 0),
        Op::Enter => enter::enter_cell(cell, Fd(a as i32), b),
        Op::Terminal => terminal::give(cell, plan, step),
        Op::FindProgram => task::find(plan),
        Op::WriteProc => mounts::write_proc(cell, text(0)?, text(1)?),
        Op::Scheduler => standing::set_scheduler(plan.raw(step.text[0], size_of::<SchedAttr>())?),
        Op::IoPriority => standing::set_io_priority(a),
        Op::Affinity => standing::set_affinity(plan.raw(step.text[0], a as usize)?),
        Op::MemoryPolicy => standing::set_memory_policy(a, plan.raw(step.text[0], b as usize)?),
        Op::Personality => standing::set_personality(a),
        Op::AllClear => {
            line.report_good(Kind::AllClear);
            Ok(())
        }
        Op::Hook => hook::run(line, plan, cell, step),
        Op::Filter => enter::bind(line, plan),
        Op::Listen => enter::load(line, plan),
        Op::Latch => line.wait_at_latch(Fd(a as i32), Fd(b as i32)),
    }
}
