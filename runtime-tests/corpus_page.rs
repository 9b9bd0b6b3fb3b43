//! The page of a corpus: a table for each of its parts, a row for each case, checked against the corpus
//! by every test run.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

/// Where the tables of a corpus stand.
pub struct Page {
    /// The file below `docs/`.
    pub file: &'static str,
    /// What its forms are called: "images". The page counts them in bold.
    pub forms: &'static str,
    /// How many there are at least.
    pub least: usize,
}

/// A case: what it is called, what it stands for, and what may come of each of its forms.
pub struct Row {
    pub name: &'static str,
    pub stands_for: &'static str,
    pub expected: Vec<&'static str>,
}

impl Page {
    /// Fails if the page says anything else than these tables, by their titles. With
    /// `HOTCELL_WRITE_PAGE=1` they are written anew.
    pub fn check(&self, tables: &[(&'static str, Vec<Row>)]) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(self.file);
        let rows = tables.iter().flat_map(|(_, rows)| rows);
        let count: usize = rows.map(|row| row.expected.len()).sum();
        let counted = format!("{count} {}", self.forms);
        assert!(count >= self.least, "{counted}");
        let page = std::fs::read_to_string(&path).unwrap();
        let first = format!("## {}\n", tables[0].0);
        let (head, found) = page.split_once(&first).unwrap();
        let wanted = self.tables(tables);
        if std::env::var("HOTCELL_WRITE_PAGE").is_ok_and(|write| write == "1") {
            let mut parts: Vec<_> = head.split("**").map(str::to_owned).collect();
            parts[1] = counted;
            std::fs::write(&path, format!("{}{}\n", parts.join("**"), wanted.trim_end())).unwrap();
            return;
        }
        assert!(page.contains(&format!("**{counted}**")), "the page counts {counted}");
        assert_eq!(format!("{first}{found}").trim(), wanted.trim());
    }

    fn tables(&self, tables: &[(&'static str, Vec<Row>)]) -> String {
        let mut text = String::new();
        for (title, rows) in tables {
            writeln!(text, "## {title}\n").unwrap();
            writeln!(text, "| case | stands for | {} | what comes of it |", self.forms).unwrap();
            writeln!(text, "|---|---|---|---|").unwrap();
            for Row { name, stands_for, expected } in rows {
                let words: BTreeSet<_> = expected.iter().copied().collect();
                let words = words.into_iter().collect::<Vec<_>>().join(", ");
                let count = expected.len();
                writeln!(text, "| {name} | {stands_for} | {count} | {words} |").unwrap();
            }
            text.push('\n');
        }
        text
    }
}
