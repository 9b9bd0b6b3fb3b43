//! How tasks end: codes, signals, want of memory.

use hotcell::contract::{ErrorKind, RunResult, State, Status};
use hotcell::native::NativeDriver;

use super::tools::{
    background, command, dead, driver, finished, on_runtime, python, shell, started,
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
    ]
}

/// The result says this code, and whose fault it is.
#[track_caller]
pub fn assert_code(result: &RunResult, code: u8) {
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

/// What the task itself can't execute is its own affair; see making.rs for what the driver can't.
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
