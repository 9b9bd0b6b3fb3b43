//! In what a cell differs from another runtime's container of the same bundle, and why.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::peers::Peer;

/// A difference that is meant. Empty `bundles` are all, a `*` stands for anything.
#[derive(Debug)]
pub struct Known {
    pub peer: Option<Peer>,
    pub bundles: &'static [&'static str],
    pub key: &'static str,
    pub ours: &'static str,
    pub theirs: &'static str,
    pub why: &'static str,
}

impl Known {
    pub fn covers(&self, peer: Peer, bundle: &str, key: &str, ours: &str, theirs: &str) -> bool {
        self.peer.is_none_or(|this| this == peer)
            && (self.bundles.is_empty() || self.bundles.contains(&bundle))
            && like(self.key, key)
            && like(self.ours, ours)
            && like(self.theirs, theirs)
    }
}

fn like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            // As little as possible first.
            (0..=text.len()).any(|at| text.is_char_boundary(at) && like(rest, &text[at..]))
        }),
    }
}

/// All of them.
pub const KNOWN: [Known; 14] = [
    Known {
        peer: None,
        bundles: &[],
        key: "process SigIgn",
        ours: "0000000000000000",
        theirs: "0000000*80000000",
        why: "the caller's C library starts children with its two own signals ignored, and both hand that on; a cell starts with none",
    },
    Known {
        peer: Some(Peer::Runc),
        bundles: &[],
        key: "descriptor 0",
        ours: "character-1:3,read-write",
        theirs: "pipe,read",
        why: "runc copies its own standard input through a pipe; here it is the null device",
    },
    Known {
        peer: Some(Peer::Runc),
        bundles: &[],
        key: "limit NOFILE",
        ours: "host",
        theirs: "*",
        why: "Go raises its own soft limit to the hard one, and runc 1.1 hands that on",
    },
    Known {
        peer: None,
        bundles: &["copy-on-write"],
        key: "mount /",
        ours: "overlay,root=/,rw,*",
        theirs: "disk,root=HOST,ro,*",
        why: "writing to a layer above a shared root is an annotation of hotcell's; to others the root is read-only",
    },
    Known {
        peer: Some(Peer::Runc),
        bundles: &[],
        key: "mount /",
        ours: "disk,root=HOST,ro,*,private",
        theirs: "disk,root=HOST,ro,*,slave",
        why: "where the host's root is shared, runc makes a container's a slave of it; a cell's is private unless it asks for more",
    },
    Known {
        peer: None,
        bundles: &[],
        key: "mount /*",
        ours: "tmpfs,root=/,ro,nosuid,nodev,noexec,relatime,super=*",
        theirs: "tmpfs,root=/,ro,relatime,super=*",
        why: "a masked directory: hotcell forbids devices and programs on it, too",
    },
    Known {
        peer: None,
        bundles: &["copy-on-write"],
        key: "mount /*",
        ours: "tmpfs,root=/root,ro,nosuid,nodev,noexec,relatime,super=*",
        theirs: "tmpfs,root=/,ro,relatime,super=*",
        why: "the same; what is empty there is a directory of the memory that the cell's layer is in",
    },
    Known {
        peer: Some(Peer::Crun),
        bundles: &[],
        key: "mount /proc/*",
        ours: "tmpfs,root=/null,rw,nosuid,super=rw,size=65536k,mode=755,private",
        theirs: "devtmpfs,root=/null,ro,*",
        why: "a masked file: hotcell takes the cell's own null device, crun the host's",
    },
    Known {
        peer: None,
        bundles: &[],
        key: "mount /proc/*",
        ours: "proc,root=/*,ro,nosuid,nodev,noexec,relatime,super=rw,private",
        theirs: "proc,root=/*,ro,relatime,super=rw,private",
        why: "a read-only path: the flags of the mount above it stay in hotcell (runc keeps them if the specification names them)",
    },
    Known {
        peer: Some(Peer::Crun),
        bundles: &["devices"],
        key: "mount /dev/shm+",
        ours: "tmpfs,root=/,ro,nosuid,nodev,noexec,relatime,super=*",
        theirs: "tmpfs,root=/,ro,relatime,super=*",
        why: "the same for a read-only path of the bundle's own; here runc does as hotcell",
    },
    Known {
        peer: Some(Peer::Crun),
        bundles: &[],
        key: "mount /sys",
        ours: "sysfs,root=/,ro,*,super=ro,private",
        theirs: "sysfs,root=/,ro,*,super=rw,private",
        why: "crun makes the mount read-only, hotcell its file system as well",
    },
    Known {
        peer: None,
        bundles: &[],
        key: "device /dev/core",
        ours: "not there",
        theirs: "link:/proc/kcore",
        why: "both make the link where the kernel has kcore, which is masked",
    },
    Known {
        peer: Some(Peer::Crun),
        bundles: &["user", "groups", "privileges"],
        key: "device /dev/null",
        ours: "character-1:3,666,0:0",
        theirs: "character-1:3,666,1000:1000",
        why: "crun 1.8 gives the null device to the user; newer ones don't",
    },
    Known {
        peer: None,
        bundles: &["spec"],
        key: "environment HOME",
        ours: "not there",
        theirs: "/",
        why: "both add a variable that the specification doesn't set",
    },
];

/// A bundle that a peer can't run, a part of its error, and why.
pub const UNABLE: [(Peer, &str, &str, &str); 1] = [(
    Peer::Crun,
    "file",
    "Not a directory",
    "crun 1.8 takes any target for a directory when a mount has recursive options",
)];

/// A field's name in the refusal, and how the specification is made without it.
pub type Refused = (&'static str, fn(&mut Value));

/// What hotcell refuses of `runc spec`, in the order in which it meets them.
pub const REFUSED: [Refused; 1] =
    [("process.terminal", |config| config["process"]["terminal"] = json!(false))];

/// `docs/differences.md`.
pub fn page() -> String {
    let mut page = String::from(
        "# Where a cell differs from runc's and crun's containers

The same bundles run under hotcell, runc and crun, and a probe inside lists what it was given: identity,
privilege, limits, environment, signals, descriptors, namespaces, devices, mounts. The tests in
`runtime-tests/differential.rs` fail on any difference that is not in this table; `*` stands for
anything. `/sys/fs/cgroup` and `/proc/self/cgroup` are left out: each runtime shows a hybrid host's
hierarchies in its own way. crun runs without `linux.resources`, which it can't set there. The table was
last looked at with runc 1.1.5 and crun 1.8.1 on Linux 6.18.

This page is written from the tests' table by
`HOTCELL_BLESS=1 cargo test --all-features --test runtime -- the_page_shows_the_table`.

| peer | bundle | line | hotcell | peer's | why |
|---|---|---|---|---|---|
",
    );
    for known in &KNOWN {
        let peer = known.peer.map_or("both", Peer::name);
        let bundles =
            if known.bundles.is_empty() { "all".into() } else { known.bundles.join(", ") };
        let Known { key, ours, theirs, why, .. } = known;
        writeln!(page, "| {peer} | {bundles} | `{key}` | `{ours}` | `{theirs}` | {why} |").unwrap();
    }
    page.push_str("\n## What a peer can't run\n\n");
    for (peer, bundle, error, why) in UNABLE {
        writeln!(page, "* {}, `{bundle}`: \"{error}\"; {why}", peer.name()).unwrap();
    }
    page.push_str(
        "\n## What the library refuses of `runc spec`\n\nBy name; `hotcell-oci` has it:\n\n",
    );
    for (field, _) in REFUSED {
        writeln!(page, "* `{field}`").unwrap();
    }
    page
}
