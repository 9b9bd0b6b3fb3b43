//! Blobs that are cut, stalled, changed, too long or too short.

use std::sync::Arc;
use std::time::Duration;

use crate::pull::case::{Case, Form, Scene, case, late, pulled, refused};
use crate::pull::image::LONG;
use crate::pull::place::Place;
use crate::registry::{Answer, On, Request, Rule};

pub fn cases() -> Vec<Case> {
    vec![
        case("a connection that ends", "CVE-class: truncated transfers", cut()),
        case("a blob that stops coming", "containerd#9347, moby#35686", stalled()),
        case("bytes that are others", "digest mismatch", changed()),
        case("more than was promised", "unbounded answers", longer()),
        case("less than was promised", "rust-oci-client#244", shorter()),
        case("headers that lie", "rust-oci-client#192", lies()),
    ]
}

type Twist = fn(&Request, Answer) -> Answer;

/// The long layer's blob is answered otherwise.
fn long(twist: Twist) -> impl Fn(&Place, &mut Scene) + Send + Sync {
    times(twist, usize::MAX)
}

fn times(twist: Twist, times: usize) -> impl Fn(&Place, &mut Scene) + Send + Sync {
    move |_, scene| {
        let rule = Rule::new(On::BlobOf(scene.image.long()), twist).times(times);
        scene.when(rule);
    }
}

fn cut() -> Vec<Form> {
    let once = |name, twist| pulled(name, times(twist, 1));
    vec![
        once("before the first byte", |_, right| right.cut(0)),
        once("after one byte", |_, right| right.cut(1)),
        once("in the middle", |_, right| right.cut(LONG / 2)),
        once("before the last byte", |_, right| {
            let all = right.clone().whole().length();
            right.cut(all - 1)
        }),
        once("by a reset", |_, right| right.reset(LONG / 2)),
        once("without an answer", |_, _| Answer::raw("", "")),
        once("within chunks", |_, right| right.chunked().cut(LONG / 2)),
        once("and no length was told", |_, right| right.until_the_end().cut(LONG / 2)),
        pulled(
            "again and again, and each time something came",
            long(|_, right| right.cut(200_000)),
        ),
        pulled("four times without a byte", times(|_, right| right.cut(0), 4)),
        refused("always before the first byte", &["broke"], |_, scene| {
            let rule = Rule::new(On::BlobOf(scene.image.long()), |_, right| right.cut(0));
            let blob = On::BlobOf(scene.image.long());
            scene.when(rule).at_most(blob, 8);
        }),
        refused("always at the same byte", &["broke"], |_, scene| {
            // What is there is there: nothing comes behind it, however often it is asked for.
            let rule = Rule::new(On::BlobOf(scene.image.long()), |request, right| {
                right.cut(if request.header("range").is_some() { 0 } else { 1000 })
            });
            let blob = On::BlobOf(scene.image.long());
            scene.when(rule).at_most(blob, 9);
        }),
        pulled("in the configuration", |_, scene| {
            let rule = Rule::new(On::BlobOf(scene.image.id()), |_, right| right.cut(20)).once();
            scene.when(rule);
        }),
        pulled("in each layer once", |_, scene| {
            for layer in 0..scene.image.layers.len() {
                let on = On::BlobOf(scene.image.blob(layer));
                scene.when(Rule::new(on, |_, right| right.cut(700)).once());
            }
        }),
    ]
}

fn stalled() -> Vec<Form> {
    vec![
        pulled("once", |_, scene| {
            let on = On::BlobOf(scene.image.long());
            scene.in_a_hurry().when(Rule::new(on, |_, right| right.stall(LONG / 2)).once());
        }),
        pulled("once, before the answer", |_, scene| {
            let on = On::BlobOf(scene.image.long());
            scene.in_a_hurry().when(Rule::new(on, |_, right| right.silence()).once());
        }),
        late("always", long(|_, right| right.stall(0))),
        late("always, before the answer", long(|_, right| right.silence())),
        late("always, in the manifest", |_, scene| {
            scene.when(Rule::new(On::Manifest, |_, right| right.stall(20)));
        }),
        late("before the manifest", |_, scene| {
            scene.when(Rule::new(On::Manifest, |_, right| right.silence()));
        }),
        late("a byte now and then", long(|_, right| right.slowly(1, Duration::from_millis(150)))),
        pulled(
            "slow, and it moves",
            long(|_, right| right.slowly(100_000, Duration::from_millis(80))),
        ),
    ]
}

fn changed() -> Vec<Form> {
    // Its digest is another; but whoever unpacks meanwhile may have found something wrong before.
    let digest = ["layer"];
    vec![
        refused("the first bit", &digest, long(|_, right| right.flip(0))),
        refused("in the middle", &digest, long(|_, right| right.flip(LONG / 2))),
        refused(
            "the last byte",
            &digest,
            long(|_, right| {
                let last = right.length() - 1;
                right.flip(last)
            }),
        ),
        refused("in a compressed layer", &digest, |_, scene| {
            let on = On::BlobOf(scene.image.blob(2));
            scene.when(Rule::new(on, |_, right| right.flip(2000)));
        }),
        refused("in the configuration", &["has the digest"], |_, scene| {
            let on = On::BlobOf(scene.image.id());
            scene.when(Rule::new(on, |_, right| right.flip(30)));
        }),
        refused("another layer's", &["were promised"], |_, scene| {
            let other = Arc::new(scene.image.layers[0].blob.clone());
            let on = On::BlobOf(scene.image.long());
            scene.when(Rule::new(on, move |_, right| right.bytes(Arc::clone(&other))));
        }),
        refused("of the same length", &digest, |_, scene| {
            let length = scene.image.layers[1].blob.len();
            let on = On::BlobOf(scene.image.long());
            scene.when(Rule::new(on, move |_, right| right.saying(vec![0; length])));
        }),
        refused("in what is resumed", &digest, |_, scene| {
            let on = On::BlobOf(scene.image.long());
            scene.when(Rule::new(on.clone(), |_, right| right.cut(LONG / 2)).once());
            scene.when(Rule::new(on, |_, right| {
                let last = right.clone().whole().length() - 1;
                right.flip(last)
            }));
        }),
    ]
}

/// Of zeros, which end every archive: whoever unpacks finds nothing wrong with them.
fn longer() -> Vec<Form> {
    let more = |_: &Request, right: Answer| {
        let all = right.whole();
        let length = all.length();
        all.saying(vec![0; length + 1])
    };
    vec![
        refused("by its length", &["were promised"], long(more)),
        refused(
            "in chunks",
            &["that were promised"],
            long(|_, right| {
                let length = right.length();
                right.saying(vec![0; length + 1]).chunked()
            }),
        ),
        refused(
            "until the end",
            &["that were promised"],
            long(|_, right| {
                let length = right.length();
                right.saying(vec![0; length + 1]).until_the_end()
            }),
        ),
        refused(
            "without end, in chunks",
            &["that were promised"],
            long(|_, _| {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                let chunk = [b"4000\r\n".to_vec(), vec![0; 0x4000], b"\r\n".to_vec()].concat();
                Answer::raw(head, chunk)
            }),
        ),
        refused(
            "without end",
            &["that were promised"],
            long(|_, _| Answer::raw("HTTP/1.1 200 OK\r\n\r\n", vec![0; 0x4000])),
        ),
        refused(
            "10 GiB by its length",
            &["were promised"],
            long(|_, right| right.with("Content-Length", "10737418240")),
        ),
    ]
}

fn shorter() -> Vec<Form> {
    vec![
        refused(
            "by its length",
            &["were promised"],
            long(|_, right| {
                let length = right.length();
                right.only(0..length - 1)
            }),
        ),
        refused(
            "in chunks",
            &["are missing"],
            long(|_, right| {
                let (all, length) = (right.clone().whole(), right.length());
                all.only(0..length.min(1000)).chunked()
            }),
        ),
        refused("nothing at all", &["were promised"], long(|_, right| right.whole().only(0..0))),
        refused("no content", &["answered 204"], long(|_, _| Answer::new(204))),
    ]
}

fn lies() -> Vec<Form> {
    let with = |name: &'static str, value: &'static str| {
        move |_: &Place, scene: &mut Scene| {
            scene.when(Rule::new(On::Blob, move |_, right| right.with(name, value)));
        }
    };
    vec![
        pulled(
            "another digest",
            with(
                "Docker-Content-Digest",
                "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
        ),
        pulled("no digest", with("Docker-Content-Digest", "")),
        pulled("nonsense for a digest", with("Docker-Content-Digest", "sha256:../../etc/passwd")),
        pulled("another type", with("Content-Type", "text/html")),
        pulled("an ETag", with("ETag", "\"1\"")),
    ]
}
