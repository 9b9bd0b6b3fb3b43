//! What has been worked out is kept: a profile's rules for each set of capabilities, and programs.

use std::sync::{Arc, Mutex};

use oci_spec::runtime::{Capability, LinuxSeccomp};

use super::architecture::Architecture;
use super::policy::Policy;
use super::profile::{Kernel, Profile};
use super::program::Program;
use super::{Error, compile};
use crate::unpoisoned::lock;

/// The most that each cache holds; an embedder has a handful of kinds of cells.
const MOST: usize = 16;

/// A few pairs, the one used last in front.
struct Recent<K, V>(Mutex<Vec<(K, V)>>);

impl<K, V: Clone> Recent<K, V> {
    const fn new() -> Recent<K, V> {
        Recent(Mutex::new(Vec::new()))
    }

    fn find(&self, is: impl Fn(&K) -> bool) -> Option<V> {
        let mut pairs = lock(&self.0);
        let at = pairs.iter().position(|(key, _)| is(key))?;
        pairs[..=at].rotate_right(1);
        Some(pairs[0].1.clone())
    }

    fn keep(&self, key: K, value: V) {
        let mut pairs = lock(&self.0);
        pairs.insert(0, (key, value));
        pairs.truncate(MOST);
    }
}

/// A profile, none being hotcell's own, and the bounding set of a cell.
type Wanted = (Option<Arc<Profile>>, u64);

static RESOLVED: Recent<Wanted, Arc<LinuxSeccomp>> = Recent::new();
static PROGRAMS: Recent<Arc<LinuxSeccomp>, Arc<Program>> = Recent::new();

/// The rules of the profile, or of [`Profile::hotcell`], that count on this machine for a cell whose
/// bounding set is `capabilities`.
pub(crate) fn resolved(
    profile: Option<&Arc<Profile>>,
    capabilities: &[Capability],
) -> Arc<LinuxSeccomp> {
    let set = capabilities.iter().fold(0u64, |set, capability| set | 1 << *capability as u32);
    let same =
        |one: &Option<Arc<Profile>>| one.as_ref().map(Arc::as_ptr) == profile.map(Arc::as_ptr);
    if let Some(known) = RESOLVED.find(|(one, of)| *of == set && same(one)) {
        return known;
    }
    let rules = match profile {
        Some(profile) => profile.resolve(capabilities, Architecture::NATIVE, Kernel::running()),
        // It asks for no kernel, so that any will do.
        None => Profile::hotcell().resolve(capabilities, Architecture::NATIVE, Kernel(0, 0)),
    };
    let rules = Arc::new(rules);
    RESOLVED.keep((profile.cloned(), set), Arc::clone(&rules));
    rules
}

/// The filter that a specification's `linux.seccomp` stands for on this machine. Worked out once:
/// asked again, it costs a comparison of the texts.
///
/// # Errors
/// [`Error::Unsupported`], [`Error::Invalid`] or [`Error::TooLong`].
pub fn program(seccomp: &LinuxSeccomp) -> Result<Arc<Program>, Error> {
    find_or_compile(|key| **key == *seccomp, || Arc::new(seccomp.clone()))
}

/// The same of rules that are shared: asked again, it costs a comparison of pointers.
pub(crate) fn shared_program(seccomp: &Arc<LinuxSeccomp>) -> Result<Arc<Program>, Error> {
    find_or_compile(|key| Arc::ptr_eq(key, seccomp), || Arc::clone(seccomp))
}

fn find_or_compile(
    is: impl Fn(&Arc<LinuxSeccomp>) -> bool,
    key: impl FnOnce() -> Arc<LinuxSeccomp>,
) -> Result<Arc<Program>, Error> {
    if let Some(known) = PROGRAMS.find(is) {
        return Ok(known);
    }
    let key = key();
    let policy = Policy::of(&key, Architecture::NATIVE)?;
    let program = Arc::new(compile::compile(&policy)?);
    PROGRAMS.keep(key, Arc::clone(&program));
    Ok(program)
}
