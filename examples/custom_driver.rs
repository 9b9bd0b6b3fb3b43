//! A driver of one's own around another: it tells every task where it runs, counts the calls that
//! containers serve, and keeps tenants apart. It passes the conformance suite like the one inside.
//!
//! `cargo run --example custom_driver --features conformance`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hotcell::contract::conformance::{Harness, Work, async_trait, run_all};
use hotcell::contract::{
    BackOffConfig, BoxFuture, Call, CallExtensions, ContainerTask, Context, Cookie, Driver, Error,
    ErrorKind, Result, RetryErrorChecker, Task, TaskBuilder,
};
use hotcell::mock::{MockDriver, Play};

/// Wraps any driver.
struct Zoned<D> {
    inner: D,
    zone: String,
    calls: Arc<Calls>,
}

#[derive(Default)]
struct Calls {
    begun: AtomicU64,
    ended: AtomicU64,
}

fn counted(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[async_trait]
impl<D: Driver> Driver for Zoned<D> {
    async fn create_cookie(
        &self,
        context: &Context,
        task: Arc<dyn ContainerTask>,
    ) -> Result<Box<dyn Cookie>> {
        let cookie = self.inner.create_cookie(context, Arc::clone(&task)).await?;
        if let Some(process) = cookie.container_options()?.process_mut() {
            process.env_mut().get_or_insert_default().push(format!("ZONE={}", self.zone));
        }
        let calls = Arc::clone(&self.calls);
        let before = task.wrap_before_call(Box::new(move |inner| {
            Arc::new(move |context, call, extensions| -> BoxFuture<Result<()>> {
                counted(&calls.begun);
                inner(context, call, extensions)
            })
        }));
        let calls = Arc::clone(&self.calls);
        let after = task.wrap_after_call(Box::new(move |inner| {
            Arc::new(move |context, call, extensions| -> BoxFuture<Result<()>> {
                counted(&calls.ended);
                inner(context, call, extensions)
            })
        }));
        if !(before && after) {
            let message = "the task takes no hooks, and its calls can't be counted";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        // The cookie needs nothing more around it. One that did would implement `Cookie` as this
        // implements `Driver`.
        Ok(cookie)
    }

    fn set_pull_image_retry_policy(
        &self,
        policy: BackOffConfig,
        checker: RetryErrorChecker,
    ) -> Result<()> {
        self.inner.set_pull_image_retry_policy(policy, checker)
    }

    /// A container that served one tenant never serves another.
    fn get_slot_key_extensions(&self, extensions: &CallExtensions) -> String {
        let inner = self.inner.get_slot_key_extensions(extensions);
        match extensions.get("tenant") {
            Some(tenant) => format!("{inner}tenant={tenant};"),
            None => inner,
        }
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

/// What a mock's task does is told by its command.
fn play(task: &dyn ContainerTask) -> Play {
    let command = task.command();
    let words: Vec<&str> = command.split_whitespace().collect();
    match words[..] {
        ["exit", code] => Play::exits(code.parse().unwrap_or(u8::MAX)),
        ["kill", signal] => Play::dies_of(signal.parse().unwrap_or(9)),
        ["sleep"] => Play::never_ends(),
        ["sleep", "deaf"] => Play::never_ends().ignoring(15).stdout("deaf"),
        ["cat"] => Play::echoes(),
        ["say", stdout, stderr] => Play::default().stdout(stdout).stderr(stderr),
        ["hog"] => Play::runs_out_of_memory(),
        ["pull"] => Play::default().needs_pull(),
        ["volume"] => Play::default().image_with_volume(),
        ["env", name] => {
            let prefix = format!("{name}=");
            Play::default().stdout_from(move |spec| {
                let process = spec.process().as_ref();
                let mut lines = process.and_then(|process| process.env().as_ref()).into_iter();
                let value = lines.find_map(|lines| {
                    lines.iter().find_map(|line| line.strip_prefix(&prefix)).map(str::to_owned)
                });
                value.unwrap_or_default().into_bytes()
            })
        }
        _ => Play::default(),
    }
}

fn zoned(zone: &str) -> Zoned<MockDriver> {
    Zoned { inner: MockDriver::scripted(play), zone: zone.into(), calls: Arc::default() }
}

struct ZonedHarness;

#[async_trait]
impl Harness for ZonedHarness {
    async fn driver(&self) -> Result<Arc<dyn Driver>> {
        Ok(Arc::new(zoned("test")))
    }

    fn task(&self, work: Work) -> TaskBuilder {
        Task::builder("mock").command(match work {
            Work::Exit(code) => format!("exit {code}"),
            Work::KillSelf(signal) => format!("kill {signal}"),
            Work::Sleep => "sleep".into(),
            Work::SleepDeaf => "sleep deaf".into(),
            Work::Echo => "cat".into(),
            Work::Say { stdout, stderr } => format!("say {stdout} {stderr}"),
            Work::PrintEnv(name) => format!("env {name}"),
            Work::ExhaustMemory => "hog".into(),
            Work::MissingImage => "pull".into(),
            Work::ImageWithVolume => "volume".into(),
            _ => "true".into(),
        })
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let report = run_all(&ZonedHarness).await?;
    println!("{} checks passed, {} skipped", report.passed.len(), report.skipped.len());

    let driver = zoned("north");
    let calls = Arc::clone(&driver.calls);
    let context = Context::background();
    let (mut reader, output) = tokio::io::duplex(64);
    let task = Arc::new(Task::builder("mock").command("env ZONE").stdout(output).build());
    let cookie = driver.create_cookie(&context, task.clone()).await?;
    cookie.validate_image(&context).await?;
    cookie.create_container(&context).await?;
    let wait = cookie.run(&context).await?;
    let extensions = CallExtensions::from([("tenant".into(), "a".into())]);
    for number in 0..3 {
        let call = Call { id: number.to_string(), ..Call::default() };
        task.before_call(&context, &call, &extensions).await?;
        task.after_call(&context, &call, &extensions).await?;
    }
    let result = wait.wait(&context).await;
    cookie.close(&context).await?;

    let mut zone = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut reader, &mut zone).await?;
    let (begun, ended) = (calls.begun.load(Ordering::Relaxed), calls.ended.load(Ordering::Relaxed));
    let key = driver.get_slot_key_extensions(&extensions);
    println!(
        "{}: the task ran in zone {zone}; {begun} calls begun, {ended} ended",
        result.status()
    );
    println!("slot key {key:?}");
    driver.close().await?;
    Ok(())
}
