//! The program's commands about images: what is typed, what is printed, what is left.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio as Pipes};

use serde_json::Value;

use crate::bed::{Bed, Ran};
use crate::host::image;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(every_form_of_an_image_is_the_same_image, Cells, Images),
        test!(what_is_loaded_is_listed_for_people_and_for_scripts, Cells, Images),
        test!(an_archive_takes_no_name_of_another_image_unless_told_to, Cells, Images),
        test!(names_come_and_go_and_an_image_goes_with_the_last, Cells, Images),
        test!(an_image_is_run_as_it_asks_to_be, Cells, Images),
        test!(flags_stand_above_what_an_image_asks_for, Cells, Images),
        test!(a_hundred_layers_are_one_root, Cells, Images),
        test!(an_image_stays_as_long_as_a_cell_uses_it, Cells, Images),
        test!(what_is_saved_is_what_was_loaded, Cells, Images, Umoci),
        test!(everything_about_an_image_is_shown, Cells, Images),
        test!(pruning_leaves_what_has_a_name_or_is_asked_for, Cells, Images),
        test!(damage_is_found_told_and_repaired, Cells, Images),
        test!(a_refusal_is_one_line_and_125, Cells, Images),
    ]
}

const BUSYBOX: &str = "docker.io/hotcell/busybox:latest";

impl Bed {
    fn program(&self, verb: &str, args: &[&str]) -> Ran {
        Ran::from(self.command(verb, args).output().unwrap())
    }

    fn load(&self, name: &str, form: &str) -> String {
        self.program("load", &[image(name, form).to_str().unwrap()]).ok()
    }

    /// `images --format json`, parsed.
    fn listed(&self) -> Vec<Value> {
        let lines = self.program("images", &["--format", "json"]).ok();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The digest of an image's configuration, as the fixture tells it.
fn id(name: &str) -> String {
    std::fs::read_to_string(image(name, "id")).unwrap().trim().to_owned()
}

#[track_caller]
fn refused(ran: &Ran, what: &str) {
    assert_eq!(ran.code, Some(125), "{ran:?}");
    assert!(ran.err.contains(what) && ran.err.lines().count() == 1, "{ran:?}");
    assert!(ran.out.is_empty(), "{ran:?}");
}

fn every_form_of_an_image_is_the_same_image(bed: &Bed) {
    let forms = [
        "oci",
        "oci-zstd",
        "oci-plain",
        "oci.tar",
        "oci.tar.gz",
        "oci.tar.zst",
        "docker.tar",
        "docker.tar.gz",
        "docker.tar.zst",
        "docker25.tar",
    ];
    for name in ["busybox", "layers"] {
        let loaded = format!("Loaded image: hotcell/{name}:latest\n");
        for form in forms {
            assert_eq!(bed.load(name, form), loaded, "{form}");
            if !image(name, form).is_dir() {
                let archive = std::fs::File::open(image(name, form)).unwrap();
                let mut command = bed.command("load", [] as [&str; 0]);
                let out = command.stdin(archive).output().unwrap();
                assert_eq!(Ran::from(out).ok(), loaded, "{form} through standard input");
            }
        }
    }
    let mut ids: Vec<_> = bed.listed().iter().map(|image| image["id"].clone()).collect();
    ids.sort_by_key(ToString::to_string);
    let mut expected = [id("busybox"), id("layers")].map(Value::from);
    expected.sort_by_key(ToString::to_string);
    assert_eq!(ids, expected);
}

fn what_is_loaded_is_listed_for_people_and_for_scripts(bed: &Bed) {
    assert_eq!(bed.program("images", &[]).ok(), "REPOSITORY   TAG   IMAGE ID   CREATED   SIZE\n");
    bed.load("busybox", "oci.tar");
    let path = image("volume", "docker.tar");
    let quiet = bed.program("load", &["-q", "-i", path.to_str().unwrap()]).ok();
    assert_eq!(quiet, "hotcell/volume:latest\n");

    let table = bed.program("images", &[]).ok();
    let rows: Vec<Vec<_>> = table.lines().map(|line| line.split("   ").collect()).collect();
    assert_eq!(rows.len(), 3, "{table}");
    let row = rows.iter().find(|row| row[0] == "hotcell/busybox").unwrap();
    assert_eq!(row[1].trim(), "latest");
    let cells: Vec<_> = row.iter().map(|cell| cell.trim()).filter(|it| !it.is_empty()).collect();
    assert_eq!(cells[2], &id("busybox")["sha256:".len()..][..12]);
    assert!(cells[3].ends_with("years ago"), "{table}");
    assert!(cells[4].ends_with("MB"), "{table}");

    let only = bed.program("images", &["--no-trunc", "-q", "hotcell/volume"]).ok();
    assert_eq!(only, format!("{}\n", id("volume")));
    assert_eq!(bed.program("images", &["-q", "hotcell/volume:other"]).ok(), "");

    let listed = bed.listed();
    let found = listed.iter().find(|image| image["id"] == id("busybox").as_str()).unwrap();
    assert_eq!(found["names"], serde_json::json!([BUSYBOX]));
    assert_eq!(found["created"], "2024-01-01T00:00:00Z");
    assert_eq!(found["layer_count"], 1);
    assert!(found["size_bytes"].as_u64().unwrap() > 500_000, "{found}");
    assert!(found["loaded"].as_str().unwrap().ends_with('Z'), "{found}");

    let json = ["--format", "json", path.to_str().unwrap()];
    let again: Value = serde_json::from_str(&bed.program("load", &json).ok()).unwrap();
    assert_eq!(again["id"], id("volume").as_str());
}

fn an_archive_takes_no_name_of_another_image_unless_told_to(bed: &Bed) {
    bed.load("busybox", "oci.tar");
    bed.program("tag", &["hotcell/busybox", "hotcell/volume"]).ok();
    let volume = image("volume", "docker.tar");
    let volume = volume.to_str().unwrap();
    refused(&bed.program("load", &[volume]), "docker.io/hotcell/volume:latest");
    assert_eq!(bed.listed().len(), 1);
    assert_eq!(
        bed.program("images", &["-q", "--no-trunc", "hotcell/volume"]).ok().trim(),
        id("busybox")
    );
    bed.program("load", &["--replace", volume]).ok();
    assert_eq!(
        bed.program("images", &["-q", "--no-trunc", "hotcell/volume"]).ok().trim(),
        id("volume")
    );
}

fn names_come_and_go_and_an_image_goes_with_the_last(bed: &Bed) {
    bed.load("busybox", "oci.tar");
    let id = id("busybox");
    let short = &id["sha256:".len()..][..12];
    bed.program("tag", &[short, "mine:v1"]).ok();
    bed.program("tag", &["mine:v1", "registry.example:5000/team/mine"]).ok();
    assert_eq!(bed.listed()[0]["names"].as_array().unwrap().len(), 3);

    refused(&bed.program("rmi", &[short]), "3 names");
    assert_eq!(bed.program("rmi", &["mine:v1"]).ok(), "Untagged: mine:v1\n");
    refused(&bed.program("rmi", &["mine:v1"]), "no such image: mine:v1");
    let both = bed.program("rmi", &["no/such", "registry.example:5000/team/mine"]);
    assert_eq!(both.code, Some(125));
    assert_eq!(both.out, "Untagged: registry.example:5000/team/mine:latest\n");
    assert_eq!(
        bed.program("rmi", &["hotcell/busybox"]).ok(),
        format!("Untagged: hotcell/busybox:latest\nDeleted: {id}\n")
    );
    assert!(bed.listed().is_empty());
}

fn an_image_is_run_as_it_asks_to_be(bed: &Bed) {
    bed.load("python", "oci");
    assert_eq!(bed.run(["hotcell/python"]).ok(), "hello world 65534 /function\n");
    assert_eq!(bed.run(["hotcell/python", "you"]).ok(), "hello you 65534 /function\n");
    let id = &id("python")["sha256:".len()..][..12];
    assert_eq!(bed.run(["--read-only", id]).ok(), "hello world 65534 /function\n");
}

fn flags_stand_above_what_an_image_asks_for(bed: &Bed) {
    bed.load("python", "oci");
    let flags = ["-e", "GREETING=bye", "-u", "1:1", "-w", "/tmp", "hotcell/python", "x"];
    assert_eq!(bed.run(flags).ok(), "bye x 1 /tmp\n");
    let flags = ["--entrypoint", "/bin/sh", "hotcell/python", "-c", "echo $GREETING; id -un; pwd"];
    assert_eq!(bed.run(flags).ok(), "hello\nnobody\n/function\n");
    let bare = ["--entrypoint", "", "hotcell/python"];
    refused(&bed.run(bare), "the command to run is missing");
    assert_eq!(bed.run(["--entrypoint", "", "hotcell/python", "pwd"]).ok(), "/function\n");
}

fn a_hundred_layers_are_one_root(bed: &Bed) {
    bed.load("hundred", "docker25.tar");
    let script = "cat /layers/last; ls /layers | wc -l; echo x > /layers/01; cat /layers/01";
    let found = bed.run(["hotcell/hundred", "sh", "-c", script]).ok();
    // 99 files, one more that all of them replace, and nine that were taken away.
    assert_eq!(found, "99\n91\nx\n");
    assert_eq!(bed.run(["hotcell/hundred", "cat", "/layers/01"]).ok(), "1\n");
}

fn an_image_stays_as_long_as_a_cell_uses_it(bed: &Bed) {
    bed.load("busybox", "oci.tar");
    let mut command =
        bed.command("run", ["-i", "hotcell/busybox", "sh", "-c", "read x; ls / | wc -l"]);
    let mut cell = command.stdin(Pipes::piped()).stdout(Pipes::piped()).spawn().unwrap();
    let taken = || bed.program("rmi", &["hotcell/busybox"]);
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    // It has its image soon after it is started.
    let mut last = bed.program("images", &["-q"]);
    while std::time::Instant::now() < until
        && !std::fs::read_dir(bed.path("state")).is_ok_and(|mut all| all.next().is_some())
    {
        last = bed.program("images", &["-q"]);
    }
    assert!(!last.out.is_empty());
    refused(&taken(), "in use");
    assert_eq!(
        bed.program("rmi", &["-f", "hotcell/busybox"]).ok(),
        "Untagged: hotcell/busybox:latest\n"
    );
    bed.program("image", &["prune", "-a"]).ok();
    cell.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let out = cell.wait_with_output().unwrap();
    assert!(out.status.success() && !out.stdout.starts_with(b"0"), "{out:?}");
    let pruned = bed.program("image", &["prune"]).ok();
    assert!(pruned.contains(&format!("Deleted: {}", id("busybox"))), "{pruned}");
}

fn what_is_saved_is_what_was_loaded(bed: &Bed) {
    for name in ["busybox", "layers"] {
        bed.load(name, "docker.tar");
    }
    let archive = bed.path("both.tar");
    bed.program("save", &["-o", archive.to_str().unwrap(), "hotcell/busybox", "hotcell/layers"])
        .ok();
    let layout = bed.path("layout");
    bed.program("save", &["--format", "oci-dir", "-o", layout.to_str().unwrap(), "hotcell/layers"])
        .ok();
    let piped = bed.command("save", ["hotcell/busybox"]).output().unwrap();
    assert!(piped.status.success());
    std::fs::write(bed.path("piped.tar"), &piped.stdout).unwrap();

    let of_skopeo = |source: String| {
        let out = Command::new("skopeo").args(["inspect", "--config", "--raw", &source]).output();
        let out = out.unwrap();
        assert!(out.status.success(), "{source}: {out:?}");
        out.stdout
    };
    for source in [
        format!("oci:{}", layout.display()),
        format!("oci-archive:{}:docker.io/hotcell/layers:latest", archive.display()),
    ] {
        let config: Value = serde_json::from_slice(&of_skopeo(source)).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 14);
    }
    bed.program("image", &["prune", "-a"]).ok();
    assert!(bed.listed().is_empty());
    let again = bed.program("load", &[archive.to_str().unwrap()]).ok();
    assert_eq!(
        again,
        "Loaded image: hotcell/busybox:latest\nLoaded image: hotcell/layers:latest\n"
    );
    let mut ids: Vec<_> =
        bed.listed().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    let mut expected = vec![id("busybox"), id("layers")];
    expected.sort();
    assert_eq!(ids, expected);
    bed.program("load", &[bed.path("piped.tar").to_str().unwrap()]).ok();
    bed.program("load", &[layout.to_str().unwrap()]).ok();
    assert_eq!(bed.listed().len(), 2);
}

fn everything_about_an_image_is_shown(bed: &Bed) {
    bed.load("python", "oci");
    let shown = bed.program("image", &["inspect", "hotcell/python"]).ok();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let image = &shown[0];
    assert_eq!(image["id"], id("python").as_str());
    assert_eq!((&image["os"], &image["variant"]), (&"linux".into(), &Value::Null));
    let config = serde_json::json!({
        "env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "GREETING=hello",
        ],
        "entrypoint": ["python3", "/function/func.py"],
        "cmd": ["world"],
        "user": "nobody",
        "working_dir": "/function",
        "stop_signal": "SIGINT",
        "volumes": [],
        "exposed_ports": ["8080/tcp"],
        "labels": { "hotcell.test": "python" },
    });
    assert_eq!(image["config"], config);
    assert_eq!(image["layers"].as_array().unwrap().len(), 3);
    for layer in image["layers"].as_array().unwrap() {
        let digest = |field: &str| layer[field].as_str().unwrap().starts_with("sha256:");
        assert!(digest("diff_id") && digest("blob") && layer["blob_bytes"].is_u64(), "{layer}");
    }
    let dir = Path::new(image["lowers"]["dir"].as_str().unwrap());
    for name in image["lowers"]["names"].as_array().unwrap() {
        assert!(dir.join(name.as_str().unwrap()).is_dir(), "{image}");
    }
    refused(
        &bed.program("image", &["inspect", "hotcell/python", "no/such"]),
        "no such image: no/such",
    );
}

fn pruning_leaves_what_has_a_name_or_is_asked_for(bed: &Bed) {
    bed.load("busybox", "oci.tar");
    bed.load("volume", "docker.tar");
    bed.program("tag", &["hotcell/busybox", "hotcell/volume"]).ok();
    let listed = bed.program("images", &[]).ok();
    assert!(listed.contains("<none>            <none>"), "{listed}");
    let pruned = bed.program("image", &["prune"]).ok();
    assert!(pruned.starts_with(&format!("Deleted: {}\nReclaimed: ", id("volume"))), "{pruned}");
    // The layer is the other image's, too.
    assert_eq!(bed.run(["hotcell/busybox", "echo", "here"]).ok(), "here\n");
    let pruned = bed.program("image", &["prune", "-a"]).ok();
    assert!(pruned.contains("Untagged: hotcell/volume:latest\n"), "{pruned}");
    assert!(pruned.contains("MB\n"), "{pruned}");
    assert!(bed.listed().is_empty());
}

fn damage_is_found_told_and_repaired(bed: &Bed) {
    bed.load("busybox", "oci.tar");
    assert_eq!(bed.program("image", &["check"]).ok(), "");
    let shown = bed.program("image", &["inspect", "hotcell/busybox"]).ok();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let lowers = &shown[0]["lowers"];
    let layer =
        Path::new(lowers["dir"].as_str().unwrap()).join(lowers["names"][0].as_str().unwrap());
    std::fs::write(layer.join("etc/passwd"), "root::0:0::/:/bin/sh\n").unwrap();
    let found = bed.program("image", &["check"]);
    assert_eq!((found.code, found.err.as_str()), (Some(1), ""), "{found:?}");
    assert_eq!(found.out.lines().count(), 1, "{found:?}");
    let repaired = bed.program("image", &["check", "--repair"]);
    assert_eq!(repaired.code, Some(0), "{repaired:?}");
    assert_eq!(bed.program("image", &["check"]).ok(), "");
    let passwd = bed.run(["hotcell/busybox", "cat", "/etc/passwd"]).ok();
    assert!(passwd.contains("nobody"), "{passwd}");
}

fn a_refusal_is_one_line_and_125(bed: &Bed) {
    let never = bed.run(["--pull", "never", "no/such:image", "true"]);
    refused(&never, "no such image: no/such:image");
    refused(&bed.run(["UPPER/case", "true"]), "UPPER/case");
    refused(&bed.run([] as [&str; 0]), "an image, or --rootfs DIR");
    refused(&bed.program("load", &["/no/such/file"]), "/no/such/file");
    std::fs::write(bed.path("garbage"), vec![b'x'; 4096]).unwrap();
    refused(&bed.program("load", &[bed.path("garbage").to_str().unwrap()]), "");
    refused(&bed.program("load", &[]), "");
    refused(&bed.program("save", &["no/such"]), "no such image: no/such");
    refused(&bed.program("tag", &["no/such", "x"]), "no such image: no/such");
    refused(&bed.program("rmi", &["no/such"]), "no such image: no/such");
    refused(&bed.program("images", &["--image-dir", "/proc"]), "/proc");
    assert!(bed.listed().is_empty());
}
