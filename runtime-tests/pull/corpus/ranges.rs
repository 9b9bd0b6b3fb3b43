//! Transfers that are resumed, at a registry that gives something else.

use crate::pull::case::{Case, Form, Scene, case, pulled, refused};
use crate::pull::image::LONG;
use crate::pull::place::Place;
use crate::registry::{Answer, On, Request, Rule};

/// Where the transfer is cut.
const CUT: usize = LONG / 2;

pub fn cases() -> Vec<Case> {
    vec![
        case("a range that is not given", "Range answered with 200", ignored()),
        case("another range than the one asked for", "rust-oci-client: partial ranges", other()),
    ]
}

/// The long layer is cut once, and then a range is answered so.
fn resumed(twist: fn(&Request, Answer) -> Answer) -> impl Fn(&Place, &mut Scene) + Send + Sync {
    move |_, scene| {
        let on = On::BlobOf(scene.image.long());
        scene.when(Rule::new(on.clone(), |_, right| right.cut(CUT)).once());
        scene.when(Rule::new(on, twist));
    }
}

fn ignored() -> Vec<Form> {
    vec![
        pulled("the whole", resumed(|_, right| right.whole())),
        pulled("the whole, in chunks", resumed(|_, right| right.whole().chunked())),
        pulled("the whole, cut again", |_, scene| {
            let on = On::BlobOf(scene.image.long());
            scene.when(Rule::new(on.clone(), |_, right| right.cut(CUT)).once());
            scene.when(Rule::new(on.clone(), |_, right| right.whole().cut(CUT + 1000)).once());
            scene.when(Rule::new(on, |_, right| right.whole()));
        }),
        refused(
            "the whole, and it is another",
            &["layer"],
            resumed(|_, right| {
                let last = right.clone().whole().length() - 1;
                right.whole().flip(last)
            }),
        ),
        refused(
            "refused",
            &["answered 416"],
            resumed(|_, _| Answer::new(416).with("Content-Range", "bytes */5")),
        ),
        refused(
            "forbidden",
            &["answered 403"],
            resumed(|_, _| Answer::error(403, "DENIED", "no ranges")),
        ),
    ]
}

fn other() -> Vec<Form> {
    vec![
        refused(
            "from the beginning",
            &["another part than"],
            resumed(|_, right| {
                let all = right.clone().whole().length();
                right
                    .whole()
                    .status(206)
                    .with("Content-Range", format!("bytes 0-{}/{all}", all - 1))
            }),
        ),
        refused(
            "a byte later",
            &["another part than"],
            resumed(|_, right| {
                let all = right.clone().whole().length();
                let first = all - right.length() + 1;
                right
                    .only(first..all)
                    .with("Content-Range", format!("bytes {first}-{}/{all}", all - 1))
            }),
        ),
        refused(
            "of a longer blob",
            &["another part than"],
            resumed(|_, right| {
                let all = right.clone().whole().length();
                let first = all - right.length();
                right.with("Content-Range", format!("bytes {first}-{}/{}", all - 1, all + 1))
            }),
        ),
        refused(
            "without saying which",
            &["another part than"],
            resumed(|_, right| right.without("Content-Range")),
        ),
        refused(
            "nonsense",
            &["another part than"],
            resumed(|_, right| right.with("Content-Range", "bytes a-b/c")),
        ),
        refused(
            "backwards",
            &["another part than"],
            resumed(|_, right| right.with("Content-Range", "bytes 9-1/10")),
        ),
        refused(
            "in other units",
            &["another part than"],
            resumed(|_, right| right.with("Content-Range", "lines 1-2/3")),
        ),
        refused(
            "several",
            &["another part than"],
            resumed(|_, right| {
                right
                    .without("Content-Range")
                    .with("Content-Type", "multipart/byteranges; boundary=x")
            }),
        ),
        refused("though none was asked for", &["another part than"], unasked),
    ]
}

fn unasked(_: &Place, scene: &mut Scene) {
    let on = On::BlobOf(scene.image.long());
    scene.when(Rule::new(on, |_, right| {
        let all = right.length();
        let range = format!("bytes 1000-{}/{all}", all - 1);
        right.status(206).only(1000..all).with("Content-Range", range)
    }));
}
