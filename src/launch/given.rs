//! What a plan gives the init besides its streams, as open descriptors.

use std::borrow::Cow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::compile::Place;
use super::cradle::cradle;
use super::{Error, Given, Plan};
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

/// Adds the descriptors in the order of the plan.
pub(super) fn add<'a>(
    plan: &Plan,
    place: &'a Place,
    tasks: &'a [(Cow<'static, str>, OwnedFd)],
    kept: &'a [OwnedFd],
    descriptors: &mut Vec<BorrowedFd<'a>>,
) -> Result<(), Error> {
    let missing = || Error::system("give the init its descriptors", Errno::BADF);
    let (mut tasks, mut kept) = (tasks.iter(), kept.iter());
    for given in &plan.given {
        let latch = || place.latch.as_ref().ok_or_else(missing);
        descriptors.push(match given {
            Given::Cradle => cradle()?,
            Given::Tasks(_) => tasks.next().map(|(_, file)| file.as_fd()).ok_or_else(missing)?,
            Given::LatchWait => latch()?.wait(),
            Given::LatchTell => latch()?.tell(),
            Given::Kept(_) => kept.next().map(AsFd::as_fd).ok_or_else(missing)?,
        });
    }
    Ok(())
}
