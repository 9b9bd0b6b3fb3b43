//! `docs/hostile.md`: written by playing the peers, checked against the corpus by every test run.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::case::{Case, Form, Peers};
use super::judge::Verdict;
use super::peers::Peer;
use super::way::Way;

type Corpus = [(&'static str, Vec<Case>)];

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/hostile.md")
}

/// The first columns of a row, which need no peer: name, what it stands for, forms, hotcell by each
/// way in.
fn ours(case: &Case) -> String {
    let words = Way::ALL.map(|way| case.word(way)).join(" | ");
    format!("| {} | {} | {} | {words} |", case.name, case.stands_for, case.forms.len())
}

/// How many columns that makes.
const OURS: usize = 3 + Way::ALL.len();

/// The page has exactly the corpus's rows, with hotcell's verdicts as the tests hold them.
pub fn check(corpus: &Corpus) {
    let page = std::fs::read_to_string(path()).unwrap();
    let mut wanted = Vec::new();
    for (title, cases) in corpus {
        wanted.push(format!("## {title}"));
        wanted.extend(cases.iter().map(ours));
    }
    let rows = page.lines().filter(|line| {
        let heads = line.starts_with("| case") || line.starts_with("|--");
        (line.starts_with("| ") || line.starts_with("## ")) && !heads && *line != "## Notes"
    });
    let found: Vec<_> = rows
        .map(|row| match row.starts_with("## ") {
            true => row.to_owned(),
            false => row.split_inclusive('|').take(OURS + 1).collect(),
        })
        .collect();
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_eq!(found, wanted, "scripts/hostile writes the page anew");
    }
    assert_eq!(found.len(), wanted.len(), "scripts/hostile writes the page anew");
    let forms: usize =
        corpus.iter().flat_map(|(_, cases)| cases).map(|case| case.forms.len()).sum();
    assert!(forms >= 60, "{forms} bundles");
    assert!(
        page.contains(&format!("*{}*", filtered(corpus))),
        "the page names {}",
        filtered(corpus)
    );
    assert!(page.contains(&format!("**{forms} bundles**")), "the page counts {forms} bundles");
}

/// Plays the peers and writes the page.
pub fn write(corpus: &Corpus) {
    let mut notes = Vec::new();
    let mut tables = String::new();
    let peers = Peer::ALL.map(Peer::version);
    for (title, cases) in corpus {
        writeln!(tables, "\n## {title}\n").unwrap();
        writeln!(
            tables,
            "| case | stands for | bundles | hotcell | create, start | exec | {} |",
            peers.join(" | ")
        )
        .unwrap();
        writeln!(tables, "|---|---|---|---|---|---|---|---|").unwrap();
        for case in cases {
            let played = std::thread::scope(|scope| {
                let ask = |peer: Peer| scope.spawn(move || (peer, verdicts(peer, case)));
                Peer::ALL.map(ask).map(|asked| asked.join().unwrap())
            });
            let words = played.map(|(peer, all)| column(peer, case, &all, &mut notes));
            println!("{}: {}", case.name, words.join(" | "));
            writeln!(tables, "{} {} |", ours(case), words.join(" | ")).unwrap();
        }
    }
    let all: Vec<_> = corpus.iter().flat_map(|(_, cases)| cases).collect();
    let count: usize = all.iter().map(|case| case.forms.len()).sum();
    let date = std::process::Command::new("date").args(["-u", "+%F"]).output().unwrap();
    let kernel = rustix::system::uname();
    let page = include_str!("page.md")
        .replace("{cases}", &all.len().to_string())
        .replace("{bundles}", &count.to_string())
        .replace("{filtered}", &filtered(corpus))
        .replace("{each}", &PEER_FORMS.to_string())
        .replace("{peers}", &peers.join(" and "))
        .replace("{date}", String::from_utf8_lossy(&date.stdout).trim())
        .replace("{kernel}", &kernel.release().to_string_lossy());
    let mut page = page + &tables + "\n## Notes\n\n";
    for (note, number) in notes.iter().zip(1..) {
        writeln!(page, "{number}. {note}").unwrap();
    }
    std::fs::write(path(), page).unwrap();
}

/// The cases that the system call filter holds.
fn filtered(corpus: &Corpus) -> String {
    let all = corpus.iter().flat_map(|(_, cases)| cases);
    all.filter(|case| case.by_filter).map(|case| case.name).collect::<Vec<_>>().join("*, *")
}

/// How many bundles of a case the peers play.
pub const PEER_FORMS: usize = 8;

fn verdicts(peer: Peer, case: &Case) -> Vec<(&Form, Verdict)> {
    if matches!(case.peers, Peers::NotRun(_)) {
        return Vec::new();
    }
    let forms = case.forms.iter().take(PEER_FORMS);
    forms.filter_map(|form| Some((form, peer.play(case, form)?))).collect()
}

/// What a peer makes of a case: a word, or two where its forms differ, and a note on what is worse
/// than contained.
fn column(
    peer: Peer,
    case: &Case,
    verdicts: &[(&Form, Verdict)],
    notes: &mut Vec<String>,
) -> String {
    let mut noted = |note: String| {
        let at = notes.iter().position(|known| *known == note).unwrap_or_else(|| {
            notes.push(note);
            notes.len() - 1
        });
        format!("<sup>{}</sup>", at + 1)
    };
    if let Peers::NotRun(why) = case.peers {
        return format!("not run {}", noted(why.to_owned()));
    }
    let Some((_, worst)) = verdicts.iter().max_by_key(|(_, verdict)| verdict.rank()) else {
        return "no bundle".to_owned();
    };
    let like_it: Vec<_> =
        verdicts.iter().filter(|(_, verdict)| verdict.word() == worst.word()).collect();
    let (form, evidence) = match like_it[0] {
        (form, Verdict::Exposed(what) | Verdict::Escaped(what)) => (form, what.as_str()),
        (form, Verdict::Hung) => (form, "had to be killed after 20 s"),
        _ => {
            let words: BTreeSet<_> = verdicts.iter().map(|(_, verdict)| verdict.word()).collect();
            return words.into_iter().collect::<Vec<_>>().join(", ");
        }
    };
    let name = if form.name.is_empty() { String::new() } else { format!(" ({})", form.name) };
    let note = format!("{}, {}{name}: {}", peer.name(), case.name, tidy(evidence));
    let share = match verdicts.len() {
        1 => String::new(),
        all => format!(" in {} of {all}", like_it.len()),
    };
    format!("**{}**{share} {}", worst.word(), noted(note))
}

/// Evidence as one short line without this run's own names.
fn tidy(evidence: &str) -> String {
    let line = evidence.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "/");
    let mut out = String::new();
    let mut rest = line.as_str();
    while let Some((before, after)) = rest.split_once("/tmp/hotcell-test") {
        out += before;
        out += "…";
        rest = after.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
    }
    out += rest;
    match out.char_indices().nth(160) {
        Some((at, _)) => format!("`{}…`", &out[..at].replace('`', "'")),
        None => format!("`{}`", out.replace('`', "'")),
    }
}
