//! Pulls: from the distribution's own registry, and from registries that do whatever they like.
//!
//! ```text
//! distribution  docker-registry        case      what a hostile registry does, what has to come of it
//! real          pulls from it          corpus    the cases
//! together      many at once           place     a network in which names lead here
//! killed        pulls that are killed  image     what hostile registries have
//! cut           one that loses its power
//! order, play, trace  one pull in a process of its own, and all that it says
//! judge         what is wrong about what came of it
//! ```

mod case;
mod corpus;
mod cut;
mod distribution;
mod hold;
mod image;
mod judge;
mod killed;
mod order;
mod place;
mod play;
mod real;
mod together;
mod trace;

use crate::bed::Bed;
use crate::corpus_page::Page;
use crate::{Test, test};

/// The part of a process that a test starts.
pub fn player(part: &str) {
    match part {
        "once" => play::serve(),
        "cut" => cut::serve(),
        other => panic!("nobody plays {other}"),
    }
}

pub fn tests() -> Vec<Test> {
    let hostile = vec![
        test!(blobs, Cells, Openssl),
        test!(ranges, Cells, Openssl),
        test!(manifests, Cells, Openssl),
        test!(indexes, Cells, Openssl),
        test!(credentials, Cells, Openssl),
        test!(realms, Cells, Openssl),
        test!(redirects, Cells, Openssl),
        test!(errors, Cells, Openssl),
        test!(http, Cells, Openssl),
        test!(tls_and_mirrors, Cells, Openssl),
        test!(the_page_lists_exactly_these_registries),
    ];
    [hostile, real::tests(), together::tests(), killed::tests()].into_iter().flatten().collect()
}

fn blobs(_: &Bed) {
    hold::part("Blobs");
}

fn ranges(_: &Bed) {
    hold::part("Ranges");
}

fn manifests(_: &Bed) {
    hold::part("Manifests");
}

fn indexes(_: &Bed) {
    hold::part("Indexes");
}

fn credentials(_: &Bed) {
    hold::part("Credentials");
}

fn realms(_: &Bed) {
    hold::part("Realms");
}

fn redirects(_: &Bed) {
    hold::part("Redirects");
}

fn errors(_: &Bed) {
    hold::part("Errors");
}

fn http(_: &Bed) {
    hold::part("HTTP");
}

fn tls_and_mirrors(_: &Bed) {
    hold::part("TLS and mirrors");
}

fn the_page_lists_exactly_these_registries(_: &Bed) {
    let rows = |cases: Vec<case::Case>| cases.iter().map(case::Case::row).collect();
    let tables: Vec<_> = corpus::all().into_iter().map(|(title, all)| (title, rows(all))).collect();
    Page { file: "hostile-registries.md", forms: "registries", least: 200 }.check(&tables);
}
