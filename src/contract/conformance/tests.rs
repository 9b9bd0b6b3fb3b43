//! The mock keeps the contract.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Capability, Check, Harness, Work, async_trait, checks, run_all};
use crate::contract::{Driver, Result, Task, TaskBuilder};
use crate::mock::{MockDriver, Operation, Play};

/// A mock whose tasks do what the suite wants; each operation takes `delay`.
pub(super) struct Mock {
    pub(super) delay: Duration,
}

const OPERATIONS: [Operation; 10] = [
    Operation::CreateCookie,
    Operation::ValidateImage,
    Operation::PullImage,
    Operation::CreateContainer,
    Operation::Run,
    Operation::Freeze,
    Operation::Unfreeze,
    Operation::Signal,
    Operation::Stop,
    Operation::Close,
];

fn play(work: &str) -> Play {
    let (name, rest) = work.split_once(' ').unwrap_or((work, ""));
    match name {
        "exit" => Play::exits(rest.parse().unwrap()),
        "kill" => Play::dies_of(rest.parse().unwrap()),
        "sleep" => Play::never_ends(),
        "deaf" => Play::never_ends().ignoring(15).stdout("deaf"),
        "echo" => Play::echoes(),
        "say" => {
            let (stdout, stderr) = rest.split_once(' ').unwrap();
            Play::default().stdout(stdout).stderr(stderr)
        }
        "env" => {
            let prefix = format!("{rest}=");
            Play::default().stdout_from(move |spec| {
                let environment = spec.process().as_ref().and_then(|process| process.env().clone());
                let mut variables = environment.unwrap_or_default().into_iter();
                variables
                    .find_map(|line| Some(line.strip_prefix(&prefix)?.into()))
                    .unwrap_or_default()
            })
        }
        "hog" => Play::runs_out_of_memory(),
        "pull" => Play::default().needs_pull(),
        "volume" => Play::default().image_with_volume(),
        _ => Play::default(),
    }
}

#[async_trait]
impl Harness for Mock {
    async fn driver(&self) -> Result<Arc<dyn Driver>> {
        let delay = self.delay;
        Ok(Arc::new(MockDriver::scripted(move |task| {
            let play = play(&task.command());
            OPERATIONS.into_iter().fold(play, |play, operation| play.delay(operation, delay))
        })))
    }

    fn task(&self, work: Work) -> TaskBuilder {
        Task::builder("mock").command(match work {
            Work::Succeed => "true".into(),
            Work::Exit(code) => format!("exit {code}"),
            Work::KillSelf(signal) => format!("kill {signal}"),
            Work::Sleep => "sleep".into(),
            Work::SleepDeaf => "deaf".into(),
            Work::Echo => "echo".into(),
            Work::Say { stdout, stderr } => format!("say {stdout} {stderr}"),
            Work::PrintEnv(name) => format!("env {name}"),
            Work::ExhaustMemory => "hog".into(),
            Work::MissingImage => "pull".into(),
            Work::ImageWithVolume => "volume".into(),
        })
    }
}

async fn passes(harness: &Mock) {
    match run_all(harness).await {
        Ok(report) => assert_eq!((report.passed.len(), report.skipped), (checks().len(), vec![])),
        Err(failures) => panic!("{failures}"),
    }
}

#[tokio::test]
async fn a_mock_without_delays_passes_every_check() {
    passes(&Mock { delay: Duration::ZERO }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mock_without_delays_passes_every_check_on_several_threads() {
    passes(&Mock { delay: Duration::ZERO }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_mock_passes_every_check_on_several_threads() {
    passes(&Mock { delay: Duration::from_millis(3) }).await;
}

#[tokio::test(start_paused = true)]
async fn a_very_slow_mock_passes_every_check_in_paused_time() {
    passes(&Mock { delay: Duration::from_millis(40) }).await;
}

/// Can't do anything that is optional.
struct Poor(Mock);

#[async_trait]
impl Harness for Poor {
    async fn driver(&self) -> Result<Arc<dyn Driver>> {
        self.0.driver().await
    }

    fn task(&self, work: Work) -> TaskBuilder {
        self.0.task(work)
    }

    fn can(&self, _capability: Capability) -> bool {
        false
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_driver_cannot_do_is_skipped_by_name() {
    let report = run_all(&Poor(Mock { delay: Duration::ZERO })).await.unwrap();
    let memory = ("outcomes::want_of_memory_is_killed_and_says_so", Capability::MemoryLimit);
    assert!(report.skipped.contains(&memory));
    assert_eq!(report.passed.len() + report.skipped.len(), checks().len());
}

/// Hangs wherever it can.
struct Hanging;

#[async_trait]
impl Harness for Hanging {
    async fn driver(&self) -> Result<Arc<dyn Driver>> {
        std::future::pending().await
    }

    fn task(&self, _work: Work) -> TaskBuilder {
        Task::builder("mock")
    }
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_hangs_is_a_failure_with_a_name_and_a_reason() {
    let failures = run_all(&Hanging).await.unwrap_err();
    assert_eq!(failures.failures.len(), checks().len());
    let text = failures.to_string();
    assert!(text.contains("\n  outcomes::code_zero_is_success: not done after 30 s"), "{text}");
}

#[test]
fn every_public_check_is_in_the_list_once() {
    let sources = [
        ("stages", include_str!("stages.rs")),
        ("images", include_str!("images.rs")),
        ("options", include_str!("options.rs")),
        ("outcomes", include_str!("outcomes.rs")),
        ("waiting", include_str!("waiting.rs")),
        ("stdio", include_str!("stdio.rs")),
        ("signals", include_str!("signals.rs")),
        ("freezing", include_str!("freezing.rs")),
        ("closing", include_str!("closing.rs")),
        ("dropping", include_str!("dropping.rs")),
    ];
    let mut listed: BTreeMap<&str, usize> = BTreeMap::new();
    checks().iter().map(Check::name).for_each(|name| *listed.entry(name).or_default() += 1);
    let mut written = BTreeMap::new();
    for (module, source) in sources {
        for rest in source.split("\npub async fn ").skip(1) {
            let name = rest.split('(').next().unwrap();
            written.insert(format!("{module}::{name}"), 1);
        }
    }
    let listed: BTreeMap<String, usize> =
        listed.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    assert_eq!(listed, written);
}
