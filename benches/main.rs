//! One interleaved run that compares a cell's start, life and end with what the kernel charges and
//! with other runtimes.
//!
//! Called by `scripts/bench`; `docs/performance.md` says what is measured and how. One JSON line for
//! each figure goes to standard output, the same as text to standard error.
//!
//! ```text
//! args ──► group (start, peers, ...) ──► Turn, Turn, ... ──interleave──► times ──► Report ──► plot
//!                                          │
//!                       contender: the floor (C), this library in a worker process, a program
//! ```
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::panic,
    clippy::exit,
    reason = "a measuring program"
)]

mod args;
mod bed;
mod containment;
mod contender;
mod contract;
mod control;
mod distribution;
mod engines;
mod figures;
mod freezing;
mod host;
mod images;
mod likeness;
mod measure;
mod memory;
mod peers;
mod plot;
mod pull;
mod report;
mod runtime;
mod scale;
mod start;
mod tables;
mod throughput;
mod worker;

use args::{Args, Group};
use bed::Bed;
use report::Report;

fn main() {
    // This same program is also the helper that unpacks layers.
    hotcell::image::unpack::serve_if_asked();
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.first().map(String::as_str) {
        Some("--worker") => return worker::serve(words[1].parse().unwrap()),
        Some("--plot") => return plot::draw(&words[1], &words[2]),
        Some("--tables") => return tables::write(&words[1], &words[2]),
        Some("--help" | "-h") => return println!("{}", args::USAGE),
        // `cargo test --benches` only wants to know that this builds and starts.
        Some("--test") => return,
        _ => {}
    }
    let args = Args::parse(&words).unwrap_or_else(|wrong| {
        eprintln!("bench: {wrong}\n\n{}", args::USAGE);
        std::process::exit(2);
    });
    let bed = Bed::make();
    let mut report = Report::new();
    report.host(&host::describe());
    for group in &args.groups {
        match group {
            Group::Start => start::compare(&bed, &args, &mut report),
            Group::Peers => peers::compare(&bed, &args, &mut report),
            Group::Scale => scale::compare(&bed, &args, &mut report),
            Group::Control => control::compare(&bed, &args, &mut report),
            Group::Throughput => throughput::compare(&bed, &args, &mut report),
            Group::Memory => memory::compare(&bed, &args, &mut report),
            Group::Containment => containment::compare(&bed, &args, &mut report),
            Group::Engines => engines::compare(&bed, &args, &mut report),
            Group::Contract => contract::compare(&bed, &args, &mut report),
            Group::Images => images::compare(&bed, &args, &mut report),
            Group::Pull => pull::compare(&bed, &args, &mut report),
        }
    }
}
