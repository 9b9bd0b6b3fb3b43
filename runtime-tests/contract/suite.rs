//! The conformance suite on real cells, and through the first generations' facade.

use std::path::PathBuf;
use std::sync::Arc;

use hotcell::adapters::generations::upgrade::Upgraded;
use hotcell::adapters::generations::{b, default_config};
use hotcell::contract::conformance::{Capability, Harness, Work, async_trait, checks, run_all};
use hotcell::contract::{Config, Driver, Result, TaskBuilder};
use hotcell::native::{NativeDriver, Options};

use super::tools::{command, on_runtime};
use crate::bed::Bed;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(the_suite_passes, Cells, Busybox, Memory),
        test!(the_suite_passes_through_the_second_generation, Cells, Busybox, Memory),
    ]
}

/// A driver on the bed, and a directory of scripts that the tasks run: a command has no quoting.
struct Native {
    /// Whether the driver is seen through the second generation's facade and lifted back.
    lifted: bool,
    options: Options,
    scripts: PathBuf,
}

impl Native {
    fn new(bed: &Bed, lifted: bool) -> Native {
        let scripts = bed.path("scripts");
        std::fs::create_dir_all(&scripts).unwrap();
        Native { lifted, options: bed.options(), scripts }
    }

    fn script(&self, name: &str, text: &str) -> TaskBuilder {
        std::fs::write(self.scripts.join(name), text).unwrap();
        let scripts = self.scripts.to_str().unwrap();
        command(&format!("sh /scripts/{name}")).volume(scripts, "/scripts")
    }
}

#[async_trait]
impl Harness for Native {
    async fn driver(&self) -> Result<Arc<dyn Driver>> {
        let options = self.options.clone();
        let open = move || NativeDriver::open(Config::default(), options);
        let driver = tokio::task::spawn_blocking(open).await.unwrap()?;
        if !self.lifted {
            return Ok(Arc::new(driver));
        }
        let facade = b::Facade::new(Arc::new(driver), &default_config())?;
        Ok(Arc::new(Upgraded::new(Arc::new(facade))))
    }

    fn task(&self, work: Work) -> TaskBuilder {
        match work {
            Work::Exit(code) => self.script(&format!("exit-{code}"), &format!("exit {code}")),
            Work::KillSelf(signal) => {
                self.script(&format!("kill-{signal}"), &format!("kill -{signal} $$; sleep 600"))
            }
            Work::Sleep => command("sleep 600"),
            Work::SleepDeaf => self.script("deaf", "trap '' TERM; echo deaf; sleep 600"),
            Work::Echo => command("cat"),
            Work::Say { stdout, stderr } => {
                self.script("say", &format!("printf '{stdout}'; printf '{stderr}' >&2"))
            }
            Work::PrintEnv(name) => self.script("env", &format!("printf %s \"${name}\"")),
            Work::ExhaustMemory => command("tail /dev/zero"),
            Work::MissingImage => hotcell::contract::Task::builder("rootfs:/no/such/directory"),
            _ => command("true"),
        }
    }

    fn can(&self, capability: Capability) -> bool {
        capability != Capability::ImageWithVolume
    }
}

fn the_suite_passes(bed: &Bed) {
    passes(&Native::new(bed, false));
}

fn the_suite_passes_through_the_second_generation(bed: &Bed) {
    passes(&Native::new(bed, true));
}

#[track_caller]
fn passes(native: &Native) {
    let report = on_runtime(async { run_all(native).await });
    let report = report.unwrap_or_else(|failures| panic!("{failures}"));
    // Images with volumes are for image stores.
    assert_eq!((report.passed.len(), report.skipped.len()), (checks().len() - 1, 1), "{report:?}");
}
