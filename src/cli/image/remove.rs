//! `hotcell rmi`, `tag` and `image prune`.

use super::args::{PruneArgs, RmiArgs, TagArgs};
use super::open;
use crate::cli::{Failure, complain, human, print};
use crate::image::store::{Prune, Removal, Removed, Taken};

/// Takes away all that were named; one that can't go keeps none of the others.
pub(in crate::cli) fn rmi(args: &RmiArgs) -> Result<u8, Failure> {
    let store = open(&args.store)?;
    let how = if args.force { Removal::Forced } else { Removal::Careful };
    let mut last = None;
    for image in &args.images {
        match store.remove(image, how) {
            Ok(removed) => print(&lines(&removed))?,
            Err(error) => {
                if let Some(Failure { line, .. }) = last.replace(Failure::from(error)) {
                    complain(&line);
                }
            }
        }
    }
    last.map_or(Ok(0), Err)
}

/// Gives an image one more name. As Docker does, it takes it from another one that has it.
pub(in crate::cli) fn tag(args: &TagArgs) -> Result<u8, Failure> {
    let store = open(&args.store)?;
    store.tag(&store.find(&args.image)?, &args.name, Taken::Replaced)?;
    Ok(0)
}

/// Deletes what nobody needs and tells how much room that makes.
pub(super) fn prune(args: &PruneArgs) -> Result<u8, Failure> {
    let which = if args.all { Prune::Unused } else { Prune::Nameless };
    let removed = open(&args.store)?.prune(which)?;
    print(&format!("{}Reclaimed: {}\n", lines(&removed), human::size(removed.bytes)))?;
    Ok(0)
}

fn lines(removed: &Removed) -> String {
    let names = removed.untagged.iter().map(|name| format!("Untagged: {}\n", name.familiar()));
    let ids = removed.deleted.iter().map(|id| format!("Deleted: {id}\n"));
    names.chain(ids).collect()
}
