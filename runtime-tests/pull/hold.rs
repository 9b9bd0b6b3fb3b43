//! Plays a part of the corpus, several forms at a time, and fails with all that went wrong.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::case::{Expect, Form, Scene};
use super::corpus;
use super::judge::judge;
use super::place::Place;
use super::play::play;
use crate::hostile_images::memory::Peak;

/// Most of them wait most of the time.
const AT_ONCE: usize = 4;

/// Holds what the page has under this title.
pub fn part(title: &str) {
    let all = corpus::all();
    let cases = &all.iter().find(|(known, _)| *known == title).unwrap().1;
    let forms: Vec<_> = cases
        .iter()
        .flat_map(|case| case.forms.iter().map(move |form| (case.name, form)))
        .collect();
    let wrong = Place::visit(|place| {
        let least = least(place);
        let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            while let Some((case, form)) = forms.get(next.fetch_add(1, Ordering::SeqCst)) {
                if let Some(what) = failure(place, form, least) {
                    wrong.lock().unwrap().push(format!("{case}: {}: {what:.2000}", form.name));
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(work);
            }
        });
        wrong.into_inner().unwrap()
    });
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), forms.len(), wrong.join("\n"));
}

/// What a pull takes that goes well.
fn least(place: &Place) -> Peak {
    let scene = Scene::honest(place);
    let dir = tempfile::tempdir_in(place.dir.path()).unwrap();
    let said = play(&scene.order, dir.path()).unwrap();
    let none = Peak { own: u64::MAX, started: u64::MAX };
    let wrong = judge(&scene, &said, &Expect::Pulled, none);
    assert_eq!(wrong, None, "an honest registry");
    said.played.peak
}

fn failure(place: &Place, form: &Form, least: Peak) -> Option<String> {
    let dir = tempfile::tempdir_in(place.dir.path()).unwrap();
    let scene = (form.make)(place);
    match play(&scene.order, dir.path()) {
        Ok(said) => judge(&scene, &said, &form.expect, least),
        Err(what) => Some(what),
    }
}
