//! What a run showed, and what it amounts to.

use super::case::Expect;
use super::scene::Scene;
use super::watch::Watch;
use crate::bed::Ran;

/// What every script says first, so that it is known to have run.
pub const INSIDE: &str = "inside";

/// The code of a program that was to enter a container which was refused itself.
pub const NO_CONTAINER: i32 = 1;

/// What is known after a run.
#[derive(Debug)]
pub struct Seen {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Ran> for Seen {
    fn from(ran: Ran) -> Seen {
        Seen { code: ran.code, out: ran.out, err: ran.err }
    }
}

/// What it amounts to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It ran, and nothing came of it.
    Contained,
    /// The runtime said no, and why.
    Refused(String),
    /// Nothing outside changed, but inside it could do what it should not: what it said.
    Exposed(String),
    /// Something outside changed, or the canary was read.
    Escaped(String),
    /// It had to be killed.
    Hung,
}

/// Judges a run by what it said and by what is different now; `code` is how it has to end, if that
/// matters.
pub fn judge(
    seen: &Seen,
    scene: &Scene,
    before: &Watch,
    root_too: bool,
    code: Option<i32>,
) -> Verdict {
    if let Some(change) = before.difference(&Watch::take(scene, root_too)) {
        return Verdict::Escaped(change);
    }
    if seen.out.contains(&scene.token) {
        return Verdict::Escaped("the canary was read".to_owned());
    }
    let rest = seen.out.strip_prefix(INSIDE).map(str::trim);
    match rest {
        Some("") if code.is_none() || seen.code == code => Verdict::Contained,
        Some("") => Verdict::Exposed(format!("ended with {:?}: {}", seen.code, seen.err.trim())),
        Some(rest) => Verdict::Exposed(rest.to_owned()),
        // A command that is no script of ours, and said no word.
        None if code.is_some()
            && seen.code == code
            && seen.out.is_empty()
            && seen.err.is_empty() =>
        {
            Verdict::Contained
        }
        None if seen.out.is_empty() && seen.code != Some(0) => {
            Verdict::Refused(seen.err.trim().to_owned())
        }
        None if seen.out.is_empty() => {
            Verdict::Exposed(format!("ended with 0 and said nothing; error output: {}", seen.err))
        }
        None => Verdict::Exposed(format!("ran something else: {}", seen.out.trim())),
    }
}

impl Verdict {
    /// Whether it is what a case expects of hotcell, which names what it refuses and says so with
    /// the codes that stand for a refusal.
    pub fn is(&self, expect: Expect, seen: &Seen) -> bool {
        match (self, expect) {
            (Verdict::Contained, Expect::Contained(_) | Expect::Either(_)) => true,
            (Verdict::Refused(line), Expect::Refused(text)) => {
                line.contains(text) && matches!(seen.code, Some(125..=127))
            }
            (Verdict::Refused(line), Expect::Either(text)) => {
                line.contains(text) && matches!(seen.code, Some(NO_CONTAINER | 125..=127))
            }
            _ => false,
        }
    }

    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Contained => "contained",
            Verdict::Refused(_) => "refused",
            Verdict::Exposed(_) => "exposed",
            Verdict::Escaped(_) => "escaped",
            Verdict::Hung => "hung",
        }
    }

    /// The worst of several forms decides a row; refusing is no worse than containing.
    pub fn rank(&self) -> u8 {
        match self {
            Verdict::Contained => 0,
            Verdict::Refused(_) => 1,
            Verdict::Exposed(_) => 2,
            Verdict::Hung => 3,
            Verdict::Escaped(_) => 4,
        }
    }
}
