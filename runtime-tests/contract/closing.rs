//! Closing and dropping, at any stage, from anywhere: nothing stays.

use std::sync::Arc;
use std::time::Duration;

use hotcell::contract::{Cookie, Driver, ErrorKind, State, Status, WaitResult};
use hotcell::native::NativeDriver;

use super::tools::{
    Sink, background, cells, command, created, dead, driver, on_runtime, reaches, shell, started,
};
use crate::bed::{Bed, cgroup_parent};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(row_23_close_takes_every_daemon, Cells, Busybox),
        test!(row_25_close_works_at_every_stage_and_again, Cells, Busybox),
        test!(row_25_close_from_several_tasks_while_others_wait, Cells, Busybox),
        test!(row_25_a_drop_without_close_leaves_nothing, Cells, Busybox),
        test!(row_25_a_runtime_that_ends_leaves_nothing, Cells, Busybox),
        test!(row_25_a_close_that_ended_with_its_runtime_begins_again, Cells, Busybox),
        test!(row_25_a_close_whose_context_has_ended_goes_on, Cells, Busybox),
        test!(row_25_calls_that_are_given_up_leave_nothing, Cells, Busybox),
    ]
}

/// How far a container has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    Configured,
    ImageReady,
    Created,
    Running,
    Frozen,
    Exited,
    Failed,
}

impl Stage {
    pub const ALL: [Stage; 7] = [
        Stage::Configured,
        Stage::ImageReady,
        Stage::Created,
        Stage::Running,
        Stage::Frozen,
        Stage::Exited,
        Stage::Failed,
    ];

    /// What the driver calls it.
    pub fn state(self) -> State {
        match self {
            Stage::Configured => State::Configured,
            Stage::ImageReady => State::ImageReady,
            Stage::Created => State::Created,
            Stage::Running => State::Running,
            Stage::Frozen => State::Frozen,
            Stage::Exited | Stage::Failed => State::Exited,
        }
    }

    /// A container that has come this far, and its wait if it ran.
    pub async fn reached(
        self,
        driver: &NativeDriver,
    ) -> (Box<dyn Cookie>, Option<Box<dyn WaitResult>>) {
        let task = command(match self {
            Stage::Exited => "true",
            Stage::Failed => "no-such-program",
            _ => "sleep 600",
        });
        let cookie = driver.create_cookie(&background(), Arc::new(task.build())).await.unwrap();
        if self != Stage::Configured {
            assert!(!cookie.validate_image(&background()).await.unwrap());
        }
        if !matches!(self, Stage::Configured | Stage::ImageReady) {
            cookie.create_container(&background()).await.unwrap();
        }
        let wait = match self {
            Stage::Running | Stage::Frozen | Stage::Exited => {
                Some(cookie.run(&background()).await.unwrap())
            }
            Stage::Failed => {
                assert!(cookie.run(&background()).await.is_err());
                None
            }
            _ => None,
        };
        if self == Stage::Frozen {
            cookie.freeze(&background()).await.unwrap();
        }
        reaches(&*cookie, self.state()).await;
        (cookie, wait)
    }
}

/// Processes in any cgroup of the test run.
fn processes() -> usize {
    let ids = std::fs::read_dir("/proc").unwrap().flatten();
    let groups = ids.filter_map(|id| std::fs::read_to_string(id.path().join("cgroup")).ok());
    groups.filter(|groups| groups.contains(&format!("/{}/", cgroup_parent()))).count()
}

fn row_23_close_takes_every_daemon(bed: &Bed) {
    // Daemons that left their session, each with a child, deaf to anything that asks politely.
    const DAEMONS: &str = "trap '' TERM HUP INT
        i=0; while [ $i -lt 50 ]; do setsid sh -c 'sleep 600 & sleep 600' & i=$((i+1)); done
        usleep 100000; echo up; sleep 600";
    on_runtime(async {
        let driver = driver(bed);
        for frozen in [false, true] {
            let out = Sink::default();
            let (cookie, wait) = started(&driver, shell(DAEMONS).stdout(out.clone())).await;
            out.has("up").await;
            assert!(processes() >= 50, "{}", processes());
            if frozen {
                cookie.freeze(&background()).await.unwrap();
            }
            cookie.close(&background()).await.unwrap();
            assert_eq!((processes(), cells().len()), (0, 0));
            assert_eq!(wait.wait(&background()).await.status(), Status::Killed);
        }
    });
}

fn row_25_close_works_at_every_stage_and_again(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        for stage in Stage::ALL {
            let (cookie, wait) = stage.reached(&driver).await;
            for _ in 0..3 {
                cookie.close(&background()).await.unwrap();
                assert_eq!(cookie.state(), State::Closed, "{stage:?}");
                assert!(cells().is_empty(), "{stage:?}: {:?}", cells());
            }
            if let Some(wait) = wait {
                let ended = [Status::Success, Status::Killed][usize::from(stage != Stage::Exited)];
                assert_eq!(wait.wait(&background()).await.status(), ended, "{stage:?}");
            }
        }
    });
}

fn row_25_close_from_several_tasks_while_others_wait(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        for stage in Stage::ALL {
            let (cookie, wait) = stage.reached(&driver).await;
            let cookie: Arc<dyn Cookie> = cookie.into();
            let waits: Vec<_> = wait.map(Arc::<dyn WaitResult>::from).into_iter().collect();
            let waiting: Vec<_> = (0..2)
                .flat_map(|_| waits.clone())
                .map(|wait| tokio::spawn(async move { wait.wait(&background()).await.status() }))
                .collect();
            let closing: Vec<_> = (0..4)
                .map(|_| Arc::clone(&cookie))
                .map(|cookie| tokio::spawn(async move { cookie.close(&background()).await }))
                .collect();
            for close in closing {
                close.await.unwrap().unwrap();
                assert!(cells().is_empty(), "{stage:?}: {:?}", cells());
            }
            for wait in waiting {
                let ended = [Status::Success, Status::Killed][usize::from(stage != Stage::Exited)];
                assert_eq!(wait.await.unwrap(), ended, "{stage:?}");
            }
        }
    });
}

fn row_25_a_drop_without_close_leaves_nothing(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        for stage in Stage::ALL {
            let (cookie, wait) = stage.reached(&driver).await;
            drop(cookie);
            let gone = async {
                while !cells().is_empty() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            let gone = tokio::time::timeout(Duration::from_secs(20), gone).await;
            assert!(gone.is_ok(), "{stage:?}: {:?}", cells());
            if let Some(wait) = wait {
                let status = wait.wait(&background()).await.status();
                let ended = [Status::Success, Status::Killed][usize::from(stage != Stage::Exited)];
                assert_eq!(status, ended, "{stage:?}");
            }
        }
    });
}

/// The host is looked at after the test, as always: whatever was dropped last is gone with it.
fn row_25_a_runtime_that_ends_leaves_nothing(bed: &Bed) {
    for stage in Stage::ALL {
        // Inside the runtime, without a moment for what goes on in the background.
        on_runtime(async { drop(stage.reached(&driver(bed)).await) });
        assert!(cells().is_empty(), "{stage:?}: {:?}", cells());
        // The wait goes before the cookie, and after it.
        let (cookie, wait) = on_runtime(async { stage.reached(&driver(bed)).await });
        drop((wait, cookie));
        assert!(cells().is_empty(), "{stage:?}: {:?}", cells());
        let (cookie, wait) = on_runtime(async { stage.reached(&driver(bed)).await });
        drop(cookie);
        drop(wait);
        assert!(cells().is_empty(), "{stage:?}: {:?}", cells());
        // Another runtime can still close it.
        let (cookie, wait) = on_runtime(async { stage.reached(&driver(bed)).await });
        on_runtime(async { cookie.close(&background()).await }).unwrap();
        assert!(cells().is_empty(), "{stage:?}: {:?}", cells());
        drop(wait);
    }
}

fn row_25_a_close_whose_context_has_ended_goes_on(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let (cookie, wait) = started(&driver, command("sleep 600")).await;
        let error = cookie.close(&dead()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert_eq!(wait.wait(&background()).await.status(), Status::Killed);
        cookie.close(&background()).await.unwrap();
        assert!(cells().is_empty(), "{:?}", cells());
    });
}

fn row_25_calls_that_are_given_up_leave_nothing(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        for patience in [0, 100, 300, 1000, 3000, 10000] {
            let given_up = Duration::from_micros(patience);
            for then_close in [true, false] {
                let task = command("sleep 600").build();
                let cookie = driver.create_cookie(&background(), Arc::new(task)).await.unwrap();
                let _ = tokio::time::timeout(given_up, cookie.validate_image(&background())).await;
                // What goes on is waited for.
                assert!(!cookie.validate_image(&background()).await.unwrap());
                let _ =
                    tokio::time::timeout(given_up, cookie.create_container(&background())).await;
                cookie.create_container(&background()).await.unwrap();
                let soon = background().with_timeout(given_up);
                let ran = cookie.run(&soon).await;
                if let Err(error) = &ran {
                    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
                }
                if then_close {
                    cookie.close(&background()).await.unwrap();
                    assert!(cells().is_empty(), "{patience}: {:?}", cells());
                }
            }
            let cookie = created(&driver, command("sleep 600")).await;
            let _ = tokio::time::timeout(given_up, cookie.run(&background())).await;
            let _ = tokio::time::timeout(given_up, cookie.close(&background())).await;
            cookie.close(&background()).await.unwrap();
        }
    });
}

fn row_25_a_close_that_ended_with_its_runtime_begins_again(bed: &Bed) {
    let driver = driver(bed);
    for how in ["close", "drop", "drop outside"] {
        let (cookie, wait) = on_runtime(started(&driver, command("sleep 60").id("again")));
        // Begun on a runtime that never gets on with it.
        let idle = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let gone = idle.block_on(async {
            let context = background();
            tokio::select! {
                biased;
                closed = cookie.close(&context) => Some(closed),
                () = std::future::ready(()) => None,
            }
        });
        assert!(gone.is_none());
        drop(idle);
        match how {
            "close" => on_runtime(async {
                cookie.close(&background()).await.unwrap();
                assert_eq!(cookie.state(), State::Closed);
            }),
            "drop" => on_runtime(async { drop(cookie) }),
            _ => drop(cookie),
        }
        // The id is free, and nothing of the task is left while its wait is still held.
        on_runtime(async {
            let (cookie, next) = started(&driver, command("true").id("again")).await;
            assert_eq!(next.wait(&background()).await.status(), Status::Success);
            cookie.close(&background()).await.unwrap();
        });
        drop(wait);
    }
}
