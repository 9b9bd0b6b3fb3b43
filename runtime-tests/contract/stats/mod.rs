//! Measurements: their numbers, and writers that take them badly.

mod numbers;
mod writers;

use std::sync::{Arc, Mutex};

use hotcell::contract::{Stat, TaskBuilder};

use crate::Test;

pub fn tests() -> Vec<Test> {
    [numbers::tests(), writers::tests()].into_iter().flatten().collect()
}

/// Keeps what is measured.
#[derive(Clone, Default)]
pub struct Stats(Arc<Mutex<Vec<Stat>>>);

impl Stats {
    pub fn on(&self, task: TaskBuilder) -> TaskBuilder {
        let own = self.clone();
        task.on_stat(move |stat| own.0.lock().unwrap().push(stat))
    }

    pub fn all(&self) -> Vec<Stat> {
        self.0.lock().unwrap().clone()
    }

    pub fn last(&self) -> Stat {
        self.all().last().expect("nothing was measured").clone()
    }
}
