//! Credentials as this host has them, and those that are for a registry.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::file::{self, Contents, Place};
use super::helper::Helper;
use super::matching::key_of;
use super::{Credentials, KeyringError};
use crate::image::Reference;

/// The variable with fn's credentials, in place of a file.
pub(super) const VARIABLE: &str = "FN_DOCKER_AUTH";

/// The credentials of this host, from the first of these that is there:
///
/// 1. the text of `$FN_DOCKER_AUTH`,
/// 2. the file `$REGISTRY_AUTH_FILE`,
/// 3. `$DOCKER_CONFIG/config.json`,
/// 4. `~/.docker/config.json`,
/// 5. `~/.dockercfg`, Docker's form of old.
///
/// An entry is for its host; [as fn has it](Keyring::with_parents) also for that host's parents. The closest entry wins: a path (`registry.example/team`,
/// for the repositories below) before a host, the longer path before the shorter; the host itself
/// before others; of these the one with the fewest labels more, and then the first of the alphabet.
/// Docker Hub's entry may be called `hub.docker.com`, `index.docker.io` or `docker.io`, which are looked
/// for in this order, and of each form of a host the URLs come last.
///
/// The helper that `credHelpers` has for the registry, or else that of `credsStore`, is asked before that.
#[derive(Clone, Default, Debug)]
pub struct Keyring {
    contents: Contents,
    parents: bool,
}

impl Keyring {
    /// The credentials that this process's environment leads to. There may be none. Files are read
    /// here, helpers asked later.
    ///
    /// # Errors
    /// A file can't be read, or is not as it should be: [`KeyringError::Read`], [`KeyringError::Content`].
    pub fn from_environment() -> Result<Keyring, KeyringError> {
        Keyring::from_variables(&|name| env::var_os(name))
    }

    /// The credentials of one file in Docker's form; none if there is no such file.
    ///
    /// # Errors
    /// As [`Keyring::from_environment`].
    pub fn from_file(path: &Path) -> Result<Keyring, KeyringError> {
        Ok(Keyring::from_path(path, false)?.unwrap_or_default())
    }

    fn from_path(path: &Path, old_form: bool) -> Result<Option<Keyring>, KeyringError> {
        let Some(text) = file::bytes(path)? else { return Ok(None) };
        let contents = file::read(&text, &Place::File(path.to_owned()), old_form)?;
        Ok(Some(contents.into()))
    }

    fn from_variables(
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Keyring, KeyringError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        if let Some(text) = variable(VARIABLE) {
            let contents = file::read(text.as_encoded_bytes(), &Place::Variable(VARIABLE), true)?;
            return Ok(contents.into());
        }
        let path = |name: &str, file: &str| {
            variable(name).map(|directory| PathBuf::from(directory).join(file))
        };
        let places = [
            (variable("REGISTRY_AUTH_FILE").map(PathBuf::from), false),
            (path("DOCKER_CONFIG", "config.json"), false),
            (path("HOME", ".docker/config.json"), false),
            (path("HOME", ".dockercfg"), true),
        ];
        for (path, old_form) in places {
            if let Some(path) = path
                && let Some(found) = Keyring::from_path(&path, old_form)?
            {
                return Ok(found);
            }
        }
        Ok(Keyring::default())
    }

    /// The same, with fn's rule: an entry is also for each parent of its host that has two labels at least.
    /// One for `eu.registry.example` serves `registry.example`, too.
    #[must_use]
    pub fn with_parents(self) -> Keyring {
        Keyring { parents: true, ..self }
    }

    /// The credentials for an image. Asks a helper, if there is one: a program that may take long, so
    /// call it where waiting is allowed.
    ///
    /// # Errors
    /// [`KeyringError::Helper`].
    pub fn for_image(&self, image: &Reference) -> Result<Credentials, KeyringError> {
        self.find(image.registry(), image.repository())
    }

    /// The credentials for a registry as a whole: a host, with its port if it has one, as
    /// [`Reference::registry`] gives it. The empty name is Docker Hub. As for the rest, as
    /// [`Keyring::for_image`].
    ///
    /// # Errors
    /// [`KeyringError::Helper`].
    pub fn for_registry(&self, registry: &str) -> Result<Credentials, KeyringError> {
        self.find(registry, "")
    }

    fn find(&self, registry: &str, repository: &str) -> Result<Credentials, KeyringError> {
        if let Some(helper) = self.helper(registry)
            && let Some(found) = helper.get(self.name_in_store(registry))?
        {
            return Ok(found);
        }
        let entries = self.contents.entries.iter();
        let fitting = entries.filter_map(|(key, credentials)| {
            let distance = key.distance(registry, repository)?;
            (self.parents || distance.is_own()).then_some((distance, credentials))
        });
        let closest = fitting.min_by(|(one, _), (other, _)| one.cmp(other));
        Ok(closest.map(|(_, credentials)| credentials.clone()).unwrap_or_default())
    }

    /// The helper that keeps this registry's credentials, if any does: the registry's own, or that of all
    /// registries without one.
    pub(super) fn helper(&self, registry: &str) -> Option<&Helper> {
        let Contents { helpers, store, .. } = &self.contents;
        let own = helpers.iter().filter(|(key, _)| key.is(registry));
        let distances = own.filter_map(|(key, helper)| Some((key.distance(registry, "")?, helper)));
        match distances.min_by(|(one, _), (other, _)| one.cmp(other)) {
            Some((_, own)) => own.as_ref(),
            None => store.as_ref(),
        }
    }

    /// How a helper knows the registry: as whoever gave it the credentials wrote down.
    pub(super) fn name_in_store<'a>(&'a self, registry: &'a str) -> &'a str {
        let noted = self.contents.elsewhere.iter().filter(|key| key.is(registry));
        let closest = noted
            .filter_map(|key| Some((key.distance(registry, "")?, key)))
            .min_by(|(one, _), (other, _)| one.cmp(other));
        closest.map_or(key_of(registry), |(_, key)| key.text())
    }
}

impl From<Contents> for Keyring {
    fn from(contents: Contents) -> Keyring {
        Keyring { contents, parents: false }
    }
}

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
