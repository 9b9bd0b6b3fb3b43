//! The ways into a cell: a driver's, and those of engines.

use super::case::{Case, Expect};

/// How a hostile program gets to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// The library's driver starts it.
    Library,
    /// `hotcell-oci create` and `start`: it is the container's first process.
    Create,
    /// `hotcell-oci exec`: it enters a container that idles.
    Exec,
}

/// What comes of a case by one way in.
#[derive(Clone, Copy, Debug)]
pub enum By {
    /// The same as through the library.
    Same,
    Ends(Expect),
    /// It can't be played, and why.
    NotRun(&'static str),
}

/// The flags that would ask for it are refused by the program that writes the bundle.
pub const NO_BUNDLE: By = By::NotRun("no bundle");
/// What it tries on an init of hotcell's.
pub const OWN_FIRST: By = By::NotRun("PID 1 is the container's own");
/// Several cells of a driver play together.
pub const DRIVERS: By = By::NotRun("plays with a driver's cells");

impl Way {
    pub const ALL: [Way; 3] = [Way::Library, Way::Create, Way::Exec];
    pub const OF_ENGINES: [Way; 2] = [Way::Create, Way::Exec];
}

impl Case {
    /// What has to come of it; `None` if it is not played this way.
    pub fn expected(&self, way: Way) -> Option<Expect> {
        match self.ways[way as usize] {
            By::Same => Some(self.expect),
            By::Ends(expect) => Some(expect),
            By::NotRun(_) => None,
        }
    }

    /// The same as the page has it.
    pub fn word(&self, way: Way) -> String {
        match (self.expected(way), self.ways[way as usize]) {
            (Some(expect), _) => expect.word().to_owned(),
            (None, By::NotRun(why)) => format!("not run: {why}"),
            (None, _) => String::new(),
        }
    }
}
