//! Writes down every event and span of this process, of every crate in it, at every level.

use std::fmt::Debug;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Where it is written.
pub struct Trace {
    file: Mutex<File>,
}

impl Trace {
    /// From now on, for the whole process: what is traced, and what goes to the older `log`.
    pub fn begin(path: &Path) {
        let open = || Trace {
            file: Mutex::new(File::options().append(true).create(true).open(path).unwrap()),
        };
        tracing::subscriber::set_global_default(open()).unwrap();
        log::set_logger(Box::leak(Box::new(open()))).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
        tracing::trace!("begins");
    }

    fn line(&self, what: &str, fields: impl FnOnce(&mut Fields)) {
        let mut line = Fields(what.to_owned());
        fields(&mut line);
        line.0.push('\n');
        self.file.lock().unwrap().write_all(line.0.as_bytes()).unwrap();
    }
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!(" {field}={value:?}");
    }
}

impl Subscriber for Trace {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.line(span.metadata().name(), |fields| span.record(fields));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        self.line("record", |fields| values.record(fields));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        self.line(event.metadata().target(), |fields| event.record(fields));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl log::Log for Trace {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.line(record.target(), |fields| fields.0 += &format!(" {}", record.args()));
    }

    fn flush(&self) {}
}
