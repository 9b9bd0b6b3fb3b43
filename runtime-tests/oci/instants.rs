//! Commands killed at any instant: `delete --force` finds all that they left.

use std::process::{Command, Stdio};
use std::time::Instant;

use super::scene::Scene;
use crate::bed::Bed;
use crate::host::soak;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![test!(whatever_instant_a_command_is_killed_at_force_removes_the_rest, Cells, Busybox)]
}

/// How many instants of a command's time are tried.
fn instants() -> u32 {
    if soak() { 500 } else { 12 }
}

fn quiet(mut command: Command) -> std::process::Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn whatever_instant_a_command_is_killed_at_force_removes_the_rest(bed: &Bed) {
    let oci = Scene::new(bed);
    let bundle = oci.bundle("c1", oci.config("sleep 30"));
    let bundle = bundle.to_str().unwrap();
    let create = ["create", "-b", bundle, "c1"];
    let run = ["run", "--detach", "-b", bundle, "c1"];
    let before: [(&[&[&str]], &[&str]); 5] = [
        (&[], &create),
        (&[], &run),
        (&[&create], &["start", "c1"]),
        (&[&create], &["delete", "--force", "c1"]),
        (&[&run], &["delete", "--force", "c1"]),
    ];
    for (made, line) in before {
        let make = || {
            for line in made {
                assert!(quiet(oci.command(line)).wait().unwrap().success(), "{line:?}");
            }
        };
        make();
        let begun = Instant::now();
        assert!(quiet(oci.command(line)).wait().unwrap().success(), "{line:?}");
        let whole = begun.elapsed();
        oci.delete("c1");
        let mut killed = 0;
        for instant in 0..instants() {
            make();
            let mut child = quiet(oci.command(line));
            std::thread::sleep(whole * instant / instants());
            child.kill().unwrap();
            killed += u32::from(!child.wait().unwrap().success());
            oci.delete("c1");
            assert!(!oci.root().join("c1").exists());
        }
        assert!(killed > 0, "{line:?} was never killed in {whole:?}");
    }
}
