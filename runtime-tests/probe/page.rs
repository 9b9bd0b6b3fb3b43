//! Two cells compared line by line: what differs needs a reason, and stands in `docs/probe.md`.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use super::order::{Difference, Reach, Side, TRIES, about_init, compare, reach};
use super::table::{Table, named};
use crate::peers::Peer;

/// Two cells to compare.
#[derive(Debug)]
pub struct Pair {
    pub title: &'static str,
    pub ours: Table,
    pub theirs: Table,
}

/// What differs without being less, and why: a line's beginning and the reason.
const OTHER: [(&str, &str); 9] = [
    ("process Groups", "Docker names the user's own group among the supplementary ones"),
    ("descriptor 0", "runc copies standard input through a pipe; hotcell's is the null device"),
    ("process SigIgn", "runc hands on what its caller ignores"),
    (
        "mount /",
        "a plain directory there; an overlay or a read-only root here; `/tmp` is fn's tmpfs",
    ),
    ("writable /", "as above"),
    ("environment", "the host name"),
    ("process hostname", "fn's containers without a network of their own have the host's name"),
    ("limit CORE", "a cell writes no core files; Docker leaves that to the caller"),
    ("limit", "as the caller has it"),
];

/// Lines in which a cell seems to give more, and why it doesn't.
const LOOSER: [(&str, &str); 1] = [(
    "syscall 446-landlock_restrict_self",
    "the kernel demands no_new_privs before it looks at the arguments, and only a cell has it; the \
     call restricts the caller",
)];

fn reason(list: &[(&str, &'static str)], key: &str) -> Option<&'static str> {
    list.iter().find(|(start, _)| key.starts_with(start)).map(|(_, reason)| *reason)
}

/// Nothing may be looser without a reason, nor differ without one.
pub fn check(pairs: &[Pair]) {
    let mut page = head();
    let mut unexplained = Vec::new();
    for pair in pairs {
        let [ours, theirs] = [&pair.ours, &pair.theirs].map(comparable);
        let differences = compare(&ours, &theirs);
        section(&mut page, pair.title, &ours, &differences);
        for difference in &differences {
            let list = match difference.side {
                Side::Stricter => continue,
                Side::Looser => &LOOSER[..],
                Side::Other => &OTHER[..],
            };
            if reason(list, &difference.key).is_none() {
                unexplained.push(format!("{}: {}", pair.title, words(difference)));
            }
        }
    }
    if super::blessing() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/probe.md");
        std::fs::write(path, page).unwrap();
    }
    let count = unexplained.len();
    assert!(
        count == 0,
        "{count} lines give more than Docker, or differ:\n  {}",
        unexplained.join("\n  ")
    );
}

/// Docker's container has no init of ours, and the view of a hybrid host's cgroups is each one's own.
fn comparable(table: &Table) -> Table {
    named(table).filtered(|key, _| {
        let cgroups = key.contains("/sys/fs/cgroup/") || key.starts_with("cgroup ");
        let place = ["process pid", "process parent", "namespace-of "];
        !about_init(key) && !cgroups && !place.iter().any(|start| key.starts_with(start))
    })
}

fn words(difference: &Difference) -> String {
    let side = match difference.side {
        Side::Stricter => "stricter",
        Side::Looser => "LOOSER",
        Side::Other => "other",
    };
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "not there".to_owned());
    let (ours, theirs) = (value(&difference.ours), value(&difference.theirs));
    format!("{side}: {}: Docker {theirs}, hotcell {ours}", difference.key)
}

fn head() -> String {
    let uname = rustix::system::uname();
    let today = Command::new("date").args(["-u", "+%F"]).output().unwrap().stdout;
    format!(
        "# What a cell reaches, against Docker

A static program (`runtime-tests/probe/`) tries every system call number, namespaces, mounts, sockets
of each family, devices, tracing, keys, kernel services, capabilities, and the files of `/proc` and
`/sys`, and says what came of each try. It runs in hotcell's cells and in the container that Docker
makes, and each line is compared by one order: refused, let through to nothing, let through to an
error, done. A mount that forbids more, a set that holds less and a descriptor that is not there are
stricter. EPERM, EACCES, EROFS, ENOSYS and death by SIGSYS are all refusals; `clone3` is refused by
both with ENOSYS, so that libraries fall back to `clone`.

\"Docker\" is Docker's bundle as of 2026, run by runc: its fourteen capabilities, mounts, devices,
masks, and its default system call profile, without AppArmor. Calls that the local libseccomp can't
name yet count as the profile has them.

`probe::no_cell_gives_more_than_dockers_container` makes this comparison and fails on a line that
gives more, or that differs without a reason given here. This page is what it wrote with
`HOTCELL_BLESS=1 cargo test --all-features --test runtime -- no_cell_gives_more`:
Linux {}, {}, {}, {}.
",
        uname.release().to_string_lossy(),
        uname.machine().to_string_lossy(),
        Peer::Runc.version().unwrap_or_default(),
        String::from_utf8(today).unwrap().trim(),
    )
}

fn section(page: &mut String, title: &str, ours: &Table, differences: &[Difference]) {
    let tries =
        ours.lines.iter().filter(|(key, _)| TRIES.contains(&key.split(' ').next().unwrap()));
    let (tries, refused) = tries.fold((0, 0), |(all, refused), (_, value)| {
        (all + 1, refused + usize::from(reach(value) == Reach::Refused))
    });
    let of = |side| differences.iter().filter(move |difference| difference.side == side);
    let counts = [Side::Stricter, Side::Looser, Side::Other].map(|side| of(side).count());
    let [stricter, looser, other] = counts;
    let lines = ours.lines.len();
    write!(
        page,
        "\n## {title}\n\n{lines} lines, {tries} of them tries, {refused} of those refused. Stricter \
         than Docker: {stricter}. Looser: {looser}. Neither: {other}.\n"
    )
    .unwrap();
    for (side, name, list) in [
        (Side::Looser, "Looser", &LOOSER[..]),
        (Side::Other, "Neither stricter nor looser", &OTHER[..]),
        (Side::Stricter, "Stricter", &[]),
    ] {
        let mut rows: Vec<(String, String)> = Vec::new();
        for difference in of(side) {
            let (section, name) = difference.key.split_once(' ').unwrap();
            let row = row(section, difference, reason(list, &difference.key));
            match rows.iter_mut().find(|(same, _)| *same == row) {
                Some((_, names)) => write!(names, ", `{name}`").unwrap(),
                None => rows.push((row, format!("`{name}`"))),
            }
        }
        if !rows.is_empty() {
            write!(page, "\n### {name}\n\n| section | Docker | hotcell | why | lines |\n").unwrap();
            page.push_str("|---|---|---|---|---|\n");
        }
        for (row, names) in rows {
            writeln!(page, "{row} {names} |").unwrap();
        }
    }
}

/// What lines may have in common: all but their names.
fn row(section: &str, difference: &Difference, why: Option<&str>) -> String {
    let value = |value: &Option<String>| match value.as_deref() {
        None => "not there".to_owned(),
        Some(value) => format!("`{}`", value.replace(',', ", ")),
    };
    let (ours, theirs) = (value(&difference.ours), value(&difference.theirs));
    let missing = if difference.side == Side::Stricter { "" } else { "UNEXPLAINED" };
    format!("| {section} | {theirs} | {ours} | {} |", why.unwrap_or(missing))
}
