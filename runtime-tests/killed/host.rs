//! What killed embedders may leave: nothing, from the moment the next driver is open.

use std::path::Path;
use std::time::{Duration, Instant};

use hotcell::native::Instance;

use crate::bed::{Bed, cgroup_dirs};

/// Opens the next driver and looks for what is left, at once. Returns how long opening it took.
#[track_caller]
pub fn sweep(bed: &Bed) -> Duration {
    let start = Instant::now();
    let driver = bed.driver();
    let took = start.elapsed();
    // A cell of a dead embedder would be there now; this driver has none.
    assert_eq!(left(bed, Some(&driver)), Vec::<String>::new(), "left behind by the sweep");
    driver.close().unwrap();
    assert_eq!(left(bed, None), Vec::<String>::new(), "left behind by the last driver");
    took
}

/// What is there besides what belongs to `driver`.
fn left(bed: &Bed, driver: Option<&Instance>) -> Vec<String> {
    let options = bed.options();
    let mut left = Vec::new();
    let mut list = |dir: &Path, kept: &dyn Fn(&str) -> bool| {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if !kept(&entry.file_name().to_string_lossy()) {
                left.push(entry.path().display().to_string());
            }
        }
    };
    let mark = format!(".made-{}", options.cgroup_parent);
    list(&options.state_dir, &|name| {
        let own = driver.is_some_and(|driver| driver.id() == name || name == mark);
        own || matches!(name, ".lock" | "names" | "ids")
    });
    for dir in ["names", "ids"] {
        list(&options.state_dir.join(dir), &|_| false);
    }
    list(&options.data_dir, &|_| false);
    // Every process of a cell is born in its cgroup: one that is left is left in one of these.
    for parent in cgroup_dirs() {
        list(&parent, &|name| !parent.join(name).is_dir());
    }
    let parents = cgroup_dirs().into_iter().filter(|parent| driver.is_none() && parent.exists());
    left.extend(parents.map(|parent| parent.display().to_string()));
    left
}
