//! What this host has to hide beyond what every host has.

use std::path::Path;
use std::sync::OnceLock;

use crate::bundle::CellConfig;

const CPUS: &str = "/sys/devices/system/cpu";

/// The paths: how often a CPU was slowed down for its heat tells what other cells compute.
///
/// Found out once in this process. A CPU that is plugged in later is on the list from the start.
pub(crate) fn paths() -> &'static [String] {
    static PATHS: OnceLock<Vec<String>> = OnceLock::new();
    PATHS.get_or_init(|| throttles(Path::new(CPUS)))
}

/// Adds them to what `config` hides.
pub(crate) fn hide(config: &mut CellConfig) {
    let new = paths().iter().filter(|path| !config.masked_paths.contains(path));
    let new: Vec<_> = new.cloned().collect();
    config.masked_paths.extend(new);
}

/// The directory of each CPU that this machine can have, if it has them at all.
fn throttles(cpus: &Path) -> Vec<String> {
    let list = std::fs::read_to_string(cpus.join("possible")).unwrap_or_default();
    let numbers = list.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<u32>().ok()?..=last.parse().ok()?)
    });
    let name = |cpu: u32| format!("cpu{cpu}/thermal_throttle");
    let names: Vec<_> = numbers.flatten().map(name).collect();
    match names.iter().any(|name| cpus.join(name).is_dir()) {
        true => names.iter().map(|name| format!("{CPUS}/{name}")).collect(),
        false => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_possible_cpu_is_listed_where_one_tells() {
        let at = tempfile::tempdir().unwrap();
        std::fs::write(at.path().join("possible"), "0-1,3\n").unwrap();
        std::fs::create_dir(at.path().join("cpu1")).unwrap();
        assert_eq!(throttles(at.path()), [""; 0]);
        std::fs::create_dir(at.path().join("cpu1/thermal_throttle")).unwrap();
        let path = |cpu| format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle");
        assert_eq!(throttles(at.path()), [path(0), path(1), path(3)]);
    }

    #[test]
    fn a_list_that_makes_no_sense_names_nothing() {
        let at = tempfile::tempdir().unwrap();
        assert_eq!(throttles(at.path()), [""; 0]);
        std::fs::create_dir_all(at.path().join("cpu0/thermal_throttle")).unwrap();
        std::fs::write(at.path().join("possible"), "x-0\n").unwrap();
        assert_eq!(throttles(at.path()), [""; 0]);
    }
}
