//! Real kernels, real cells: every test runs between two looks at the host, and may leave nothing.
//!
//! ```text
//! launch    what a cell sees and what it can't change     embedder  hotcell inside other programs
//! exit      codes, signals, refusals                      recovery  drivers that are killed
//! limits    memory, CPU, pids, tmpfs, rlimits             escape    hostile roots and paths
//! freeze    freezing, thawing, killing, measuring         contract  fn's contract, row by row
//! identity  user, groups, capabilities                    standing  bad habits of embedders
//! mounts    volumes, options, propagation                 devices   what can be made and opened
//! user_namespace  ids of a cell's own                     hostile   the corpus of hostile bundles
//! probe     everything hostile code could try             differential  the same under runc, crun
//! swap      directories swapped for links meanwhile       seccomp   system call filters, privileges
//! killed    embedders killed at any instant               faults    what fails, is full or missing
//! oci       hotcell-oci, verb by verb
//! own_place the driver in a container's cgroup       clients   podman, containerd, dockerd on ours
//! exec      further processes in a cell that runs    life      made now, started later
//! fields    what no flag gives: the specification's rest  layers    roots of several directories
//! store     images on disk, among processes
//! cgroups   a container's, anywhere in the trees           systemd   cgroups that systemd makes
//! unpack    layers made of archives, right and wrong       image_commands  what is typed about images
//! ear       listens to a stream meanwhile                  tidy  the repository itself
//! hostile_images  images that try to get out, to lie, to exhaust
//! pull      images from registries, right and wrong
//! like_umoci  what images come to                         registry  one that does what a script tells it
//! registry_commands  what is typed about registries
//! ```
//!
//! One test at a time, because the looks cover the whole host. What a host lacks is found out before
//! the tests are listed: such a test is ignored, and under `CI=true` it fails, unless it is meant for
//! the other kind of host (unified, hybrid). `HOTCELL_SOAK=1` runs the heavy proofs whole instead of a
//! slice of them; `HOTCELL_TEST_MOVE_SELF=1` moves this process out of the way of its drivers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::exit,
    clippy::print_stdout,
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    reason = "tests panic to fail"
)]

mod bed;
mod cgroups;
mod clients;
mod contract;
mod corpus_page;
mod devices;
mod differential;
mod ear;
mod embedder;
mod escape;
mod exec;
mod exit;
mod faults;
mod fields;
mod freeze;
mod host;
mod hostile;
mod hostile_images;
mod identity;
mod image_commands;
mod killed;
mod launch;
mod layers;
mod life;
mod like_umoci;
mod limits;
mod mounts;
mod oci;
mod own_place;
mod peers;
mod probe;
mod pull;
mod recovery;
mod registry;
mod registry_commands;
mod seccomp;
mod snapshot;
mod standing;
mod store;
mod swap;
mod systemd;
mod tidy;
mod unpack;
mod user_namespace;

use libtest_mimic::{Arguments, Conclusion, Failed, Trial};

use bed::Bed;
use host::{Host, Need};
use snapshot::Snapshot;

/// One test: its name, what it needs of the host, and what it does.
pub struct Test {
    pub name: &'static str,
    pub needs: &'static [Need],
    pub body: fn(&Bed),
}

/// `test!(name, [needs])` lists the function of that name.
#[macro_export]
macro_rules! test {
    ($name:ident $(, $need:ident)*) => {
        $crate::Test {
            name: concat!(module_path!(), "::", stringify!($name)),
            needs: &[$($crate::host::Need::$need),*],
            body: $name,
        }
    };
}

fn main() {
    // This same program is also the helper that unpacks layers.
    hotcell::image::unpack::serve_if_asked();
    // A process of this same program plays the embedder that a test kills or breaks.
    if let Some(part) = std::env::args().nth(1).filter(|arg| arg.starts_with("--play=")) {
        let part = part.trim_start_matches("--play=");
        match (part.strip_prefix("image-"), part.strip_prefix("pull-")) {
            (Some(way), _) => hostile_images::player(way),
            (_, Some(part)) => pull::player(part),
            (None, None) => embedder::play(part),
        }
        return;
    }
    heed_signals();
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let host = Host::probe();
    if own_place::may_move() {
        // Once for all: the programs that tests start are born beside this process.
        drop(Bed::new().driver());
    }
    let lists = [
        launch::tests(),
        layers::tests(),
        exit::tests(),
        exec::tests(),
        limits::tests(),
        cgroups::tests(),
        freeze::tests(),
        embedder::tests(),
        standing::tests(),
        own_place::tests(),
        identity::tests(),
        image_commands::tests(),
        recovery::tests(),
        killed::tests(),
        escape::tests(),
        mounts::tests(),
        devices::tests(),
        swap::tests(),
        seccomp::tests(),
        contract::tests(),
        user_namespace::tests(),
        hostile::tests(),
        hostile_images::tests(),
        like_umoci::tests(),
        probe::tests(),
        differential::tests(),
        fields::tests(),
        faults::tests(),
        clients::tests(),
        life::tests(),
        oci::tests(),
        systemd::tests(),
        unpack::tests(),
        store::tests(),
        registry::tests(),
        registry_commands::tests(),
        pull::tests(),
        tidy::tests(),
    ];
    let trials = lists.into_iter().flatten().map(|test| trial(test, &host)).collect();
    let conclusion: Conclusion = libtest_mimic::run(&arguments, trials);
    bed::remove_all();
    conclusion.exit();
}

fn trial(test: Test, host: &Host) -> Trial {
    let missing: Vec<_> = test.needs.iter().filter_map(|need| host.lacks(*need)).collect();
    let strict = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let name = test.name.trim_start_matches("runtime::");
    let reason = missing.join(", ");
    let elsewhere = test.needs.iter().any(|need| host.is_other_than(*need));
    let ignored = elsewhere || !missing.is_empty() && !strict;
    Trial::test(name, move || {
        if !reason.is_empty() {
            return Err(Failed::from(format!("this host lacks {reason}")));
        }
        // What engines' containers left of the cgroup parents: `hotcell-oci` leaves those to engines.
        bed::remove_all();
        let bed = Bed::new();
        let before = Snapshot::take(&bed);
        (test.body)(&bed);
        before.compare(&bed).map_err(Failed::from)
    })
    .with_ignored_flag(ignored)
}

/// A shell that starts this in the background, and nohup(1), have it ignore what tests send. Children would
/// have it from here.
fn heed_signals() {
    for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP] {
        // SAFETY: no handler is given.
        #[allow(unsafe_code, reason = "std has no call for it")]
        unsafe {
            libc::signal(signal, libc::SIG_DFL)
        };
    }
}
