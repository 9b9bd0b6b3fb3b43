//! Hostile images: archives, layouts and layers that try to get out, to lie or to exhaust, each with
//! a canary on the host that must stay as it was.
//!
//! ```text
//! tar      archives byte by byte          case    what a form is, and what has to come of it
//! archive  documents and blobs by hand    corpus  the cases
//! layout   the same as a directory        play    loads one in a process of its own
//! canary   what must not change           judge   what is wrong about what came of it
//! memory   how much it took               way     the library's ways in
//! tree     what came of it, as data
//! ```

pub mod archive;
mod canary;
pub mod case;
mod corpus;
mod judge;
pub mod layout;
pub mod memory;
pub mod play;
pub mod tar;
pub mod tree;
pub mod way;

use std::path::Path;

use case::{Case, Form, Limited, Made};
use judge::judge;
use memory::Peak;
use way::Way;

use crate::bed::Bed;
use crate::corpus_page::Page;
use crate::host::soak;
use crate::{Test, test};

pub use play::player;

pub fn tests() -> Vec<Test> {
    vec![
        test!(names_of_entries, Cells),
        test!(links_between_entries, Cells),
        test!(whiteouts, Cells),
        test!(kinds_and_attributes, Cells),
        test!(headers_on_which_readers_disagree, Cells),
        test!(compressed_streams_and_bombs, Cells),
        test!(documents, Cells),
        test!(archives_and_directories, Cells),
        test!(the_page_lists_exactly_this_corpus),
    ]
}

fn names_of_entries(_: &Bed) {
    hold(&corpus::names::cases());
}

fn links_between_entries(_: &Bed) {
    hold(&corpus::links::cases());
}

fn whiteouts(_: &Bed) {
    hold(&corpus::whiteouts::cases());
}

fn kinds_and_attributes(_: &Bed) {
    hold(&corpus::kinds::cases());
}

fn headers_on_which_readers_disagree(_: &Bed) {
    hold(&corpus::headers::cases());
}

fn compressed_streams_and_bombs(_: &Bed) {
    hold(&corpus::streams::cases());
}

fn documents(_: &Bed) {
    hold(&corpus::documents::cases());
    hold(&corpus::said::cases());
}

fn archives_and_directories(_: &Bed) {
    hold(&corpus::archives::cases());
}

fn the_page_lists_exactly_this_corpus(_: &Bed) {
    let rows = |cases: Vec<Case>| cases.iter().map(Case::row).collect();
    let tables: Vec<_> = corpus::all().into_iter().map(|(title, all)| (title, rows(all))).collect();
    Page { file: "hostile-images.md", forms: "images", least: 100 }.check(&tables);
}

/// Plays every form of every case, and fails with all that went wrong.
fn hold(cases: &[Case]) {
    let room = play::room();
    let least = least(room.path());
    let mut wrong = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        for (at, form) in case.forms.iter().enumerate() {
            for way in Way::ALL {
                // Of what a layer alone shows, a part once more through the store.
                if way == Way::Load && form.of_layers && !soak() && at % 4 != 0 {
                    continue;
                }
                let dir = room.path().join(format!("{number}-{at}-{}", way.word()));
                if let Some(what) = failure(&dir, form, way, least) {
                    wrong.push(format!("{}: {} ({}): {what}", case.name, form.name, way.word()));
                }
                let _ = std::fs::remove_dir_all(&dir);
            }
        }
    }
    assert!(wrong.is_empty(), "{} of the corpus:\n{}", wrong.len(), wrong.join("\n"));
}

/// What loading takes that is right in everything.
fn least(room: &Path) -> [Peak; Way::ALL.len()] {
    Way::ALL.map(|way| {
        let dir = room.join(format!("least-{}", way.word()));
        let layers = Made::Layers(vec![archive::small()]);
        assert!(lay(&dir, layers, way));
        let played = play::play(&dir.join("input"), &dir, way, Limited::ByDefault).unwrap();
        assert_eq!(played.error, None);
        played.peak
    })
}

fn failure(dir: &Path, form: &Form, way: Way, least: [Peak; Way::ALL.len()]) -> Option<String> {
    if !lay(dir, (form.make)(), way) {
        return None;
    }
    let canary = canary::Canary::raise();
    let played = play::play(&dir.join("input"), dir, way, form.limits);
    let changed = canary.difference();
    let wrong = match played {
        Err(what) => Some(what),
        Ok(played) => judge(&played, &form.expect, least[way as usize]),
    };
    changed.or(wrong)
}

/// Writes the input; false if it can't be played this way.
fn lay(dir: &Path, made: Made, way: Way) -> bool {
    std::fs::create_dir_all(dir).unwrap();
    let input = dir.join("input");
    match (way, made) {
        (Way::Unpack, Made::Layers(layers)) => {
            std::fs::create_dir(&input).unwrap();
            for (number, layer) in layers.iter().enumerate() {
                let at = input.join(format!("{number:06}"));
                std::fs::write(at.with_extension("tar"), &layer.blob).unwrap();
                std::fs::write(at.with_extension("diff_id"), &layer.diff_id).unwrap();
            }
            // So many are no test of a layer.
            layers.len() < 100
        }
        (Way::Unpack, _) => false,
        (Way::Load, made) => {
            match made.into_archive() {
                Ok(bytes) => std::fs::write(&input, bytes).unwrap(),
                Err(layout) => layout.write(&input, canary::canary("").as_ref()),
            }
            true
        }
    }
}
