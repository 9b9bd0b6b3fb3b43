//! What a plan gives the init besides its streams, as open descriptors.

use std::borrow::Cow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::compile::Place;
use super::cradle::cradle;
use super::{Error, Given, Latch, Plan, inside, joined};
use crate::sys::inherited::inherited;

/// This process's own descriptors that the task gets too.
pub(super) fn kept(plan: &Plan) -> Result<Vec<OwnedFd>, Error> {
    let numbers = plan.given.iter().filter_map(|given| match given {
        Given::Kept(number) => Some(*number),
        _ => None,
    });
    let open = |number| inherited(number).map_err(|_| Error::NotGiven { number });
    numbers.map(open).collect()
}

/// Where the descriptors of a plan come from.
pub(super) struct Sources<'a> {
    /// Where the task waits for its start.
    pub(super) latch: Option<&'a Latch>,
    /// What the master of its terminal goes through.
    pub(super) console: Option<BorrowedFd<'a>>,
    /// Namespaces that it enters.
    pub(super) joined: Option<&'a joined::Files>,
    /// What hooks inside read and write.
    pub(super) hooks: Option<&'a inside::Files>,
    /// The first process of the cell that is entered.
    pub(super) target: Option<BorrowedFd<'a>>,
    /// The open files of the cell's cgroups.
    pub(super) tasks: &'a Tasks,
    /// What the task gets, too.
    pub(super) kept: &'a [OwnedFd],
}

type Tasks = [(Cow<'static, str>, OwnedFd)];

impl<'a> Sources<'a> {
    /// Those of a new cell.
    pub(super) fn of(
        place: &'a Place,
        tasks: &'a Tasks,
        kept: &'a [OwnedFd],
        joined: &'a joined::Files,
        hooks: &'a inside::Files,
    ) -> Sources<'a> {
        let console = place.console.as_ref().map(AsFd::as_fd);
        let latch = place.latch.as_ref();
        let (joined, hooks) = (Some(joined), Some(hooks));
        Sources { latch, console, joined, hooks, target: None, tasks, kept }
    }

    /// Those of a process that enters the cell of `target`.
    pub(super) fn entering(
        target: BorrowedFd<'a>,
        console: Option<&'a OwnedFd>,
        tasks: &'a Tasks,
        kept: &'a [OwnedFd],
    ) -> Sources<'a> {
        let console = console.map(AsFd::as_fd);
        let target = Some(target);
        Sources { latch: None, console, joined: None, hooks: None, target, tasks, kept }
    }

    /// Adds the descriptors in the order of the plan.
    pub(super) fn add(
        &self,
        plan: &Plan,
        descriptors: &mut Vec<BorrowedFd<'a>>,
    ) -> Result<(), Error> {
        let missing = || Error::system("give the init its descriptors", Errno::BADF);
        let (mut tasks, mut kept) = (self.tasks.iter(), self.kept.iter());
        let mut hooks = self.hooks.into_iter().flat_map(inside::Files::each);
        for given in &plan.given {
            let latch = || self.latch.ok_or_else(missing);
            descriptors.push(match given {
                Given::Cradle => cradle()?,
                Given::Target => self.target.ok_or_else(missing)?,
                Given::Tasks(_) => {
                    tasks.next().map(|(_, file)| file.as_fd()).ok_or_else(missing)?
                }
                Given::LatchWait => latch()?.wait(),
                Given::LatchTell => latch()?.tell(),
                Given::Console => self.console.ok_or_else(missing)?,
                Given::HookState | Given::HookOutput => hooks.next().ok_or_else(missing)?,
                Given::Namespace(_) => {
                    self.joined.and_then(|joined| joined.given(given)).ok_or_else(missing)?
                }
                Given::Kept(_) => kept.next().map(AsFd::as_fd).ok_or_else(missing)?,
            });
        }
        Ok(())
    }
}
