//! System call filters: a profile becomes rules, and rules become a program that the kernel runs.
//!
//! ```text
//! Profile ──resolve──► LinuxSeccomp ──Policy::of──► Policy ──compile──► Program
//! Docker's JSON,       linux.seccomp of             a decision          classic BPF
//! or our own           a specification              a number
//! ```
//!
//! [`Profile::resolve`] leaves out the rules whose conditions a cell does not meet. [`program`] does
//! the rest for any specification, once, and remembers. [`Program::answer`] is what the kernel
//! would say, in ordinary code. The host is not touched here; the init loads the program.

mod answer;
mod architecture;
mod assembler;
mod cache;
mod compile;
mod default;
mod error;
mod policy;
mod profile;
mod program;
mod raw;
mod table;

#[cfg(test)]
mod random_tests;
#[cfg(all(test, target_arch = "x86_64"))]
mod table_tests;

pub use answer::Answer;
pub use architecture::Architecture;
pub use cache::program;
pub(crate) use cache::{resolved, shared_program};
pub use error::Error;
pub use profile::{Kernel, Profile};
pub use program::Program;
pub use table::number;

/// The filter that `seccomp` stands for on a machine of the `native` architecture, worked out anew.
///
/// # Errors
/// [`Error::Unsupported`], [`Error::Invalid`] or [`Error::TooLong`].
pub fn compile(
    seccomp: &oci_spec::runtime::LinuxSeccomp,
    native: Architecture,
) -> Result<Program, Error> {
    compile::compile(&policy::Policy::of(seccomp, native)?)
}
