//! Images that come from a registry: who asks for them, how often, and what is told when they don't come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hotcell::contract::{
    AuthConfiguration, Auther, BackOffConfig, Config, Context, Cookie, Driver, Error, ErrorKind,
    Result, State, Task, TaskBuilder,
};
use hotcell::native::NativeDriver;

use super::tools::{PATIENCE, background, driver_with, on_runtime, output};
use crate::bed::Bed;
use crate::host::image;
use crate::registry::{Answer, Content, Door, On, Registry, Rule, Tokens};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(an_image_is_pulled_and_run, Cells, Images),
        test!(row_52_the_task_is_asked_for_credentials_only_when_it_is_pulled, Cells, Images),
        test!(row_53_who_wants_the_same_image_shares_a_pull, Cells, Images),
        test!(row_54_a_pull_ends_with_its_deadline_and_others_go_on, Cells, Images),
        test!(row_55_a_pull_fails_with_the_registrys_status, Cells, Images),
        test!(row_56_a_pull_is_tried_as_often_as_the_policy_says, Cells, Images),
        test!(one_blocking_thread_is_enough, Cells, Images),
        test!(a_registry_that_dawdles_keeps_no_thread_from_others, Cells, Images),
        test!(closing_ends_no_pull_of_others, Cells, Images),
    ]
}

/// A registry with one image.
fn registry() -> Registry {
    let mut content = Content::default();
    content.layout("fn/busybox", "1", &image("busybox", "oci"));
    Registry::plain(content)
}

fn of(registry: &Registry) -> TaskBuilder {
    Task::builder(format!("{}/fn/busybox:1", registry.address()))
}

fn driver(bed: &Bed) -> NativeDriver {
    driver_with(bed, Config::default())
}

/// A cookie whose image is missing.
async fn missing(driver: &dyn Driver, task: TaskBuilder) -> Box<dyn Cookie> {
    let cookie = driver.create_cookie(&background(), Arc::new(task.build())).await.unwrap();
    assert!(cookie.validate_image(&background()).await.unwrap());
    cookie
}

async fn pull(driver: &dyn Driver, task: TaskBuilder, context: &Context) -> Result<()> {
    let cookie = missing(driver, task).await;
    let pulled = cookie.pull_image(context).await;
    let there = !cookie.validate_image(&background()).await.unwrap();
    assert_eq!(there, pulled.is_ok());
    cookie.close(&background()).await.unwrap();
    pulled
}

fn an_image_is_pulled_and_run(bed: &Bed) {
    let registry = registry();
    on_runtime(async {
        let driver = driver(bed);
        let cookie = missing(&driver, of(&registry)).await;
        cookie.pull_image(&background()).await.unwrap();
        assert_eq!(cookie.state(), State::Configured);
        assert!(!cookie.validate_image(&background()).await.unwrap());
        cookie.close(&background()).await.unwrap();
        let (_, out, _) = output(&driver, of(&registry).command("echo hello")).await;
        assert_eq!(out, "hello\n");
    });
    assert_eq!(registry.count(&On::Manifest), 1);
}

/// Says what it is told to, and counts.
struct Says(Option<&'static str>, bool, Arc<AtomicUsize>);

#[async_trait]
impl Auther for Says {
    async fn docker_auth(&self, _: &Context, _: &str) -> Result<Option<AuthConfiguration>> {
        self.2.fetch_add(1, Ordering::SeqCst);
        let Says(password, fails, _) = self;
        match fails {
            true => Err(Error::new(ErrorKind::Denied, "no credentials today")),
            false => Ok(password.map(|password| AuthConfiguration {
                username: "me".to_owned(),
                password: password.to_owned(),
                ..AuthConfiguration::default()
            })),
        }
    }
}

fn row_52_the_task_is_asked_for_credentials_only_when_it_is_pulled(bed: &Bed) {
    let registry = registry();
    let realm = format!("http://{}/token", registry.address());
    let tokens = Tokens::for_user("me", "secret");
    registry.guard(Door::Bearer { realm, tokens });
    let asked = Arc::new(AtomicUsize::new(0));
    let task = |password, fails| of(&registry).auther(Says(password, fails, Arc::clone(&asked)));
    on_runtime(async {
        let driver = driver(bed);
        let context = background();
        let error = pull(&driver, task(Some("secret"), true), &context).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{}", error.chain());
        // Nobody in particular is refused, and so is who has the wrong word.
        for password in [None, Some("wrong")] {
            let error = pull(&driver, task(password, false), &context).await.unwrap_err();
            assert_eq!(error.http_status(), 401, "{}", error.chain());
            assert!(!error.chain().contains("wrong"), "{}", error.chain());
        }
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        pull(&driver, task(Some("secret"), false), &context).await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 4);
        // It is there: nobody is asked.
        let (_, out, _) = output(&driver, task(None, true).command("echo hello")).await;
        assert_eq!((&*out, asked.load(Ordering::SeqCst)), ("hello\n", 4));
    });
}

fn row_53_who_wants_the_same_image_shares_a_pull(bed: &Bed) {
    let registry = registry();
    registry
        .when(Rule::new(On::Blob, |_, right| right.slowly(64 << 10, Duration::from_millis(20))));
    on_runtime(async {
        let driver = Arc::new(driver(bed));
        let pulls: Vec<_> = (0..16)
            .map(|_| {
                let (driver, task) = (Arc::clone(&driver), of(&registry));
                tokio::spawn(async move { pull(&*driver, task, &background()).await })
            })
            .collect();
        for pull in pulls {
            pull.await.unwrap().unwrap();
        }
    });
    let blobs: std::collections::BTreeSet<_> =
        registry.seen().into_iter().map(|request| request.path).collect();
    for path in blobs {
        assert_eq!(registry.count(&On::Path(path.clone())), 1, "{path}");
    }
}

fn row_54_a_pull_ends_with_its_deadline_and_others_go_on(bed: &Bed) {
    let registry = registry();
    registry
        .when(Rule::new(On::Blob, |_, right| right.slowly(32 << 10, Duration::from_millis(30))));
    on_runtime(async {
        let driver = Arc::new(driver(bed));
        let (patient, task) = (Arc::clone(&driver), of(&registry));
        let hasty = missing(&*driver, of(&registry)).await;
        // The first caller's transfer, which goes on without him.
        let short = background().with_timeout(Duration::from_millis(150));
        let (late, in_time) = tokio::join!(hasty.pull_image(&short), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            pull(&*patient, task, &background()).await
        });
        let late = late.unwrap_err();
        assert_eq!((late.kind(), late.http_status()), (ErrorKind::PullTimeout, 504), "{late}");
        in_time.unwrap();
        hasty.close(&background()).await.unwrap();
    });
    assert_eq!(registry.count(&On::Manifest), 1);
}

fn row_55_a_pull_fails_with_the_registrys_status(bed: &Bed) {
    type Wrong = fn(Answer) -> Answer;
    let wrongs: [(&str, On, u16, Wrong); 6] = [
        ("not found", On::Manifest, 404, |_| Answer::error(404, "MANIFEST_UNKNOWN", "no such")),
        ("denied", On::Manifest, 403, |_| Answer::error(403, "DENIED", "not yours")),
        ("trouble", On::Manifest, 502, |_| Answer::error(500, "UNKNOWN", "trouble")),
        ("nonsense", On::Manifest, 502, |_| Answer::raw("nonsense\r\n\r\n", "")),
        ("another document", On::Manifest, 502, |right| right.saying("{}")),
        ("a flipped bit", On::Blob, 502, |right| right.flip(10)),
    ];
    for (name, on, status, wrong) in wrongs {
        let registry = registry();
        registry.when(Rule::new(on, move |_, right| wrong(right)));
        on_runtime(async {
            let error = pull(&driver(bed), of(&registry), &background()).await.unwrap_err();
            let told = (error.kind(), error.http_status());
            assert_eq!(told, (ErrorKind::PullFailed, status), "{name}: {}", error.chain());
            let wanted = format!("Failed to pull image '{}/fn/busybox:1'", registry.address());
            assert!(error.to_string().starts_with(&wanted), "{name}: {error}");
        });
    }
}

fn row_56_a_pull_is_tried_as_often_as_the_policy_says(bed: &Bed) {
    on_runtime(async {
        for (retries, fails, goes_well) in [(0, 1, false), (2, 2, true), (1, 2, false)] {
            let registry = registry();
            let trouble = |_: &_, _| Answer::error(500, "UNKNOWN", "trouble");
            registry.when(Rule::new(On::Manifest, trouble).times(fails));
            let driver = driver(bed);
            let policy = BackOffConfig {
                max_retries: retries,
                interval_ms: 20,
                max_delay_ms: 100,
                min_delay_ms: 10,
            };
            let checker = |error: Option<&Error>| {
                (error.is_some_and(|error| error.http_status() == 502), "trouble".to_owned())
            };
            driver.set_pull_image_retry_policy(policy, Arc::new(checker)).unwrap();
            let pulled = pull(&driver, of(&registry), &background()).await;
            assert_eq!(pulled.is_ok(), goes_well, "{retries} retries, {fails} failures");
            let tries = registry.count(&On::Manifest) as u64;
            assert_eq!(tries, (fails as u64 + 1).min(retries + 1));
            driver.close().await.unwrap();
            let store = bed.options().image_dir;
            std::fs::remove_dir_all(store).unwrap();
        }
    });
}

fn closing_ends_no_pull_of_others(bed: &Bed) {
    let registry = registry();
    registry
        .when(Rule::new(On::Blob, |_, right| right.slowly(64 << 10, Duration::from_millis(20))));
    on_runtime(async {
        let driver = Arc::new(driver(bed));
        let closed = missing(&*driver, of(&registry)).await;
        let kept = missing(&*driver, of(&registry)).await;
        let context = background();
        let (_, pulled) = tokio::join!(
            async {
                let pull = closed.pull_image(&context);
                let close = async {
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    closed.close(&background()).await.unwrap();
                };
                tokio::join!(pull, close)
            },
            kept.pull_image(&context)
        );
        pulled.unwrap();
        assert!(!kept.validate_image(&context).await.unwrap());
        kept.close(&context).await.unwrap();
    });
}

fn one_blocking_thread_is_enough(bed: &Bed) {
    let mut content = Content::default();
    content.layout("fn/layers", "1", &image("layers", "oci"));
    let registry = Registry::plain(content);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let task = Task::builder(format!("{}/fn/layers:1", registry.address()));
        let (driver, context) = (driver(bed), background());
        let pulling = pull(&driver, task, &context);
        tokio::time::timeout(PATIENCE, pulling).await.expect("it hangs").unwrap();
    });
}

fn a_registry_that_dawdles_keeps_no_thread_from_others(bed: &Bed) {
    let registry = registry();
    // Its configuration comes, its layer does not.
    registry.when(Rule::new(On::Blob, |_, right| right.stall(1000)).after(1));
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let (driver, context) = (driver(bed), background());
        let others = async {
            while registry.count(&On::Blob) < 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // By now it has come, as far as it does.
            tokio::time::sleep(Duration::from_millis(200)).await;
            tokio::task::spawn_blocking(|| ()).await.unwrap();
        };
        tokio::select! {
            pulled = pull(&driver, of(&registry), &context) => panic!("{pulled:?}"),
            () = others => {}
            () = tokio::time::sleep(Duration::from_secs(20)) => panic!("they wait for the registry"),
        }
    });
}
