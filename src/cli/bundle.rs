//! `hotcell bundle`: the bundle, and nothing else.

use super::Failure;
use super::args::BundleArgs;
use super::config::config;
use crate::bundle::{Bundle, UserNamespace, spec};

/// Writes `config.json`. The root stays where it is: `root.path` names it.
pub(super) fn bundle(args: &BundleArgs) -> Result<u8, Failure> {
    if args.cell.userns == UserNamespace::Auto {
        let line = "--userns auto: only a run can take ids for itself; give FIRST:COUNT";
        return Err(Failure::refused(line));
    }
    Bundle::create(&args.bundle_dir, spec(&config(&args.cell)?)?)?;
    Ok(0)
}
