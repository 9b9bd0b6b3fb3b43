//! The figures of a run as tables in a page, in place of those that stand there.

use std::fmt::Write as _;

use serde_json::Value;

use super::figures::{Figures, Mark, SPACINGS, word};

/// What is between these lines of the page is written here.
const MARKS: [&str; 2] =
    ["<!-- figures: written by scripts/bench --record -->", "<!-- end of figures -->"];

const MEMORY: [(&str, &str); 11] = [
    ("driver_kb", "driver"),
    ("files_kb", "its files"),
    ("slab_kb", "slab"),
    ("kernel_stack_kb", "stacks"),
    ("page_tables_kb", "page tables"),
    ("percpu_kb", "percpu"),
    ("sum_kb", "**sum**"),
    ("task_anonymous_kb", "the task's own"),
    ("processes_beside_the_task", "processes"),
    ("threads_of_the_driver", "threads"),
    ("cells", "cells"),
];

/// Writes the figures (a file of JSON lines) into the page.
pub(crate) fn write(figures: &str, page: &str) {
    let figures = Figures::read(figures);
    let text = std::fs::read_to_string(page).unwrap();
    let (before, rest) = text.split_once(MARKS[0]).expect("the page has no place for figures");
    let (_, after) = rest.split_once(MARKS[1]).expect("the page's place for figures has no end");
    let tables = tables(&figures);
    let whole = format!("{before}{}\n\n{tables}\n{}{after}", MARKS[0], MARKS[1]);
    std::fs::write(page, whole).unwrap();
}

fn tables(figures: &Figures) -> String {
    let [host, versions] = figures.about();
    let mut out = format!(
        "{host}\n{versions}\n\n![Ratios of medians with their intervals](performance.svg)\n"
    );
    ratios(figures, &mut out);
    throughput(figures, &mut out);
    memory(figures, &mut out);
    missing(figures, &mut out);
    out
}

fn heading(out: &mut String, group: &str, columns: &[&str]) {
    let _ = writeln!(out, "\n### {group}\n\n| {} |", columns.join(" | "));
    let _ = writeln!(out, "|{}", "---|".repeat(columns.len()));
}

fn ratios(figures: &Figures, out: &mut String) {
    let mut group = String::new();
    for panel in figures.panels().iter().filter(|panel| panel.group != "throughput") {
        if panel.group != group {
            group = panel.group.clone();
            let columns = ["row", "medians", SPACINGS[0], "p99", SPACINGS[1], "p99", "CPU time"];
            heading(out, &group, &columns);
        }
        for line in &panel.lines {
            let cells = line.marks.map(|mark| match mark {
                Some(mark) => format!("{mark} | {:.2}", mark.p99),
                None => " | ".to_owned(),
            });
            let cpu = line.cpu.map_or(String::new(), |cpu| format!("{:.2}", cpu.p50));
            let cells = cells.join(" | ");
            let _ = writeln!(out, "| {} | {} | {cells} | {cpu} |", panel.row, line.label);
        }
    }
}

fn of<'a>(figures: &'a Figures, group: &'static str) -> impl Iterator<Item = &'a Value> {
    figures.all.iter().filter(move |figure| figure["group"] == group)
}

fn throughput(figures: &Figures, out: &mut String) {
    let mut rows =
        of(figures, "throughput").filter(|row| row.get("rate_ratio").is_some()).peekable();
    if rows.peek().is_some() {
        heading(out, "throughput", &["row", "contender / base", "starts a second", "time of one"]);
    }
    for row in rows {
        let (rate, time) = (Mark::of(&row["rate_ratio"]), Mark::of(&row["ratios"][0]));
        let who = format!("{} / {}", word(row, "contender"), word(&row["rate_ratio"], "to"));
        let _ = writeln!(out, "| {} | {who} | {rate} | {time} |", word(row, "row"));
    }
}

fn memory(figures: &Figures, out: &mut String) {
    let mut rows = of(figures, "memory").peekable();
    if rows.peek().is_some() {
        let columns: Vec<_> =
            ["KB a cell", "who"].into_iter().chain(MEMORY.map(|(_, n)| n)).collect();
        heading(out, "memory", &columns);
    }
    for row in rows {
        let cells = MEMORY.map(|(name, _)| {
            row[name].as_f64().map_or(String::new(), |value| format!("{}", value.round() as i64))
        });
        let (name, who) = (word(row, "row"), word(row, "contender"));
        let _ = writeln!(out, "| {name} | {who} | {} |", cells.join(" | "));
    }
}

/// The cells that are empty, and why.
fn missing(figures: &Figures, out: &mut String) {
    let why = |figure: &Value| {
        let why = figure["missing"].as_str()?;
        Some(format!("* {}, {}: {why}\n", word(figure, "row"), word(figure, "contender")))
    };
    let mut all: Vec<_> = figures.all.iter().filter_map(why).collect();
    all.dedup();
    if !all.is_empty() {
        let _ = write!(out, "\n### Empty cells\n\n{}", all.concat());
    }
}
