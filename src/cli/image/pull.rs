//! `hotcell pull`, and `run`'s pulling: from a registry into the store.

use std::fmt;
use std::sync::Arc;

use super::args::{Format, PullArgs, RegistryArgs};
use super::bars::Bars;
use super::list::object;
use super::{listed, open, print_lines};
use crate::cli::signals::unless_interrupted;
use crate::cli::{Failure, print};
use crate::image::pull::{Client, Keyring, Pull, Puller};
use crate::image::store::{Image, Store};
use crate::image::{Platform, Reference};

/// Pulls an image and says what came.
pub(in crate::cli) fn pull(args: &PullArgs) -> Result<u8, Failure> {
    let store = open(&args.store)?;
    let platform = args.platform.clone();
    let image = fetch(&store, &args.image, platform, &args.registries, args.quiet)?;
    let name = args.image.familiar();
    match args.format {
        Format::Json => print_lines([object(&listed(&image)?)])?,
        Format::Table if args.quiet => print(&format!("{name}\n"))?,
        Format::Table => {
            print(&format!("Pulled image: {name}\nDigest: {}\n", image.manifest()))?;
        }
    }
    Ok(0)
}

/// Brings an image into the store, whatever is there of it. A signal that asks for an end takes it back.
pub(in crate::cli) fn fetch(
    store: &Store,
    reference: &Reference,
    platform: Option<Platform>,
    registries: &RegistryArgs,
    quiet: bool,
) -> Result<Image, Failure> {
    let mut settings = registries.settings()?;
    let keyring = Keyring::from_environment()?;
    let credentials = keyring.for_image(reference)?;
    settings.introduce(reference.registry(), &keyring)?;
    let client = Client::new(settings)?;
    let bars = Arc::new(Bars::new(quiet));
    let told = Arc::clone(&bars);
    let mut pull = Pull::new(reference.clone());
    pull.credentials = credentials;
    pull.platform = platform;
    pull.progress = Some(Arc::new(move |progress| told.tell(progress)));
    let puller = Puller::new(store.clone(), client);
    let settled = puller.clone();
    let pulled = unless_interrupted(puller.pull(pull), settled.settled());
    // Nobody else has it any more: what was shown goes.
    drop(bars);
    Ok(pulled??)
}

/// A platform as it is typed: `linux/arm64`, `linux/arm/v7`, and `arm64` alone.
pub(in crate::cli) fn platform(text: &str) -> Result<Platform, String> {
    let parts: Vec<_> = text.split('/').collect();
    let (os, architecture, variant) = match parts.as_slice() {
        [architecture] => ("linux", *architecture, ""),
        [os, architecture] => (*os, *architecture, ""),
        [os, architecture, variant] => (*os, *architecture, *variant),
        _ => return Err(refused(text)),
    };
    let word = |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    let empty =
        os.is_empty() || architecture.is_empty() || (parts.len() == 3 && variant.is_empty());
    if empty || !parts.iter().all(|part| word(part)) {
        return Err(refused(text));
    }
    let architecture = match architecture {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut platform = Platform::new(os, architecture);
    variant.clone_into(&mut platform.variant);
    Ok(platform)
}

fn refused(text: impl fmt::Debug) -> String {
    format!("{text:?} is not a platform such as linux/amd64 or linux/arm/v7")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_typed_as_docker_has_them() {
        for (text, shown) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/arm/v7", "linux/arm/v7"),
            ("arm64", "linux/arm64"),
            ("linux/aarch64", "linux/arm64"),
        ] {
            assert_eq!(platform(text).unwrap().to_string(), shown);
        }
        for text in ["", "/", "linux/", "/amd64", "linux/arm/", "a/b/c/d", "linux/a b"] {
            assert!(platform(text).is_err(), "{text}");
        }
    }
}
