//! Golden tables: what each kind of cell answered when somebody last looked at every line.

use std::path::{Path, PathBuf};

use super::order::{Reach, TRIES, about_init, lacking, reach};
use super::table::{Table, golden};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("runtime-tests/probe").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

/// Compares with a table, or writes it.
pub fn check(name: &str, found: &Table) {
    let found = golden(found);
    if super::blessing() {
        std::fs::write(path(name), found.text()).unwrap();
    }
    compare(name, &Table::parse(&read(name)), &found);
}

/// Compares with a table and the lines in which this one differs.
pub fn check_against(base: &str, name: &str, found: &Table) {
    let found = golden(found);
    let base = Table::parse(&read(base));
    if super::blessing() {
        let gone = base.lines.iter().filter(|(key, value)| found.get(key) != Some(value));
        let new = found.lines.iter().filter(|(key, value)| base.get(key) != Some(value));
        let gone = gone.map(|(key, value)| format!("- {key} {value}\n"));
        let new = new.map(|(key, value)| format!("+ {key} {value}\n"));
        std::fs::write(path(name), gone.chain(new).collect::<String>()).unwrap();
    }
    let changes = read(name);
    let these = |sign| {
        let lines = changes.lines().filter_map(move |line| line.strip_prefix(sign));
        Table::parse(&lines.map(|line| format!("{line}\n")).collect::<String>())
    };
    let (gone, new) = (these("- "), these("+ "));
    let kept = base.filtered(|key, _| gone.get(key).is_none());
    compare(name, &Table::new(kept.lines.into_iter().chain(new.lines)), &found);
}

fn compare(name: &str, golden: &Table, found: &Table) {
    let differences = differences(golden, found);
    let count = differences.len();
    let lines = differences.join("\n  ");
    assert!(
        count == 0,
        "{name} differs in {count} lines (HOTCELL_BLESS=1 writes what is now):\n  {lines}"
    );
}

/// What a person would have to look at.
pub fn differences(golden: &Table, found: &Table) -> Vec<String> {
    let mut differences = Vec::new();
    for (key, value) in &golden.lines {
        let now = found.get(key);
        if !same(key, Some(value), now) {
            let now = now.unwrap_or("not there");
            differences.push(format!("{key}: was {value}, is {now}"));
        }
    }
    for (key, value) in found.lines.iter().filter(|(key, _)| golden.get(key).is_none()) {
        if !same(key, None, Some(value)) {
            differences.push(format!("{key}: is new: {value}"));
        }
    }
    differences
}

/// Whether two answers differ in nothing but what their kernels were built with. A try that was let
/// through may find nothing there; one that was refused stays refused, and what is given stays.
fn same(key: &str, golden: Option<&str>, found: Option<&str>) -> bool {
    if golden == found {
        return true;
    }
    let section = key.split(' ').next().unwrap();
    let native = cfg!(target_arch = "x86_64") || !["syscall", "x32", "i386"].contains(&section);
    match (golden, found) {
        (Some(golden), Some(found)) if TRIES.contains(&section) || about_init(key) => {
            let refused = |value| reach(value) == Reach::Refused;
            let let_through = !refused(golden) && !refused(found);
            !native
                || refused(golden) && refused(found)
                || let_through && (lacking(golden) || lacking(found))
                // Without the hardware, nobody asks for the capability.
                || section == "use" && lacking(golden) && refused(found)
                || !refused(golden) && number(key).map_or(found == "ENOSYS", |number| {
                    // Some calls the kernel lets through whatever the filter says, if it has them.
                    refused(found) && !exists(number)
                })
        }
        // A file, a protocol or a call that this kernel lacks.
        (Some(_), None) => section == "write" || !native,
        (None, Some(_)) if section == "write" => of_security_module(key),
        (None, Some(found)) => !native || section == "syscall" && reach(found) == Reach::Refused,
        _ => false,
    }
}

/// What each security module of the kernel adds to every process, in a directory of its own.
fn of_security_module(key: &str) -> bool {
    let parts: Vec<_> = key.strip_prefix("write /proc/").unwrap_or_default().split('/').collect();
    matches!(parts[..], ["self" | "1", "attr", _, _])
}

fn number(key: &str) -> Option<u32> {
    key.strip_prefix("syscall ")?.split('-').next()?.parse().ok()
}

/// Whether this kernel has a system call: asked outside of any cell.
pub fn exists(number: u32) -> bool {
    let number = number.to_string();
    let asked = std::process::Command::new(super::program()).args(["syscalls", &number]).output();
    !String::from_utf8(asked.unwrap().stdout).unwrap().ends_with("ENOSYS\n")
}
