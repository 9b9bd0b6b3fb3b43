//! What a hostile case is: how a root is spoiled, what is asked for, what runs inside, what has to
//! come of it.

use serde_json::Value;

use super::engine::Engine;
use super::judge::Seen;
use super::scene::Scene;
use super::spoil::Spoil;
use super::way::{By, Way};

/// One row of the page: bundles that try the same thing in several forms, with one verdict.
pub struct Case {
    pub name: &'static str,
    /// The published weakness it stands for, or the class in a few words.
    pub stands_for: &'static str,
    pub base: Base,
    pub forms: Vec<Form>,
    pub modes: &'static [Mode],
    /// What comes of it through the library.
    pub expect: Expect,
    /// The same by each way in.
    pub ways: [By; Way::ALL.len()],
    /// Whether it is the system call filter that holds it: without one it is not played.
    pub by_filter: bool,
    pub peers: Peers,
}

/// One bundle. Every text may hold `{root}`, `{canary}`, `{share}` and `{token}`.
pub struct Form {
    pub name: String,
    pub spoils: Vec<Spoil>,
    pub flags: Vec<String>,
    pub act: Act,
    /// A change to the specification that no flag can express.
    pub edit: Option<Edit>,
    /// What starts the runtime, to hand something down to it.
    pub under: Vec<String>,
}

/// Changes a specification.
pub type Edit = Box<dyn Fn(&mut Value) + Sync>;

/// What runs inside.
pub enum Act {
    /// A shell script. It says a line for everything that it could do and should not have.
    Script(String),
    /// The same in Python, for calls that no shell makes.
    Python(String),
    /// A command that has to be refused.
    Command(Vec<String>),
    /// Something with more than one cell; only hotcell plays it.
    Play(fn(&Scene, Mode) -> Seen),
    /// The same with an engine's containers.
    Engine(fn(&Engine<'_>) -> Seen),
}

/// The root before it is spoiled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Base {
    Busybox,
    /// Too large to copy, so it can't be spoiled.
    Debian,
}

/// What has to come of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// It runs, ends with this code and does nothing that it should not.
    Contained(i32),
    /// It does not run; the error holds this text.
    Refused(&'static str),
    /// Some of its bundles run, some are refused with this text.
    Either(&'static str),
}

/// Whether the peers are asked.
#[derive(Clone, Copy)]
pub enum Peers {
    Run,
    NotRun(&'static str),
}

/// What a cell is started with that no case cares about, yet may decide it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mode {
    pub init: bool,
    pub upper: Upper,
    /// Whether its ids are its own.
    pub own_ids: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Upper {
    Tmpfs,
    Disk,
    ReadOnly,
}

const fn mode(init: bool, upper: Upper) -> Mode {
    Mode { init, upper, own_ids: false }
}

/// With and without an init, on every kind of root.
pub const EVERY: &[Mode] =
    &[mode(true, Upper::Tmpfs), mode(false, Upper::Disk), mode(false, Upper::ReadOnly)];
/// For roots that have to be written to.
pub const WRITABLE: &[Mode] = &[mode(true, Upper::Tmpfs), mode(false, Upper::Disk)];
/// For what only an init gives.
pub const WITH_INIT: &[Mode] = &[mode(true, Upper::Tmpfs)];
/// For what doesn't depend on it.
pub const ONE: &[Mode] = &[mode(false, Upper::Tmpfs)];

impl Expect {
    /// How a run has to end.
    pub fn code(self) -> Option<i32> {
        match self {
            Expect::Contained(code) => Some(code),
            Expect::Refused(_) | Expect::Either(_) => None,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Expect::Contained(_) => "contained",
            Expect::Refused(_) => "refused",
            Expect::Either(_) => "contained, refused",
        }
    }
}

impl Case {
    pub fn new(name: &'static str, stands_for: &'static str) -> Case {
        Case {
            name,
            stands_for,
            base: Base::Busybox,
            forms: Vec::new(),
            modes: WRITABLE,
            expect: Expect::Contained(0),
            ways: [By::Same; Way::ALL.len()],
            by_filter: false,
            peers: Peers::Run,
        }
    }

    pub fn form(mut self, form: Form) -> Case {
        if matches!(form.act, Act::Python(_)) {
            self.base = Base::Debian;
        }
        self.forms.push(form);
        self
    }

    pub fn forms(self, forms: impl IntoIterator<Item = Form>) -> Case {
        forms.into_iter().fold(self, Case::form)
    }

    pub fn modes(mut self, modes: &'static [Mode]) -> Case {
        self.modes = modes;
        self
    }

    pub fn code(mut self, code: i32) -> Case {
        self.expect = Expect::Contained(code);
        self
    }

    pub fn refused(mut self, text: &'static str) -> Case {
        self.expect = Expect::Refused(text);
        self
    }

    /// What comes of it by one way in, if not the same as through the library.
    pub fn by(mut self, way: Way, by: By) -> Case {
        self.ways[way as usize] = by;
        self
    }

    /// The same for all ways of engines.
    pub fn by_engines(self, by: By) -> Case {
        self.by(Way::Create, by).by(Way::Exec, by)
    }

    /// Where the container itself is refused there is nothing to enter.
    pub fn no_entry(self) -> Case {
        self.by(Way::Exec, By::NotRun("no container"))
    }

    pub fn by_filter(mut self) -> Case {
        self.by_filter = true;
        self
    }

    pub fn no_peers(mut self, why: &'static str) -> Case {
        self.peers = Peers::NotRun(why);
        self
    }
}

impl Form {
    fn new(act: Act) -> Form {
        let none = Vec::new;
        Form {
            name: String::new(),
            spoils: Vec::new(),
            flags: none(),
            act,
            edit: None,
            under: none(),
        }
    }

    pub fn script(text: &str) -> Form {
        Form::new(Act::Script(text.to_owned()))
    }

    pub fn python(text: &str) -> Form {
        Form::new(Act::Python(text.to_owned()))
    }

    pub fn command<S: Into<String>>(args: impl IntoIterator<Item = S>) -> Form {
        Form::new(Act::Command(args.into_iter().map(Into::into).collect()))
    }

    pub fn play(body: fn(&Scene, Mode) -> Seen) -> Form {
        Form::new(Act::Play(body))
    }

    pub fn engine(body: fn(&Engine<'_>) -> Seen) -> Form {
        Form::new(Act::Engine(body))
    }

    pub fn named(mut self, name: impl Into<String>) -> Form {
        self.name = name.into();
        self
    }

    pub fn spoil(mut self, spoils: impl IntoIterator<Item = Spoil>) -> Form {
        self.spoils.extend(spoils);
        self
    }

    pub fn flags<S: Into<String>>(mut self, flags: impl IntoIterator<Item = S>) -> Form {
        self.flags.extend(flags.into_iter().map(Into::into));
        self
    }

    pub fn edit(mut self, edit: impl Fn(&mut Value) + Sync + 'static) -> Form {
        self.edit = Some(Box::new(edit));
        self
    }

    pub fn under<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Form {
        self.under.extend(words.into_iter().map(Into::into));
        self
    }
}
