//! What a cell sees of layers, and that it never writes to one.

use std::os::unix::fs::symlink;

use hotcell::bundle::{Account, Bundle, CellConfig, Upper, UserNamespace};
use hotcell::launch::Stdio;
use hotcell::native::Instance;
use rustix::fs::{MemfdFlags, XattrFlags, fsetxattr, memfd_create};

use super::stack::{Stack, output};
use crate::bed::{Bed, listing};
use crate::oci::scene::Scene;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(layers_are_one_root_and_stay_as_they_are, Cells, Busybox),
        test!(mount_points_are_made_where_a_layer_hides_them, Cells, Busybox),
        test!(the_mode_of_the_root_is_the_topmost_layers, Cells, Busybox),
        test!(names_of_users_are_those_that_the_cell_sees, Cells, Busybox),
        test!(a_bundle_tells_its_layers, Cells, Busybox),
        test!(other_programs_run_such_a_bundle, Cells, Busybox),
        test!(a_cell_that_may_mount_finds_no_other_layer, Cells, Busybox),
        test!(what_is_no_layer_is_refused, Cells, Busybox),
    ]
}

/// Every kind of root, with the host's ids and with ids of its own.
fn kinds() -> Vec<(Upper, UserNamespace)> {
    let ids = [UserNamespace::Host, UserNamespace::Auto];
    let uppers = [Upper::ReadOnly, Upper::Disk, Upper::Tmpfs];
    let all = ids.iter().flat_map(|ids| uppers.map(|upper| (upper, *ids)));
    // Before Linux 6.6 a tmpfs can't hold such a layer, which is refused.
    let refused = (Upper::Tmpfs, UserNamespace::Auto);
    all.filter(|kind| *kind != refused || memory_keeps_attributes()).collect()
}

pub(super) fn memory_keeps_attributes() -> bool {
    let file = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
    fsetxattr(file, "user.test", b"1", XattrFlags::empty()).is_ok()
}

fn said(driver: &Instance, config: &CellConfig) -> String {
    output(driver.create(None, config, None).unwrap())
}

/// Eight, as many as a start mounts.
fn layers_are_one_root_and_stay_as_they_are(bed: &Bed) {
    let stack = Stack::new(bed, 8);
    stack.file(7, "data/bottom", "bottom\n");
    stack.file(7, "data/gone", "");
    stack.file(7, "data/file", "below\n");
    stack.file(7, "old/a", "");
    stack.file(7, "dir/below", "");
    for number in 1..7 {
        stack.file(number, &format!("data/{number}"), "");
    }
    stack.whiteout(3, "data/gone");
    stack.whiteout(2, "data/5");
    stack.file(0, "data/5", "again\n");
    stack.file(4, "data/file", "above\n");
    stack.opaque(5, "old");
    stack.file(6, "old/b", "");
    stack.file(5, "old/c", "");
    stack.whiteout(1, "dir");
    symlink("bottom", stack.path(2, "data/link")).unwrap();
    let before = listing(&stack.dir);
    let driver = bed.driver();
    for (upper, ids) in kinds() {
        let writes = if upper == Upper::ReadOnly { "" } else { WRITES };
        let mut config = stack.script(&format!("{READS}{writes}"));
        (config.upper, config.user_namespace) = (upper, ids);
        let rest = if writes.is_empty() { "read-only\n" } else { WRITTEN };
        let expected = format!("{SEEN}{rest}");
        assert_eq!(said(&driver, &config), expected, "{upper:?} {ids:?}");
        assert_eq!(listing(&stack.dir), before, "{upper:?} {ids:?}");
    }
}

const READS: &str = "echo $(ls /data); cat /data/file /data/5 /data/link; ls /old; \
                     ls -d /dir 2>&1; stat -c '%F %u:%g' /old /data/1; \
                     (touch /old/x) 2>/dev/null || echo read-only; ";
const SEEN: &str = "1 2 3 4 5 6 bottom file link\nabove\nagain\nbottom\nc\n\
                    ls: /dir: No such file or directory\n\
                    directory 0:0\nregular empty file 0:0\n";
const WRITES: &str = "rm -r /data /old && mkdir /data /dir && ls -A /data /dir; \
                      echo new > /data/gone && cat /data/gone";
const WRITTEN: &str = "/data:\n\n/dir:\nnew\n";

fn mount_points_are_made_where_a_layer_hides_them(bed: &Bed) {
    let stack = Stack::new(bed, 3);
    for path in ["proc", "dev", "sys", "tmp", "etc"] {
        stack.whiteout(1, path);
    }
    stack.opaque(0, "etc");
    symlink("/missing", stack.path(0, "run")).unwrap();
    let before = listing(&stack.dir);
    let driver = bed.driver();
    let text = "cut -d' ' -f2 /proc/mounts | grep -c -e ^/proc$ -e ^/dev$ -e ^/sys$ -e ^/tmp$; \
                echo x > /dev/null && cat /etc/given && ls /etc; \
                (touch /x) 2>/dev/null; ls -d /x 2>/dev/null || awk '$2 == \"/\" {print $4}' /proc/mounts | cut -c1-3";
    let given = bed.path("given");
    std::fs::write(&given, "given\n").unwrap();
    for (upper, ids) in kinds() {
        let mut config = stack.script(text);
        (config.upper, config.user_namespace) = (upper, ids);
        config.tmpfs = vec![hotcell::bundle::Tmpfs::new("/tmp")];
        config.volumes = vec![format!("{}:/etc/given:ro", given.display()).parse().unwrap()];
        let last = if upper == Upper::ReadOnly { "ro," } else { "/x" };
        let expected = format!("4\ngiven\ngiven\n{last}\n");
        assert_eq!(said(&driver, &config), expected, "{upper:?} {ids:?}");
    }
    assert_eq!(listing(&stack.dir), before);
}

fn the_mode_of_the_root_is_the_topmost_layers(bed: &Bed) {
    use std::os::unix::fs::PermissionsExt;
    let stack = Stack::new(bed, 2);
    let mode = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(stack.dir.join(&stack.names[0]), mode).unwrap();
    let driver = bed.driver();
    for (upper, ids) in kinds() {
        let mut config = stack.script("stat -c %a /");
        (config.upper, config.user_namespace) = (upper, ids);
        assert_eq!(said(&driver, &config), "711\n", "{upper:?} {ids:?}");
    }
}

/// Random layers: the number that `bob` has in the root before there is a cell is the one in the file
/// that the cell then sees.
fn names_of_users_are_those_that_the_cell_sees(bed: &Bed) {
    let whole = std::env::var_os("HOTCELL_SOAK").is_some();
    let driver = bed.driver();
    let mut random = Random(20_261_122);
    let (mut known, mut unknown) = (0, 0);
    for round in 0..if whole { 1000 } else { 40 } {
        let dir = bed.path("layers");
        let stack = Stack::new(bed, 4);
        std::fs::remove_dir_all(dir.join("bottom/etc")).unwrap();
        for number in 0..4 {
            random.fill(&stack, number);
        }
        let mut config = stack.script("cat /etc/passwd 2>/dev/null | cut -d: -f3");
        // What lies in /usr may be a ring of links.
        config.env.push("PATH=/bin".to_owned());
        let found =
            Account::look_up_in_layers(&config.layer_dirs().unwrap(), &"bob".parse().unwrap(), &[]);
        let seen = said(&driver, &config);
        match &found {
            Ok(account) => {
                known += 1;
                assert_eq!(seen, format!("{}\n", account.user.uid), "round {round}");
            }
            Err(error) => {
                unknown += 1;
                assert_eq!(seen, "", "round {round}: {error}");
            }
        }
        std::fs::remove_dir_all(dir).unwrap();
    }
    assert!(known > 5 && unknown > 5, "{known} known, {unknown} unknown");
}

/// A small generator: the same layers every time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % end
    }

    /// Something or nothing at each of a few paths of the layer.
    fn fill(&mut self, stack: &Stack, number: usize) {
        const LINKS: [&str; 8] = [
            "passwd",
            "../passwd",
            "/usr/passwd",
            "../usr/passwd",
            "usr",
            "/etc/../usr",
            "/etc/etc",
            "/passwd",
        ];
        for path in ["usr", "etc", "passwd", "usr/passwd", "etc/passwd", "etc/etc"] {
            let at = stack.dir.join(&stack.names[number]).join(path);
            let parent = at.parent().unwrap();
            // What lies in a link would be elsewhere, and busybox has a /usr.
            if !parent.is_dir() || parent.is_symlink() || at.is_dir() {
                continue;
            }
            match (self.below(16), path.ends_with("passwd")) {
                (0, _) => stack.whiteout(number, path),
                (1 | 2, _) => symlink(LINKS[self.below(LINKS.len())], &at).unwrap(),
                (3, _) => stack.opaque(number, path),
                (4, true) | (4..12, false) => std::fs::create_dir(&at).unwrap(),
                (5..12, true) => {
                    let uid = 1 + self.below(60_000);
                    std::fs::write(&at, format!("bob:x:{uid}:7::/:/\n")).unwrap();
                }
                _ => {}
            }
        }
    }
}

fn a_bundle_tells_its_layers(bed: &Bed) {
    let stack = Stack::new(bed, 3);
    stack.file(1, "word", "there\n");
    let (driver, kept) = (bed.driver(), bed.path("kept"));
    let config = stack.script("cat /word");
    assert_eq!(output(driver.create(None, &config, Some(&kept)).unwrap()), "there\n");
    let text = std::fs::read_to_string(kept.join("config.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["annotations"]["dev.hotcell.layers"], "layer-1/fs:layer-2/fs:bottom");
    assert_eq!(json["root"]["path"], stack.dir.join("layer-1/fs").to_str().unwrap());
    assert_eq!(json["root"]["readonly"], true);
    let spec = Bundle::load(&kept).unwrap().spec().clone();
    assert_eq!(output(driver.create_from_spec(None, spec, None).unwrap()), "there\n");
}

/// `hotcell-oci` builds the root elsewhere: it starts one cell and makes no cradle for more.
fn other_programs_run_such_a_bundle(bed: &Bed) {
    let stack = Stack::new(bed, 3);
    stack.file(1, "word", "there\n");
    stack.whiteout(0, "usr");
    let before = listing(&stack.dir);
    let scene = Scene::new(bed);
    for kind in ["shared", "copy-on-write:tmpfs"] {
        let mut config =
            scene.config("cat /word; ls -d /usr 2>&1; touch /x 2>/dev/null; ls / | grep -c x");
        config["root"] =
            serde_json::json!({"path": stack.dir.join("layer-1/fs"), "readonly": true});
        config["annotations"] = serde_json::json!({
            "dev.hotcell.rootfs": kind, "dev.hotcell.layers": "layer-1/fs:layer-2/fs:bottom"
        });
        let bundle = scene.bundle("layered", config);
        let ran = scene.call(&["run", "--bundle", bundle.to_str().unwrap(), "layered"]);
        let x = if kind == "shared" { 0 } else { 1 };
        assert_eq!(
            ran.out,
            format!("there\nls: /usr: No such file or directory\n{x}\n"),
            "{ran:?}"
        );
    }
    assert_eq!(listing(&stack.dir), before);
}

/// Beside the layers of a root lie those of others.
fn a_cell_that_may_mount_finds_no_other_layer(bed: &Bed) {
    let stack = Stack::new(bed, 2);
    std::fs::create_dir(stack.dir.join("others")).unwrap();
    std::fs::write(stack.dir.join("others/secret"), "secret").unwrap();
    let driver = bed.driver();
    let text = "cd ..; find . / /.. -xdev -name secret; grep -c layers /proc/self/mountinfo; \
                for d in /proc/[0-9]*/root /proc/[0-9]*/cwd; do ls $d/lower; done 2>/dev/null; true";
    let admin = hotcell::bundle::CapabilityName::All;
    for (upper, ids) in kinds() {
        let mut config = stack.script(text);
        (config.upper, config.user_namespace) = (upper, ids);
        config.capabilities = match ids {
            UserNamespace::Host => config.capabilities,
            _ => {
                let held = hotcell::launch::held_capabilities();
                hotcell::bundle::adjust_capabilities(&[], &[admin], &[], &held)
            }
        };
        assert_eq!(said(&driver, &config), "0\n", "{upper:?} {ids:?}");
    }
    assert_eq!(std::fs::read(stack.dir.join("others/secret")).unwrap(), b"secret");
}

fn what_is_no_layer_is_refused(bed: &Bed) {
    let stack = Stack::new(bed, 2);
    std::fs::write(stack.dir.join("file"), "").unwrap();
    symlink("bottom", stack.dir.join("link")).unwrap();
    symlink("layer-1", stack.dir.join("ring")).unwrap();
    let driver = bed.driver();
    for (names, why) in [
        (&["missing"][..], "No such file"),
        (&["file"], "Not a directory"),
        (&["link"], "symbolic links"),
        (&["ring/fs"], "symbolic links"),
        (&["bottom", "bottom"], "\"bottom\": is there twice"),
        (&["../layers/bottom"], "layer of the root \"../layers/bottom\": must start with"),
        (&["bottom,upperdir=x"], "may hold only letters"),
        (&["bottom:layer-1/fs"], "may hold only letters"),
        (&[""], "layer of the root \"\": must have"),
    ] {
        let mut config = stack.script("true");
        config.stack(&stack.dir, ["layer-1/fs"].iter().chain(names).copied());
        let refused = match driver.create(None, &config, None) {
            Ok(created) => chain(&created.run(Stdio::default()).unwrap_err()),
            Err(error) => chain(&error),
        };
        assert!(refused.contains(why) && !refused.contains('\n'), "{names:?}: {refused}");
    }
    // Whose root it is, is not to be guessed.
    let scene = Scene::new(bed);
    let mut config = scene.config("true");
    config["root"]["path"] = serde_json::json!(stack.dir.join("layer-1/fs"));
    config["annotations"] = serde_json::json!({"dev.hotcell.layers": "layer-1/fs:bottom"});
    let bundle = scene.bundle("refused", config);
    let ran = scene.call(&["run", "--bundle", bundle.to_str().unwrap(), "refused"]);
    assert!(ran.err.contains("annotation dev.hotcell.layers: needs dev.hotcell.rootfs"), "{ran:?}");
}

fn chain(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", chain(cause)));
    format!("{error}{}", cause.unwrap_or_default())
}
