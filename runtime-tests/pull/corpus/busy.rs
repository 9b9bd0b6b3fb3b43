//! Registries that have no time, have trouble, or say no.

use crate::pull::case::{Case, Form, Scene, answered, case, pulled, refused};
use crate::pull::place::Place;
use crate::registry::{Answer, On, Rule};

pub fn cases() -> Vec<Case> {
    vec![
        case("too many requests", "429 and Retry-After", again()),
        case("trouble of its own", "5xx", trouble()),
        case("no", "401, 403, 404", no()),
        case("what is said about it", "control characters, long texts", said()),
    ]
}

/// So many answers say to come again, after what the header says.
fn busy(
    on: On,
    status: u16,
    after: &'static str,
    times: usize,
) -> impl Fn(&Place, &mut Scene) + Send + Sync {
    move |_, scene| {
        let rule = Rule::new(on.clone(), move |_, _| {
            Answer::error(status, "TOOMANYREQUESTS", "slow down").with("Retry-After", after)
        });
        scene.when(rule.times(times));
        scene.at_most(On::Any, 12);
    }
}

fn again() -> Vec<Form> {
    vec![
        pulled("a second, for the manifest", busy(On::Manifest, 429, "1", 1)),
        pulled("a second, for a blob", busy(On::Blob, 429, "1", 1)),
        pulled("no time at all", busy(On::Manifest, 429, "0", 2)),
        pulled("unavailable for a moment", busy(On::Manifest, 503, "0", 1)),
        pulled(
            "a date that has passed",
            busy(On::Manifest, 429, "Wed, 21 Oct 2015 07:28:00 GMT", 1),
        ),
        answered("always", 429, &["slow down"], busy(On::Manifest, 429, "0", usize::MAX)),
        answered("for years", 429, &[], busy(On::Manifest, 429, "99999999", usize::MAX)),
        answered(
            "beyond all numbers",
            429,
            &[],
            busy(On::Manifest, 429, "99999999999999999999999", usize::MAX),
        ),
        answered(
            "until a date of a century to come",
            429,
            &[],
            busy(On::Manifest, 429, "Wed, 21 Oct 2115 07:28:00 GMT", usize::MAX),
        ),
    ]
}

fn trouble() -> Vec<Form> {
    let always = |on: On, status| {
        move |_: &Place, scene: &mut Scene| {
            scene.when(Rule::new(on.clone(), move |_, _| {
                Answer::error(status, "UNKNOWN", "something broke")
            }));
        }
    };
    vec![
        answered("500 for the manifest", 500, &["something broke"], move |place, scene| {
            always(On::Manifest, 500)(place, scene);
            scene.at_most(On::Manifest, 1);
        }),
        answered("502 for the manifest", 502, &[], always(On::Manifest, 502)),
        answered("500 for a blob", 500, &[], always(On::Blob, 500)),
        answered("500 for one of the blobs", 500, &[], |_, scene| {
            let on = On::BlobOf(scene.image.blob(2));
            scene.when(Rule::new(on, |_, _| Answer::new(500)));
        }),
        answered("507", 507, &[], always(On::Manifest, 507)),
    ]
}

fn no() -> Vec<Form> {
    let says = |status, code: &'static str, message: &'static str| {
        move |_: &Place, scene: &mut Scene| {
            scene.when(Rule::new(On::Manifest, move |_, _| Answer::error(status, code, message)));
            scene.at_most(On::Any, 2);
        }
    };
    vec![
        answered(
            "no such repository",
            404,
            &["repository name not known"],
            says(404, "NAME_UNKNOWN", "repository name not known to registry"),
        ),
        answered(
            "no such image",
            404,
            &["manifest unknown"],
            says(404, "MANIFEST_UNKNOWN", "manifest unknown"),
        ),
        answered("not you", 403, &["denied"], says(403, "DENIED", "denied")),
        answered("gone", 410, &[], says(410, "X", "gone")),
        answered("a teapot", 418, &[], says(418, "X", "short and stout")),
        answered("not for legal reasons", 451, &[], says(451, "X", "by order of")),
        answered("a blob is not there", 404, &["blob unknown"], |_, scene| {
            let on = On::BlobOf(scene.image.long());
            scene.when(Rule::new(on, |_, _| Answer::error(404, "BLOB_UNKNOWN", "blob unknown")));
        }),
    ]
}

fn said() -> Vec<Form> {
    let body = |bytes: &'static [u8]| {
        move |_: &Place, scene: &mut Scene| {
            scene.when(Rule::new(On::Manifest, move |_, _| Answer::new(404).saying(bytes)));
        }
    };
    let error = |text: fn() -> String| {
        move |_: &Place, scene: &mut Scene| {
            scene.when(Rule::new(On::Manifest, move |_, _| Answer::error(404, "X", &text())));
        }
    };
    vec![
        answered("nothing", 404, &[], body(b"")),
        answered("a page", 404, &[], body(b"<html><body>404</body></html>")),
        answered("no text", 404, &[], body(&[0xff, 0xfe, 0, 1, 2, 3])),
        answered(
            "what moves a terminal's cursor",
            404,
            &[],
            error(|| "\u{1b}[2J\u{1b}]0;owned\u{7}\r\nok".to_owned()),
        ),
        answered(
            "letters that turn the line around",
            404,
            &[],
            error(|| "\u{202e}gnihton".to_owned()),
        ),
        answered("100 KB", 404, &[], error(|| "long ".repeat(20_000))),
        answered("10,000 errors", 404, &[], |_, scene| {
            let errors = vec![serde_json::json!({ "code": "X", "message": "many" }); 10_000];
            let text = serde_json::json!({ "errors": errors }).to_string();
            scene.when(Rule::new(On::Manifest, move |_, _| Answer::new(404).saying(text.clone())));
        }),
        answered("without end", 404, &[], |_, scene| {
            scene.when(Rule::new(On::Manifest, |_, _| {
                Answer::raw("HTTP/1.1 404 Not Found\r\n\r\n", vec![b'x'; 0x4000])
            }));
        }),
        answered("and then silence", 404, &[], |_, scene| {
            scene.in_a_hurry().when(Rule::new(On::Manifest, |_, _| {
                Answer::error(404, "X", "to be continued").with("Content-Length", "1000").stall(20)
            }));
        }),
        refused("success, and it is an error", &["were promised"], |_, scene| {
            scene.when(Rule::new(On::Blob, |_, _| Answer::error(200, "X", "no")));
        }),
    ]
}
