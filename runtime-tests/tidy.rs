//! The repository itself: rules that a compiler doesn't know.

use std::path::{Path, PathBuf};

use crate::bed::Bed;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(every_file_says_its_purpose_first),
        test!(unsafe_stays_in_its_rooms),
        test!(files_stay_readable),
        test!(every_row_of_the_contract_names_its_test),
        test!(every_row_about_the_task_names_its_test),
        test!(every_row_about_a_fault_names_its_test),
        test!(every_property_of_a_specification_has_a_row_and_a_test),
        test!(who_pulls_nothing_compiles_no_http_and_no_tls, Cargo),
    ]
}

fn sources() -> Vec<(PathBuf, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut dirs: Vec<_> =
        ["src", "runtime-tests", "benches", "examples"].map(|dir| top.join(dir)).into();
    let mut files = vec![top.join("build.rs")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => dirs.push(path),
                false if path.extension().is_some_and(|end| end == "rs") => files.push(path),
                false => {}
            }
        }
    }
    assert!(files.len() > 40, "looked in the wrong place: {files:?}");
    let short = |path: &PathBuf| path.strip_prefix(top).unwrap().to_owned();
    files.iter().map(|path| (short(path), std::fs::read_to_string(path).unwrap())).collect()
}

fn every_file_says_its_purpose_first(_: &Bed) {
    for (path, text) in sources() {
        let first = text.lines().next().unwrap_or_default();
        assert!(first.starts_with("//! ") && first.len() > 20, "{}: {first:?}", path.display());
    }
}

fn unsafe_stays_in_its_rooms(_: &Bed) {
    for (path, text) in sources() {
        let room = path.starts_with("src/sys") || path.starts_with("src/init");
        // Tests that play a bad embedder say so at the function.
        if room || path.starts_with("runtime-tests") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let found = code.contains("unsafe") && !code.contains("unsafe_code");
            assert!(!found, "{}:{}: {line}", path.display(), number + 1);
        }
    }
}

fn files_stay_readable(_: &Bed) {
    for (path, text) in sources() {
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let lines = code.lines().count();
        assert!(lines <= 500, "{} has {lines} lines of code", path.display());
    }
}

/// Whether a function of this name is in a file whose path its modules give.
fn exists(sources: &[(PathBuf, String)], name: &str) -> bool {
    let (modules, function) = name.rsplit_once("::").unwrap();
    let modules = modules.trim_end_matches("::tests").replace("::", "/");
    let ends = [".rs", "/mod.rs", "/tests.rs", "_tests.rs"];
    let ends = ends.map(|end| format!("{modules}{end}"));
    let here = |path: &Path| ends.iter().any(|end| path.ends_with(end));
    let text = format!("fn {function}(");
    sources.iter().any(|(path, source)| here(path) && source.contains(&text))
}

fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

/// A row names a test or says `later`.
fn every_row_of_the_contract_names_its_test(_: &Bed) {
    let (page, sources) = (page("fn-contract.md"), sources());
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert_eq!(rows.len(), 76);
    for (row, number) in rows.iter().zip(1..) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        assert_eq!(cells[1], number.to_string());
        let names: Vec<_> = cells[4].split('`').filter(|part| part.contains("::")).collect();
        assert!(cells[4] == "later" || !names.is_empty(), "{row}");
        for name in names {
            assert!(exists(&sources, name), "row {number} names {name}, which is not there");
        }
    }
}

fn every_row_about_the_task_names_its_test(_: &Bed) {
    every_row_names_its_test("process.md", 20);
}

fn every_row_about_a_fault_names_its_test(_: &Bed) {
    every_row_names_its_test("faults.md", 12);
}

/// `linux.resources` has one row; its parts are its own page's.
fn every_property_of_a_specification_has_a_row_and_a_test(_: &Bed) {
    every_row_names_its_test("runtime-spec.md", 40);
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let full = std::fs::read_to_string(top.join("fuzz/corpus/config/full.json")).unwrap();
    let mut properties = Vec::new();
    list_properties(&serde_json::from_str(&full).unwrap(), "", &mut properties);
    assert!(properties.len() > 80, "{properties:?}");
    let page = page("runtime-spec.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let names: Vec<_> = rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`')).collect();
    // A row about a whole covers its parts.
    let covered = |property: &str| {
        names.iter().any(|name| {
            property.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                && !name.is_empty()
        })
    };
    let missing: Vec<_> = properties.iter().filter(|property| !covered(property)).collect();
    assert!(missing.is_empty(), "docs/runtime-spec.md has no row for {missing:?}");
}

/// The paths of all values that are no objects; lists are not told apart from their members.
fn list_properties(value: &serde_json::Value, at: &str, all: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                list_properties(value, &at, all);
            }
        }
        serde_json::Value::Array(list) if list.iter().any(serde_json::Value::is_object) => {
            list.iter().for_each(|value| list_properties(value, at, all));
        }
        _ => all.push(at.to_owned()),
    }
}

/// What a user of the library gets along with it.
fn who_pulls_nothing_compiles_no_http_and_no_tls(_: &Bed) {
    let crates = |features: &str| -> Vec<String> {
        let mut cargo = std::process::Command::new(std::env::var_os("CARGO").unwrap());
        cargo.args([
            "tree",
            "--offline",
            "--locked",
            "--prefix",
            "none",
            "--edges",
            "normal,build",
        ]);
        cargo.args(["--no-default-features", "--features", features]);
        let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect()
    };
    let web = |name: &String| {
        let words = ["http", "hyper", "rustls", "ring", "tls", "webpki", "openssl"];
        words.iter().any(|word| name.split(['-', '_']).any(|part| part == *word))
    };
    for features in ["", "image", "image,conformance,rusqlite"] {
        let found: Vec<_> = crates(features).into_iter().filter(web).collect();
        assert!(found.is_empty(), "{features:?} brings {found:?}");
    }
    // And they would be seen.
    assert!(crates("pull").iter().filter(|name| web(name)).count() > 5);
}

/// The rows of the tables that have a column for it.
fn every_row_names_its_test(name: &str, least: usize) {
    let (page, sources) = (page(name), sources());
    let mut rows = Vec::new();
    let mut has_column = false;
    for line in page.lines() {
        match line {
            _ if line.ends_with("| test |") => has_column = true,
            _ if line.starts_with("| ") && has_column => rows.push(line),
            _ if !line.starts_with('|') => has_column = false,
            _ => {}
        }
    }
    assert!(rows.len() > least, "{rows:?}");
    for row in rows {
        let last = row.trim_end_matches(" |").rsplit('|').next().unwrap();
        let names: Vec<_> = last.split('`').filter(|part| part.contains("::")).collect();
        assert!(!names.is_empty(), "{row}");
        for name in names {
            assert!(exists(&sources, name), "{row}: {name} is not there");
        }
    }
}
