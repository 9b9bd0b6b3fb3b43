//! How tasks end: codes, signals, want of memory, deadlines, cancels, and waits of every kind.

use std::time::{Duration, Instant};

use hotcell::contract::{ErrorKind, RunResult, State, Status};
use hotcell::native::NativeDriver;

use super::tools::{
    PATIENCE, background, command, created, dead, driver, finished, on_runtime, python, reaches,
    shell, started,
};
use crate::bed::Bed;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(row_12_code_0_is_a_success_without_an_error, Cells, Busybox),
        test!(row_13_any_other_code_is_an_error_that_names_it, Cells, Busybox),
        test!(row_13_a_shell_reports_what_it_cannot_execute, Cells, Busybox),
        test!(row_14_a_task_that_signals_itself, Cells, Busybox),
        test!(row_14_a_signal_from_outside, Cells, Busybox),
        test!(row_15_want_of_memory_is_told, Cells, Debian, Memory),
        test!(row_15_a_kill_or_a_code_of_137_is_not_want_of_memory, Cells, Busybox),
        test!(row_16_a_deadline_ends_the_wait_and_not_the_task, Cells, Busybox),
        test!(row_17_a_cancel_ends_the_wait_and_not_the_task, Cells, Busybox),
        test!(row_18_and_19_the_tasks_end_beats_the_contexts, Cells, Busybox),
        test!(row_18_and_19_even_if_nobody_has_noticed_it, Cells, Busybox),
        test!(row_20_a_task_nobody_attends_is_no_success, Cells, Busybox),
        test!(row_20_an_end_nobody_attends_is_no_success, Cells, Busybox),
        test!(row_22_every_wait_gives_the_same_result, Cells, Busybox),
    ]
}

/// The result says this code, and whose fault it is.
#[track_caller]
fn assert_code(result: &RunResult, code: u8) {
    let error = result.error().unwrap();
    assert_eq!((result.status(), error.kind()), (Status::Error, ErrorKind::ContainerExit));
    assert_eq!(error.to_string(), format!("container exit code {code}"));
    assert_eq!(error.http_status(), 502);
    assert!(error.is_function_error());
}

/// The result says killed, and says whether memory was the reason.
#[track_caller]
fn assert_killed(result: &RunResult, memory: bool) {
    let error = result.error().unwrap();
    assert_eq!((result.status(), error.kind()), (Status::Killed, ErrorKind::ContainerKilled));
    assert_eq!(error.http_status(), 502);
    let text = error.chain().to_lowercase();
    match memory {
        true => assert!(text.contains("memory"), "{text}"),
        false => assert!(!text.contains("out of memory"), "{text}"),
    }
}

fn row_12_code_0_is_a_success_without_an_error(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let (cookie, wait) = started(&driver, command("true")).await;
        let result = wait.wait(&background()).await;
        assert_eq!(result.status(), Status::Success);
        assert!(result.error().is_none());
        let info = cookie.exit_info().unwrap();
        assert_eq!((info.code, info.signal, info.oom_killed), (0, None, false));
        assert!(info.finished_at >= info.started_at);
        cookie.close(&background()).await.unwrap();
    });
}

fn row_13_any_other_code_is_an_error_that_names_it(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        for code in [1, 2, 126, 127, 128, 129, 255] {
            let (cookie, wait) = started(&driver, shell(&format!("exit {code}"))).await;
            assert_code(&wait.wait(&background()).await, code);
            let info = cookie.exit_info().unwrap();
            assert_eq!((info.code, info.signal, info.oom_killed), (code, None, false));
            cookie.close(&background()).await.unwrap();
        }
    });
}

/// What the task itself can't execute is its own affair; see lifecycle for what the driver can't.
fn row_13_a_shell_reports_what_it_cannot_execute(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        assert_code(&finished(&driver, shell("no-such-program")).await, 127);
        assert_code(&finished(&driver, shell("/bin/not-executable")).await, 126);
    });
}

async fn ends_by_itself(driver: &NativeDriver, signal: i32) -> RunResult {
    let (cookie, wait) = started(driver, shell(&format!("kill -{signal} $$; sleep 60"))).await;
    let result = wait.wait(&background()).await;
    let info = cookie.exit_info().unwrap();
    assert_eq!((i32::from(info.code), info.signal), (128 + signal, Some(signal)));
    assert!(!info.oom_killed);
    cookie.close(&background()).await.unwrap();
    result
}

fn row_14_a_task_that_signals_itself(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        assert_code(&ends_by_itself(&driver, 15).await, 143);
        assert_code(&ends_by_itself(&driver, 11).await, 139);
        assert_code(&ends_by_itself(&driver, 6).await, 134);
        assert_killed(&ends_by_itself(&driver, 9).await, false);
    });
}

fn row_14_a_signal_from_outside(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        for signal in [15, 11, 10, 34, 64, 9] {
            let (cookie, wait) = started(&driver, command("sleep 60")).await;
            // 0 asks nothing of anybody, 32 and 33 are the C library's own.
            for bad in [0, -1, 32, 33, 65, i32::MAX] {
                let error = cookie.signal(&background(), bad).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidTask, "{bad}: {error}");
            }
            let early = cookie.signal(&dead(), signal).await.unwrap_err();
            assert_eq!((early.kind(), cookie.state()), (ErrorKind::Cancelled, State::Running));
            cookie.signal(&background(), signal).await.unwrap();
            let result = wait.wait(&background()).await;
            match signal {
                9 => assert_killed(&result, false),
                signal => assert_code(&result, u8::try_from(128 + signal).unwrap()),
            }
            assert_eq!(cookie.exit_info().unwrap().signal, Some(signal));
            let late = cookie.signal(&background(), signal).await.unwrap_err();
            assert_eq!(late.kind(), ErrorKind::WrongStage);
            cookie.close(&background()).await.unwrap();
        }
    });
}

fn row_15_want_of_memory_is_told(bed: &Bed) {
    const HOG: &str = "b = bytearray(1024) * 1024 * 120; print(len(b))";
    on_runtime(async {
        let driver = driver(bed);
        let (cookie, wait) = started(&driver, python(HOG).memory(64 << 20)).await;
        assert_killed(&wait.wait(&background()).await, true);
        let info = cookie.exit_info().unwrap();
        assert_eq!((info.code, info.oom_killed), (137, true));
        cookie.close(&background()).await.unwrap();
        // As much as is there is no crime.
        let result = finished(&driver, python(HOG).memory(256 << 20)).await;
        assert_eq!(result.status(), Status::Success, "{result:?}");
    });
}

fn row_15_a_kill_or_a_code_of_137_is_not_want_of_memory(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let (cookie, wait) = started(&driver, command("sleep 60").memory(64 << 20)).await;
        cookie.signal(&background(), 9).await.unwrap();
        assert_killed(&wait.wait(&background()).await, false);
        assert!(!cookie.exit_info().unwrap().oom_killed);
        cookie.close(&background()).await.unwrap();
        // fn can't tell it from a kill; the facts can.
        let (cookie, wait) = started(&driver, shell("exit 137").memory(64 << 20)).await;
        assert_killed(&wait.wait(&background()).await, false);
        let info = cookie.exit_info().unwrap();
        assert_eq!((info.code, info.signal, info.oom_killed), (137, None, false));
        cookie.close(&background()).await.unwrap();
    });
}

/// The row says 200 to 250 ms; the bound is ten times that, for hosts with other things to do.
const ENDS_SOON: Duration = Duration::from_millis(2500);
const WAIT: Duration = Duration::from_millis(200);

fn row_16_a_deadline_ends_the_wait_and_not_the_task(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let (cookie, wait) = started(&driver, shell("sleep 1; exit 4")).await;
        let start = Instant::now();
        let result = wait.wait(&background().with_timeout(WAIT)).await;
        assert!(start.elapsed() >= WAIT && start.elapsed() < ENDS_SOON, "{:?}", start.elapsed());
        let error = result.error().unwrap();
        assert_eq!((result.status(), error.kind()), (Status::Timeout, ErrorKind::DeadlineExceeded));
        assert_eq!((error.http_status(), cookie.state()), (504, State::Running));
        assert!(cookie.exit_info().is_none());
        // A later wait gets the real result.
        assert_code(&wait.wait(&background()).await, 4);
        cookie.close(&background()).await.unwrap();
    });
}

fn row_17_a_cancel_ends_the_wait_and_not_the_task(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let (cookie, wait) = started(&driver, shell("sleep 1; exit 4")).await;
        let (context, canceller) = background().with_cancel();
        let start = Instant::now();
        tokio::spawn(async move {
            tokio::time::sleep(WAIT).await;
            canceller.cancel();
        });
        let result = wait.wait(&context).await;
        assert!(start.elapsed() >= WAIT && start.elapsed() < ENDS_SOON, "{:?}", start.elapsed());
        let error = result.error().unwrap();
        assert_eq!((result.status(), error.kind()), (Status::Cancelled, ErrorKind::Cancelled));
        assert_eq!(cookie.state(), State::Running);
        assert_eq!(wait.wait(&dead()).await.status(), Status::Cancelled, "at once");
        assert_code(&wait.wait(&background().with_timeout(PATIENCE)).await, 4);
        cookie.close(&background()).await.unwrap();
    });
}

fn row_18_and_19_the_tasks_end_beats_the_contexts(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let over = background().with_timeout(Duration::ZERO);
        for context in [dead(), over] {
            let (cookie, wait) = started(&driver, shell("exit 3")).await;
            reaches(&*cookie, State::Exited).await;
            assert_code(&wait.wait(&context).await, 3);
            cookie.close(&background()).await.unwrap();
            // Upstream reports the cancel; the exit is knowable, so it is reported.
            let (cookie, wait) = started(&driver, command("true")).await;
            reaches(&*cookie, State::Exited).await;
            assert_eq!(wait.wait(&context).await.status(), Status::Success);
            cookie.close(&background()).await.unwrap();
        }
    });
}

/// On a runtime of one thread that the test keeps busy, only the kernel knows of the end.
fn row_18_and_19_even_if_nobody_has_noticed_it(bed: &Bed) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let driver = driver(bed);
        for (task, code) in [("true", 0), ("false", 1)] {
            let (cookie, wait) = started(&driver, command(task)).await;
            std::thread::sleep(Duration::from_millis(500));
            let result = wait.wait(&dead()).await;
            match code {
                0 => assert_eq!(result.status(), Status::Success),
                code => assert_code(&result, code),
            }
            cookie.close(&background()).await.unwrap();
        }
    });
}

/// A container that was started on a runtime which has shut down since.
fn unattended(bed: &Bed, task: &str, wait: bool) -> Status {
    let (driver, cookie, waits) = on_runtime(async {
        let driver = driver(bed);
        let cookie = created(&driver, command(task)).await;
        let waits = cookie.run(&background()).await.unwrap();
        if wait {
            reaches(&*cookie, State::Exited).await;
        }
        (driver, cookie, waits)
    });
    on_runtime(async {
        let result = waits.wait(&background()).await;
        let again = waits.wait(&background()).await;
        assert_eq!(format!("{again:?}"), format!("{result:?}"));
        if cookie.exit_info().is_none() {
            let error = result.error().unwrap();
            assert_eq!((error.kind(), error.http_status()), (ErrorKind::Host, 500));
            assert!(!error.is_function_error(), "{error}");
        }
        if task.starts_with("sleep") {
            // What nobody watches goes on all the same, and no call says otherwise.
            assert_eq!(cookie.state(), State::Running);
            let frozen = cookie.freeze(&background()).await;
            assert_eq!((frozen.is_ok(), cookie.state()), (true, State::Frozen));
            cookie.unfreeze(&background()).await.unwrap();
            let stopped = cookie.stop(&background(), 18, PATIENCE).await;
            assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Host);
        }
        cookie.close(&background()).await.unwrap();
        drop(driver);
        result.status()
    })
}

fn row_20_a_task_nobody_attends_is_no_success(bed: &Bed) {
    assert_eq!(unattended(bed, "sleep 60", false), Status::Error);
    // It has ended well, but who could know?
    for _ in 0..5 {
        let status = unattended(bed, "true", false);
        assert!([Status::Error, Status::Success].contains(&status), "{status}");
    }
}

fn row_20_an_end_nobody_attends_is_no_success(bed: &Bed) {
    for _ in 0..5 {
        // Seen to end is known to have ended.
        assert_eq!(unattended(bed, "true", true), Status::Success);
        assert_eq!(unattended(bed, "false", true), Status::Error);
    }
}

fn row_22_every_wait_gives_the_same_result(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let (cookie, wait) = started(&driver, shell("sleep 0.3; exit 5")).await;
        let wait: std::sync::Arc<dyn hotcell::contract::WaitResult> = wait.into();
        let both = [0, 1].map(|_| {
            let wait = std::sync::Arc::clone(&wait);
            tokio::spawn(async move { wait.wait(&background()).await })
        });
        for waiting in both {
            assert_code(&waiting.await.unwrap(), 5);
        }
        assert_code(&wait.wait(&background()).await, 5);
        assert_code(&wait.wait(&dead()).await, 5);
        cookie.close(&background()).await.unwrap();
        assert_code(&wait.wait(&background()).await, 5);
        assert_code(&wait.wait(&dead()).await, 5);
    });
}
