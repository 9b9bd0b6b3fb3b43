//! The repository itself: rules that a compiler doesn't know.

use std::path::{Path, PathBuf};

use crate::bed::Bed;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(every_file_says_its_purpose_first),
        test!(unsafe_stays_in_its_rooms),
        test!(files_stay_readable),
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
