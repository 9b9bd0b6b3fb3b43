//! What is said to a request, and what can be done to a right answer to make it wrong.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// An answer. What changes one takes it and gives the changed one, so that changes can be chained.
#[derive(Clone)]
pub struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Arc<Vec<u8>>,
    /// Which bytes of the body are sent.
    pub(super) part: Range<usize>,
    pub(super) framing: Framing,
    pub(super) sending: Sending,
}

/// How the client learns where the body ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length,
    Chunked,
    /// With the connection.
    End,
}

/// How the bytes get on the wire.
#[derive(Clone)]
pub(super) enum Sending {
    Whole,
    /// So many bytes of the body, and then the connection ends.
    Cut(usize),
    /// The same, and it ends with a reset.
    Reset(usize),
    /// So many, and then nothing for as long as the client waits.
    Stall(usize),
    /// So many at a time.
    Slowly(usize, Duration),
    /// Not a byte, not even the status, for as long as the client waits.
    Silence,
    /// No HTTP of this server's: these bytes, and then those again and again.
    Raw(Vec<u8>, Vec<u8>),
}

impl Answer {
    pub fn new(status: u16) -> Answer {
        Answer {
            status,
            headers: Vec::new(),
            body: Arc::default(),
            part: 0..0,
            framing: Framing::Length,
            sending: Sending::Whole,
        }
    }

    /// Bytes that are written as they are, and others behind them for ever, unless there are none.
    pub fn raw(once: impl Into<Vec<u8>>, again: impl Into<Vec<u8>>) -> Answer {
        Answer { sending: Sending::Raw(once.into(), again.into()), ..Answer::new(0) }
    }

    /// An error as registries tell it.
    pub fn error(status: u16, code: &str, message: &str) -> Answer {
        let text = serde_json::json!({ "errors": [{ "code": code, "message": message }] });
        Answer::new(status).with("Content-Type", "application/json").saying(text.to_string())
    }

    /// A redirect.
    pub fn redirect(to: &str) -> Answer {
        Answer::new(307).with("Location", to)
    }

    pub fn status(mut self, status: u16) -> Answer {
        self.status = status;
        self
    }

    /// In place of what has this name.
    pub fn with(self, name: &str, value: impl Into<String>) -> Answer {
        let mut answer = self.without(name);
        answer.headers.push((name.to_owned(), value.into()));
        answer
    }

    /// Besides what has this name.
    pub fn and(mut self, name: &str, value: impl Into<String>) -> Answer {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn without(mut self, name: &str) -> Answer {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// Another body.
    pub fn saying(self, body: impl Into<Vec<u8>>) -> Answer {
        self.bytes(Arc::new(body.into()))
    }

    pub fn bytes(mut self, body: Arc<Vec<u8>>) -> Answer {
        self.part = 0..body.len();
        self.body = body;
        self
    }

    /// Its text with a change.
    pub fn rewrite(self, change: impl FnOnce(String) -> String) -> Answer {
        let text = String::from_utf8_lossy(&self.body).into_owned();
        self.saying(change(text))
    }

    pub fn is(&self, status: u16) -> bool {
        self.status == status
    }

    /// A part of the body.
    pub fn only(mut self, part: Range<usize>) -> Answer {
        self.part = part;
        self
    }

    /// The whole body, whatever range was asked for.
    pub fn whole(self) -> Answer {
        let part = 0..self.body.len();
        self.status(200).without("Content-Range").only(part)
    }

    /// How many bytes of the body are sent.
    pub fn length(&self) -> usize {
        self.part.len()
    }

    /// One bit of the body is another.
    pub fn flip(mut self, at: usize) -> Answer {
        let mut body = self.body.to_vec();
        body[at] ^= 1;
        self.body = Arc::new(body);
        self
    }

    pub fn chunked(mut self) -> Answer {
        self.framing = Framing::Chunked;
        self
    }

    /// Says nothing about the body's length: it ends with the connection.
    pub fn until_the_end(mut self) -> Answer {
        self.framing = Framing::End;
        self
    }

    pub fn cut(self, after: usize) -> Answer {
        Answer { sending: Sending::Cut(after), ..self }
    }

    pub fn reset(self, after: usize) -> Answer {
        Answer { sending: Sending::Reset(after), ..self }
    }

    pub fn stall(self, after: usize) -> Answer {
        Answer { sending: Sending::Stall(after), ..self }
    }

    pub fn silence(self) -> Answer {
        Answer { sending: Sending::Silence, ..self }
    }

    pub fn slowly(self, bytes: usize, every: Duration) -> Answer {
        Answer { sending: Sending::Slowly(bytes, every), ..self }
    }
}
