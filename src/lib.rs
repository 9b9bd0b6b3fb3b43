//! hotcell starts untrusted functions as contained Linux processes straight from your own process:
//! no daemon, no runtime binary, no shim.
//!
//! A cell is a command in its own namespaces, on its own view of a root directory, in a cgroup with
//! limits that hold or are refused. Starting one costs about what the kernel charges for it, and
//! the same in a process of 16 MB and of 4 GB.
//!
//! # Running a task
//!
//! The [`contract`] is fn's: a driver makes a cookie of a task, the cookie goes through its stages,
//! and what comes of the task is a result. This runs as it stands, on the [`mock`] driver, which
//! needs no privilege; [`native::NativeDriver`] runs the same task for real.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use hotcell::contract::{Context, Driver, Status, Task};
//! use hotcell::mock::MockDriver;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> hotcell::contract::Result<()> {
//! let driver = MockDriver::new();
//! let task = Task::builder("rootfs:/srv/rootfs")
//!     .command("python3 -m http.server")
//!     .memory(128 << 20)
//!     .cpus(500)
//!     .pids(32)
//!     .build();
//!
//! let context = Context::background().with_timeout(Duration::from_secs(30));
//! let cookie = driver.create_cookie(&context, Arc::new(task)).await?;
//! if cookie.validate_image(&context).await? {
//!     cookie.pull_image(&context).await?;
//!     cookie.validate_image(&context).await?;
//! }
//! cookie.create_container(&context).await?;
//! let wait = cookie.run(&context).await?;
//! let result = wait.wait(&context).await;
//! assert_eq!(result.status(), Status::Success);
//!
//! // The container goes even if the context has ended by now.
//! cookie.close(&Context::background()).await?;
//! driver.close().await
//! # }
//! ```
//!
//! # Without a runtime
//!
//! The core below the contract is synchronous and knows no async runtime:
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
//! What an embedder sees:
//!
//! * [`contract`]: tasks, drivers, cookies, results, and what each call means.
//! * [`mock`]: a scripted driver for an embedder's own tests.
//! * [`adapters`]: the contract's first two generations, on any driver.
//! * [`registry`]: drivers by name.
//! * [`stats`]: lists of measurements, as text and in databases.
//!
//! What it stands on, in the order of a task's path; each module opens with what it owns:
//!
//! * [`seccomp`]: system call profiles become filters.
//! * [`bundle`]: a wish becomes an OCI specification and a directory.
//! * [`cgroup`]: limits, freezing, killing and measuring, on unified and hybrid hosts.
//! * [`launch`]: a bundle and a cgroup become a running process.
//! * [`native`]: the driver on real cells, which tells that story and cleans up after it.
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
//! | `cli` (default) | the programs `hotcell` and `hotcell-oci`; a library user turns it off |
//! | `conformance` | `contract::conformance`, checks that any driver can run |
//! | `image` (part of `cli`) | `image`, from archives of images to root file systems |
//! | `pull` (part of `cli`) | `image::pull`, images from registries |
//! | `fault-injection` | faults on demand at named points, for tests; a release build refuses it |
//! | `rusqlite` | [`stats::Stats`] as a column of rusqlite's databases |
//! | `sqlx` | [`stats::Stats`] as a text column of sqlx's databases |

/// The types of the OCI specification, which stand in this API.
pub use oci_spec;

pub mod adapters;
pub mod bundle;
pub mod cgroup;
#[cfg(feature = "cli")]
pub mod cli;
pub mod contract;
mod delete;
#[cfg(not(feature = "fault-injection"))]
mod fault;
#[cfg(feature = "fault-injection")]
pub mod fault;
#[cfg(feature = "image")]
pub mod image;
mod init;
pub mod launch;
mod logs;
pub mod mock;
pub mod native;
#[cfg(feature = "cli")]
pub mod oci;
pub mod registry;
pub mod seccomp;
pub mod stats;
mod sys;
mod unpoisoned;
