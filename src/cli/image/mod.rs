//! The commands about images: pull, load, save, images, rmi, tag, image inspect, prune and check; and
//! login and logout.
//!
//! What a command found goes to standard output, progress and complaints to standard error.

mod args;
mod bars;
mod check;
mod inspect;
mod list;
mod load;
mod login;
mod progress;
mod pull;
mod remove;
mod save;

use serde_json::Value;

pub(super) use args::{
    ImageArgs, ImagesArgs, LoadArgs, LoginArgs, LogoutArgs, PullArgs, RegistryArgs, RmiArgs,
    SaveArgs, StoreArgs, TagArgs, When,
};
pub(super) use list::images;
pub(super) use load::load;
pub(super) use login::{login, logout};
pub(super) use pull::{fetch, pull};
pub(super) use remove::{rmi, tag};
pub(super) use save::save;

use super::{Failure, print};
use crate::image::Digest;
use crate::image::store::{Image, Listed, Store, StoreOptions};
use args::ImageCommand;

/// `hotcell image …`.
pub(super) fn image(args: &ImageArgs) -> Result<u8, Failure> {
    match &args.command {
        ImageCommand::Inspect(args) => inspect::inspect(args),
        ImageCommand::Prune(args) => remove::prune(args),
        ImageCommand::Check(args) => check::check(args),
    }
}

/// Opens the store that the flags name.
pub(super) fn open(args: &StoreArgs) -> Result<Store, Failure> {
    Ok(Store::open(args.dir(), StoreOptions::default())?)
}

/// An image in hand, as the list has it.
fn listed(image: &Image) -> Result<Listed, Failure> {
    Ok(Listed {
        id: image.id(),
        manifest: image.manifest(),
        names: image.names()?,
        layers: image.blobs().len(),
        size: image.size(),
        created: image.config().created.clone(),
        loaded: image.loaded(),
    })
}

/// As many digits of an identifier as people need to tell images apart.
fn short(id: &Digest) -> String {
    id.hex().chars().take(12).collect()
}

/// One object a line, as Docker's `--format json`.
fn print_lines(objects: impl IntoIterator<Item = Value>) -> Result<(), Failure> {
    let text: String = objects.into_iter().map(|object| format!("{object}\n")).collect();
    print(&text)
}
