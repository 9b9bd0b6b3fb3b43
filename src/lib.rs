//! hotcell starts untrusted functions as contained Linux processes straight from your own process:
//! no daemon, no runtime binary, no shim.
//!
//! A cell is a command in its own namespaces, on its own view of a root directory, in a cgroup with
//! limits that hold or are refused. Starting one costs about what the kernel charges for it, and
//! the same in a process of 16 MB and of 4 GB.
//!
//! ```no_run
//! use hotcell::bundle::CellConfig;
//! use hotcell::launch::{Exit, Stdio};
//! use hotcell::native::{Instance, Options};
//!
//! // Needs root and a cgroup v2 tree; removes what killed drivers left behind.
//! let driver = Instance::open(Options::default())?;
//!
//! let mut config = CellConfig::new("/srv/rootfs", ["python3", "-c", "print(6 * 7)"]);
//! config.limits.memory = Some("128m".parse()?);
//! config.limits.cpu = Some("0.5".parse()?);
//! config.limits.pids = Some(32);
//!
//! let mut running = driver.create(None, &config, None)?.run(Stdio::default())?;
//! let outcome = running.wait(None)?.expect("no deadline was given");
//! assert_eq!(outcome.exit, Exit::Code(0));
//! running.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Reading on
//!
//! The modules stand in the order of a task's path; each opens with what it owns:
//!
//! * [`bundle`]: a wish becomes an OCI specification and a directory.
//! * [`cgroup`]: limits, freezing, killing and measuring, on unified and hybrid hosts.
//! * [`launch`]: a bundle and a cgroup become a running process.
//! * [`native`]: the driver, which tells that story and cleans up after it.
//!
//! # What it needs
//!
//! Linux 5.14 or newer on x86-64 (aarch64 is written for and unverified), root with
//! `CAP_SYS_ADMIN`, a cgroup v2 tree. `hotcell doctor` shows what a host can enforce.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `cli` (default) | the program `hotcell`; a library user turns it off |

pub mod bundle;
pub mod cgroup;
#[cfg(feature = "cli")]
pub mod cli;
pub mod contract;
mod init;
pub mod launch;
mod logs;
pub mod native;
pub mod registry;
pub mod stats;
mod sys;
