//! `docs/hostile-registries.md`: a row for each case, checked against the corpus by every test run.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use super::case::Case;

/// The tables as the page has to have them.
fn tables(corpus: &[(&'static str, Vec<Case>)]) -> String {
    let mut text = String::new();
    for (title, cases) in corpus {
        let head = "| case | stands for | registries | what comes of it |\n|---|---|---|---|";
        writeln!(text, "## {title}\n\n{head}").unwrap();
        for case in cases {
            let words: BTreeSet<_> = case.forms.iter().map(|form| form.expect.word()).collect();
            let words = words.into_iter().collect::<Vec<_>>().join(", ");
            let count = case.forms.len();
            writeln!(text, "| {} | {} | {count} | {words} |", case.name, case.stands_for).unwrap();
        }
        text.push('\n');
    }
    text
}

/// With `HOTCELL_WRITE_PAGE=1` the tables are written anew.
pub fn check(corpus: &[(&'static str, Vec<Case>)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/hostile-registries.md");
    let count: usize =
        corpus.iter().flat_map(|(_, cases)| cases).map(|case| case.forms.len()).sum();
    assert!(count >= 200, "{count} registries");
    let page = std::fs::read_to_string(&path).unwrap();
    let (head, found) = page.split_once("## Blobs\n").unwrap();
    let wanted = tables(corpus);
    if std::env::var("HOTCELL_WRITE_PAGE").is_ok_and(|write| write == "1") {
        let mut parts: Vec<_> = head.split("**").map(str::to_owned).collect();
        parts[1] = format!("{count} registries");
        std::fs::write(&path, format!("{}{}\n", parts.join("**"), wanted.trim_end())).unwrap();
        return;
    }
    assert!(
        page.contains(&format!("**{count} registries**")),
        "the page counts {count} registries"
    );
    assert_eq!(format!("## Blobs\n{found}").trim(), wanted.trim());
}
