//! From the facts about a task's end to a result: the one place that knows fn's rules.
//!
//! In this order: a stream that failed is an error; code 0 is a success; 137, which is what SIGKILL
//! leaves, is killed; anything else is an error. A task that has ended is judged by its own end
//! alone: the context counts only as long as the task runs.

use super::{ContextEnd, Error, ErrorKind, ExitInfo, RunResult, Status};

/// 128 + SIGKILL.
const KILLED: u8 = 137;

/// What came of a task that has ended. `memory_limit_bytes` is what it was allowed, if anything;
/// `stream_error` is the first failure of a reader or writer that the task brought along.
pub(crate) fn result_of(
    exit: &ExitInfo,
    memory_limit_bytes: Option<u64>,
    stream_error: Option<Error>,
) -> RunResult {
    if let Some(error) = stream_error {
        return RunResult::failure(Status::Error, error);
    }
    match exit.code {
        0 => RunResult::success(),
        KILLED => {
            let message = match (exit.oom_killed, exit.signal) {
                (true, _) => out_of_memory(memory_limit_bytes),
                (false, Some(_)) => {
                    "container killed by signal 9 (SIGKILL), not for want of memory".to_owned()
                }
                // A shell's way to tell of its child; or a program's own idea.
                (false, None) => {
                    "container exit code 137, which stands for SIGKILL, not for want of memory"
                        .to_owned()
                }
            };
            RunResult::failure(Status::Killed, Error::new(ErrorKind::ContainerKilled, message))
        }
        code => {
            let message = format!("container exit code {code}");
            RunResult::failure(Status::Error, Error::new(ErrorKind::ContainerExit, message))
        }
    }
}

/// What a wait has to say when the context ends before the task.
pub(crate) fn result_of_end(end: ContextEnd) -> RunResult {
    let status = match end {
        ContextEnd::DeadlineExceeded => Status::Timeout,
        ContextEnd::Cancelled => Status::Cancelled,
    };
    RunResult::failure(status, end.into())
}

fn out_of_memory(limit_bytes: Option<u64>) -> String {
    const MB: u64 = 1 << 20;
    let limit = match limit_bytes {
        None | Some(0) => {
            return "container out of memory, without a limit of its own: free memory on the host \
                    or raise the memory limit above it (fn's default is 128MB)"
                .to_owned();
        }
        Some(bytes) if bytes % MB == 0 => format!("{}MB", bytes / MB),
        Some(bytes) if bytes > MB => format!("{}.{}MB", bytes / MB, bytes % MB * 10 / MB),
        Some(bytes) => format!("{bytes} bytes"),
    };
    format!(
        "container out of memory at its limit of {limit}: raise the memory limit (fn's default is 128MB)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn exit(code: u8) -> ExitInfo {
        ExitInfo::exited(code, SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH)
    }

    fn told(result: &RunResult) -> (Status, Option<ErrorKind>, String) {
        let error = result.error();
        (result.status(), error.map(Error::kind), error.map(Error::to_string).unwrap_or_default())
    }

    /// An end, the limit, what is told if it isn't a success, and parts of the text.
    type Row = (ExitInfo, Option<u64>, Option<(Status, ErrorKind)>, &'static [&'static str]);

    #[test]
    fn every_end_has_fns_status_and_text() {
        let failed = Some((Status::Error, ErrorKind::ContainerExit));
        let killed = Some((Status::Killed, ErrorKind::ContainerKilled));
        let table: [Row; 13] = [
            (exit(0), None, None, &[]),
            (exit(1), None, failed, &["container exit code 1"]),
            (exit(2), Some(64 << 20), failed, &["container exit code 2"]),
            (exit(126), None, failed, &["container exit code 126"]),
            (exit(127), None, failed, &["container exit code 127"]),
            (exit(255), None, failed, &["container exit code 255"]),
            (exit(0).by_signal(15), None, failed, &["container exit code 143"]),
            (exit(0).by_signal(11), None, failed, &["container exit code 139"]),
            (exit(0).by_signal(9), Some(64 << 20), killed, &["SIGKILL", "not for want of memory"]),
            // A shell's way to tell of its child.
            (exit(137), None, killed, &["SIGKILL"]),
            (exit(0).by_oom(), Some(64 << 20), killed, &["out of memory", " 64MB", "raise the"]),
            (exit(0).by_oom(), Some(3 << 19), killed, &["out of memory", " 1.5MB", "raise the"]),
            (exit(0).by_oom(), None, killed, &["out of memory", "without a limit", "128MB"]),
        ];
        for (exit, limit, expected, texts) in table {
            let (status, kind, text) = told(&result_of(&exit, limit, None));
            let (expected_status, expected_kind) = match expected {
                Some((status, kind)) => (status, Some(kind)),
                None => (Status::Success, None),
            };
            assert_eq!((status, kind), (expected_status, expected_kind), "{exit:?}");
            assert!(texts.iter().all(|part| text.contains(part)), "{exit:?}: {text}");
            assert_eq!(text.contains("out of memory"), exit.oom_killed, "{exit:?}: {text}");
        }
    }

    #[test]
    fn a_stream_error_comes_before_every_code_and_stays_the_same_value() {
        let lost = Error::caused(ErrorKind::Stream, "writing", std::io::Error::other("full"));
        for exit in [exit(0), exit(3), exit(0).by_signal(9), exit(0).by_oom()] {
            let result = result_of(&exit, None, Some(lost.clone()));
            let told = result.error().unwrap();
            assert_eq!((result.status(), told.kind()), (Status::Error, ErrorKind::Stream));
            let source = |error: &Error| {
                std::error::Error::source(error)
                    .map(|source| std::ptr::from_ref(source).cast::<()>())
            };
            assert_eq!(source(told), source(&lost));
        }
    }

    #[test]
    fn a_contexts_end_is_timeout_or_cancelled() {
        let (status, kind, _) = told(&result_of_end(ContextEnd::DeadlineExceeded));
        assert_eq!((status, kind), (Status::Timeout, Some(ErrorKind::DeadlineExceeded)));
        let (status, kind, _) = told(&result_of_end(ContextEnd::Cancelled));
        assert_eq!((status, kind), (Status::Cancelled, Some(ErrorKind::Cancelled)));
    }
}
