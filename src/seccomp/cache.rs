//! What has been worked out is kept: the own profile for each set of capabilities, and programs.

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

static DEFAULTS: Recent<u64, Arc<LinuxSeccomp>> = Recent::new();
static PROGRAMS: Recent<LinuxSeccomp, Arc<Program>> = Recent::new();

/// [`Profile::hotcell`] for a cell whose bounding set is `capabilities`.
pub(crate) fn default_for(capabilities: &[Capability]) -> Arc<LinuxSeccomp> {
    let set = capabilities.iter().fold(0u64, |set, capability| set | 1 << *capability as u32);
    if let Some(known) = DEFAULTS.find(|key| *key == set) {
        return known;
    }
    // It asks for no kernel, so that any will do.
    let own = Profile::hotcell().resolve(capabilities, Architecture::NATIVE, Kernel(0, 0));
    let own = Arc::new(own);
    DEFAULTS.keep(set, Arc::clone(&own));
    own
}

/// The filter that a specification's `linux.seccomp` stands for on this machine. Worked out once:
/// asked again, it costs a comparison of the texts.
///
/// # Errors
/// [`Error::Unsupported`], [`Error::Invalid`] or [`Error::TooLong`].
pub fn program(seccomp: &LinuxSeccomp) -> Result<Arc<Program>, Error> {
    if let Some(known) = PROGRAMS.find(|key| key == seccomp) {
        return Ok(known);
    }
    let policy = Policy::of(seccomp, Architecture::NATIVE)?;
    let program = Arc::new(compile::compile(&policy)?);
    PROGRAMS.keep(seccomp.clone(), Arc::clone(&program));
    Ok(program)
}
