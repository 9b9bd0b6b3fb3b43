//! `hotcell bundle`: the bundle, and nothing else.

use super::Failure;
use super::args::BundleArgs;
use super::config::config;
use super::root::Root;
use crate::bundle::{Bundle, UserNamespace, spec};
use crate::native::hidden::hide;

/// Writes `config.json`. The root stays where it is: `root.path` names it.
pub(super) fn bundle(args: &BundleArgs) -> Result<u8, Failure> {
    if args.cell.userns == UserNamespace::Auto {
        let line = "--userns auto: only a run can take ids for itself; give FIRST:COUNT";
        return Err(Failure::refused(line));
    }
    let mut config = config(&args.cell, &Root::Dir(&args.rootfs), &args.cell.command)?;
    hide(&mut config);
    Bundle::create(&args.bundle_dir, spec(&config)?)?;
    Ok(0)
}
