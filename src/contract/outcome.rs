//! placeholder
use super::*;
pub(crate) fn result_of(exit: &ExitInfo, _m: Option<u64>, e: Option<Error>) -> RunResult {
    match e {
        Some(e) => RunResult::failure(Status::Error, e),
        None if exit.code == 0 => RunResult::success(),
        None if exit.code == 137 => {
            RunResult::failure(Status::Killed, Error::new(ErrorKind::ContainerKilled, "killed"))
        }
        None => RunResult::failure(
            Status::Error,
            Error::new(ErrorKind::ContainerExit, format!("container exit code {}", exit.code)),
        ),
    }
}
pub(crate) fn result_of_end(e: ContextEnd) -> RunResult {
    match e {
        ContextEnd::Cancelled => RunResult::failure(Status::Cancelled, e.into()),
        ContextEnd::DeadlineExceeded => RunResult::failure(Status::Timeout, e.into()),
    }
}
