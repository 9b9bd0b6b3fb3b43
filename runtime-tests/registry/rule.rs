//! Which requests are answered otherwise, how often, and how.

use std::sync::Arc;

use super::answer::Answer;
use super::http::{Asked, Request};

/// What is done to the right answer.
pub type Twist = Arc<dyn Fn(&Request, Answer) -> Answer + Send + Sync>;

/// A kind of request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum On {
    Any,
    /// All but requests for tokens.
    Registry,
    Manifest,
    Blob,
    BlobOf(String),
    Token,
    /// Everything at this path.
    Path(String),
}

impl On {
    pub fn matches(&self, request: &Request) -> bool {
        match (self, request.asked()) {
            (On::Any, _)
            | (On::Manifest, Asked::Manifest { .. })
            | (On::Blob, Asked::Blob { .. })
            | (On::Token, Asked::Token) => true,
            (On::Registry, asked) => asked != Asked::Token,
            (On::BlobOf(wanted), Asked::Blob { digest, .. }) => *wanted == digest,
            (On::Path(path), _) => *path == request.path,
            _ => false,
        }
    }
}

/// A change to the answers of some requests.
pub struct Rule {
    on: On,
    /// Requests that are still let alone.
    skip: usize,
    left: usize,
    twist: Twist,
}

impl Rule {
    pub fn new(on: On, twist: impl Fn(&Request, Answer) -> Answer + Send + Sync + 'static) -> Rule {
        Rule { on, skip: 0, left: usize::MAX, twist: Arc::new(twist) }
    }

    /// Only so often.
    pub fn times(self, left: usize) -> Rule {
        Rule { left, ..self }
    }

    pub fn once(self) -> Rule {
        self.times(1)
    }

    /// Not the first ones.
    pub fn after(self, skip: usize) -> Rule {
        Rule { skip, ..self }
    }

    /// What to do to the answer of this request, if the rule is about it.
    pub(super) fn take(&mut self, request: &Request) -> Option<Twist> {
        if self.left == 0 || !self.on.matches(request) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.left -= 1;
        Some(Arc::clone(&self.twist))
    }
}
