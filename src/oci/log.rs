//! Failures on their way out: a line on standard error and a record in the log file.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use jiff::{Timestamp, Unit};
use serde_json::json;

use super::args::{Globals, LogFormat};

/// Where records go. The file is opened at the first: mostly there is none.
#[derive(Default)]
pub(super) struct Log {
    file: Option<PathBuf>,
    format: LogFormat,
    debug: bool,
}

impl Log {
    pub(super) fn new(globals: &Globals) -> Log {
        let Globals { log, log_format, debug, .. } = globals;
        Log { file: log.clone(), format: *log_format, debug: *debug }
    }

    /// The one record of a failure. With a log file, standard error gets the bare text too.
    pub(super) fn error(&self, text: &str) {
        self.record("error", text);
        if self.file.is_some() {
            complain(text);
        }
    }

    /// What went wrong without making the verb fail.
    pub(super) fn warning(&self, text: &str) {
        self.record("warning", text);
    }

    /// What is only told with `--debug`.
    pub(super) fn debug(&self, text: impl FnOnce() -> String) {
        if self.debug {
            self.record("debug", &text());
        }
    }

    fn record(&self, level: &str, text: &str) {
        let record = self.line(level, text);
        let Some(path) = &self.file else {
            return complain(&record);
        };
        let appended = File::options().append(true).create(true).open(path);
        if let Err(error) = appended.and_then(|mut file| writeln!(file, "{record}")) {
            complain(&format!("--log {}: {error}", path.display()));
        }
    }

    fn line(&self, level: &str, text: &str) -> String {
        let now = Timestamp::now();
        let time = now.round(Unit::Second).unwrap_or(now).to_string();
        match self.format {
            LogFormat::Json => json!({ "level": level, "msg": text, "time": time }).to_string(),
            LogFormat::Text => format!("time=\"{time}\" level={level} msg={}", json!(text)),
        }
    }
}

/// Standard error may be closed; then nobody wants to hear it.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
