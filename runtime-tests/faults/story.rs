//! A driver's life with one cell, told by what goes wrong in it: once through the synchronous core,
//! once through the contract.

use std::error::Error as StdError;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use hotcell::bundle::{CellConfig, DeviceRule, Upper, UserNamespace};
use hotcell::contract::{Config, Driver, Error, ErrorKind, Task};
use hotcell::launch::{Stdio, Stream};
use hotcell::native::{Instance, NativeDriver, Options};
use rustix::process::Signal;

use crate::bed::script;
use crate::contract::tools::{background, on_runtime};
use crate::host::fixture;

/// What went wrong, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    pub phase: &'static str,
    /// The contract tells it; the core's errors have their types.
    pub kind: Option<ErrorKind>,
    /// The error and its causes.
    pub text: String,
}

/// How a story is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Telling {
    pub contract: bool,
    pub own_ids: bool,
}

pub const TELLINGS: [Telling; 4] = [
    Telling { contract: false, own_ids: false },
    Telling { contract: false, own_ids: true },
    Telling { contract: true, own_ids: false },
    Telling { contract: true, own_ids: true },
];

impl Telling {
    /// Tells it in these places, `begin` first when there is a runtime for those who need one: what went
    /// wrong, in order.
    pub fn tell(self, options: Options, begin: impl FnOnce()) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        // Open from here on: the story is about the driver's descriptors.
        let out = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        match self.contract {
            false => {
                begin();
                self.tell_core(options, out.1, &mut troubles);
            }
            true => on_runtime(async {
                begin();
                self.tell_contract(options, &mut troubles).await;
            }),
        }
        troubles
    }

    fn tell_core(self, options: Options, out: OwnedFd, troubles: &mut Vec<Trouble>) {
        let mut note = |phase, error: &(dyn StdError + 'static)| {
            troubles.push(Trouble { phase, kind: None, text: chain(error) });
        };
        let instance = match Instance::open(options) {
            Ok(instance) => instance,
            Err(error) => return note("open", &error),
        };
        let bundle = tempfile::tempdir().unwrap();
        let keep = bundle.path().join("bundle");
        let created = instance.create(Some("cell".parse().unwrap()), &self.config(), Some(&keep));
        let stdio = Stdio { stdout: Stream::Fd(out), ..Stdio::default() };
        match created.map(|created| created.run(stdio)) {
            Err(error) => note("create", &error),
            Ok(Err(error)) => note("run", &error),
            Ok(Ok(mut running)) => {
                let mut going = true;
                let mut check = |phase, done: Result<(), hotcell::native::Error>| {
                    going &= done.map_err(|error| note(phase, &error)).is_ok();
                    going
                };
                // A cell that could not go on would never end.
                let _ = check("freeze", running.cgroup().freeze().map_err(Into::into))
                    && check("thaw", running.cgroup().thaw().map_err(Into::into))
                    && check("signal", running.signal(Signal::TERM))
                    && check("wait", running.wait(None).map(drop));
                let _ = running.close().map_err(|error| note("close", &error));
            }
        }
        let _ = instance.close().map_err(|error| note("leave", &error));
    }

    async fn tell_contract(self, mut options: Options, troubles: &mut Vec<Trouble>) {
        let mut note = |phase, error: &Error| {
            let (kind, text) = (Some(error.kind()), error.chain().to_string());
            troubles.push(Trouble { phase, kind, text });
        };
        options.user_namespace = self.ids();
        let driver = match NativeDriver::open(Config::default(), options) {
            Ok(driver) => driver,
            Err(error) => return note("open", &error),
        };
        let context = background();
        let cookie = driver.create_cookie(&context, Arc::new(self.task())).await.unwrap();
        assert!(!cookie.validate_image(&context).await.unwrap());
        match cookie.create_container(&context).await {
            Err(error) => note("create", &error),
            Ok(()) => match cookie.run(&context).await {
                Err(error) => note("run", &error),
                Ok(wait) => {
                    let going = async {
                        cookie.freeze(&context).await.map_err(|error| ("freeze", error))?;
                        cookie.unfreeze(&context).await.map_err(|error| ("thaw", error))?;
                        cookie.signal(&context, 15).await.map_err(|error| ("signal", error))?;
                        // A task that was ended by a signal is no trouble.
                        match wait.wait(&context).await.error() {
                            Some(error) if error.kind() != ErrorKind::ContainerExit => {
                                Err(("wait", error.clone()))
                            }
                            _ => Ok(()),
                        }
                    };
                    let _ = going.await.map_err(|(phase, error)| note(phase, &error));
                }
            },
        }
        let _ = cookie.close(&context).await.map_err(|error| note("close", &error));
        drop(cookie);
        let _ = driver.close().await.map_err(|error| note("leave", &error));
    }

    fn ids(self) -> UserNamespace {
        match self.own_ids {
            true => UserNamespace::Auto,
            false => UserNamespace::Host,
        }
    }

    fn config(self) -> CellConfig {
        let mut config = script("exec sleep 600");
        config.upper = Upper::Disk;
        config.user_namespace = self.ids();
        config.env = big_environment().into_iter().map(|(k, v)| format!("{k}={v}")).collect();
        config.limits.pids = Some(20);
        config.device_rules = vec![unique_rule()];
        config
    }

    fn task(self) -> Task {
        let image = format!("rootfs:{}", fixture("busybox").display());
        let task = Task::builder(image).id("cell").command("sleep 600").pids(20);
        let task = task.input(tokio::io::empty()).stdout(tokio::io::sink());
        let env = big_environment().into_iter();
        env.fold(task, |task, (name, value)| task.env(name, value)).build()
    }
}

/// More than fits into the control socket before anybody reads it.
fn big_environment() -> Vec<(String, String)> {
    (0..4).map(|number| (format!("BIG{number}"), "x".repeat(100_000))).collect()
}

/// One that no filter of this process has been loaded for.
fn unique_rule() -> DeviceRule {
    use std::sync::atomic::{AtomicU32, Ordering};
    static MINOR: AtomicU32 = AtomicU32::new(1000);
    format!("c 240:{} r", MINOR.fetch_add(1, Ordering::Relaxed)).parse().unwrap()
}

pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
