//! No new privileges, or the chance of them: what a set-uid program gains, and who keeps what.

use crate::bed::Bed;
use crate::host::fixture;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_set_uid_program_gains_what_it_may, Cells, Debian),
        test!(a_filter_needs_no_privilege_that_stays, Cells, Busybox),
    ]
}

const MAY: &str = "no-new-privileges=false";

/// Root makes a set-uid program and becomes another user, who runs it.
fn a_set_uid_program_gains_what_it_may(bed: &Bed) {
    let code = "
import os, shutil, sys
shutil.copy(os.path.realpath(sys.executable), '/gain'); os.chmod('/gain', 0o4755)
os.setgid(1000); os.setuid(1000)
os.execv('/gain', ['/gain', '-c', 'import os; print(os.getuid(), os.geteuid(), open(\"/proc/self/status\").read().count(\"Seccomp:\\t2\"))'])";
    let rootfs = fixture("debian");
    for init in [&["--init"][..], &[]] {
        let run = |more: &[&str]| {
            let args = ["--rootfs", rootfs.to_str().unwrap()];
            bed.run(args.iter().chain(init).chain(more).chain(&["--", "python3", "-c", code])).ok()
        };
        assert_eq!(run(&[]), "1000 1000 1\n");
        assert_eq!(run(&["--security-opt", "no-new-privileges"]), "1000 1000 1\n");
        // The filter is in force all the same.
        assert_eq!(run(&["--security-opt", MAY]), "1000 0 1\n");
    }
}

/// `CAP_SYS_ADMIN` is there to load the filter, and for nobody to find afterwards.
fn a_filter_needs_no_privilege_that_stays(bed: &Bed) {
    let script = "
        for p in self 1; do
            grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs):' /proc/$p/status | tr '\\n\\t' '  '
            echo
        done";
    let one = |inh: &str, held: &str, bound: &str, nnp: u8| {
        let set = |name: &str, set: &str| format!("{name}: {set:0>16} ");
        [("CapInh", inh), ("CapPrm", held), ("CapEff", held), ("CapBnd", bound), ("CapAmb", "0")]
            .map(|(name, value)| set(name, value))
            .concat()
            + &format!("NoNewPrivs: {nnp} \n")
    };
    for (option, nnp) in [("no-new-privileges=true", 1), (MAY, 0)] {
        for init in [&["--init"][..], &[]] {
            for (user, held) in [("0:0", "a80425fb"), ("1000:1000", "0")] {
                let flags = [init, &["--security-opt", option, "-u", user]].concat();
                let out = bed.sh(&flags, script).ok();
                let line = one("0", held, "a80425fb", nnp);
                assert_eq!(out, format!("{line}{line}"), "{flags:?}");
            }
        }
    }
}
