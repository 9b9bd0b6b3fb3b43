//! Beside the layers of a root lie those of others: whatever a program does, it does not get there.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use hotcell::bundle::{
    CapabilityName, CellConfig, Seccomp, Upper, UserNamespace, adjust_capabilities,
};
use hotcell::launch::{Exit, Stream, held_capabilities};
use hotcell::native::Instance;
use oci_spec::runtime::Capability;

use super::stack::{Stack, output, output_of};
use crate::bed::{Bed, listing};
use crate::exec::scene::Scene;
use crate::host::{fixture, soak};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(what_lies_beside_the_layers_is_out_of_reach, Cells, Debian),
        test!(who_enters_may_get_behind_no_mount_that_the_cell_may_not, Cells, Debian),
        test!(whoever_is_given_a_way_there_is_seen, Cells, Debian),
    ]
}

const SECRET: &str = "the content of another's layer";

/// Layers with Python and the search, and what it is to find beside them.
struct Scenery {
    stack: Stack,
    driver: Instance,
    /// Of the directory with all layers, of the others' layer in it, and of the secret.
    handles: Vec<String>,
}

impl Scenery {
    fn new(bed: &Bed, layers: usize) -> Scenery {
        let dir = bed.path("layers");
        let bottom = dir.join("bottom");
        std::fs::create_dir_all(&bottom).unwrap();
        // All that Python takes; the rest of the root is large.
        let parts = "cp -a --parents bin lib lib64 sbin etc usr/bin/python3* usr/bin/*sh usr/lib*";
        let mut copy = Command::new("sh");
        copy.args(["-c", &format!("{parts} \"$0\"")]).arg(&bottom).current_dir(fixture("debian"));
        assert!(copy.status().unwrap().success());
        for name in ["dev", "proc", "sys", "tmp", "mnt"] {
            std::fs::create_dir_all(bottom.join(name)).unwrap();
        }
        std::fs::write(bottom.join("word"), "word").unwrap();
        std::fs::write(bottom.join("reach.py"), include_str!("reach.py")).unwrap();
        let names: Vec<_> = (1..layers).map(|number| format!("layer-{number}")).collect();
        for name in ["others"].into_iter().chain(names.iter().map(String::as_str)) {
            std::fs::create_dir(dir.join(name)).unwrap();
        }
        std::fs::write(dir.join("others/secret"), SECRET).unwrap();
        let names = names.into_iter().chain(["bottom".to_owned()]).collect();
        let stack = Stack { dir, names };
        let mut scenery = Scenery { stack, driver: bed.driver(), handles: Vec::new() };
        let mut config = scenery.config(&["tell", "/mnt", "/mnt/others", "/mnt/others/secret"]);
        config.volumes = vec![volume(&scenery.stack.dir)];
        let told = output(scenery.driver.create(None, &config, None).unwrap());
        scenery.handles = told.lines().map(str::to_owned).collect();
        assert_eq!(scenery.handles.len(), 3, "{told}");
        scenery
    }

    fn config(&self, args: &[&str]) -> CellConfig {
        let mut config = CellConfig::new("/", args_of(args));
        config.stack(&self.stack.dir, &self.stack.names);
        config.seccomp = Seccomp::Unconfined;
        config
    }

    /// A cell that seeks.
    fn seeker(&self) -> CellConfig {
        let mut config = self.config(&[]);
        config.args = self.seek();
        config
    }

    fn seek(&self) -> Vec<String> {
        let handles = self.handles.iter().map(String::as_str);
        let args: Vec<_> = ["seek", SECRET].into_iter().chain(handles).collect();
        args_of(&args)
    }
}

fn args_of(args: &[&str]) -> Vec<String> {
    let python = ["/usr/bin/python3", "/reach.py"].iter();
    python.chain(args).map(|arg| (*arg).to_owned()).collect()
}

fn idle() -> Vec<String> {
    ["/usr/bin/python3", "-c", "import signal; signal.pause()"].map(str::to_owned).to_vec()
}

fn volume(dir: &Path) -> hotcell::bundle::Volume {
    format!("{}:/mnt:ro", dir.display()).parse().unwrap()
}

/// How a search gets into its cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Entrance {
    Command,
    BelowInit,
    Exec,
}

/// Whether the search may change mounts there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rights {
    All,
    AllButAdmin,
}

#[derive(Clone, Copy, Debug)]
struct Kind {
    ids: UserNamespace,
    rights: Rights,
    entrance: Entrance,
    upper: Upper,
}

/// Every kind of cell; each with one of the uppers in turn, unless there is time for all.
fn kinds() -> Vec<Kind> {
    let uppers = [Upper::ReadOnly, Upper::Disk, Upper::Tmpfs];
    let mut kinds = Vec::new();
    for ids in [UserNamespace::Host, UserNamespace::Auto] {
        for rights in [Rights::All, Rights::AllButAdmin] {
            for entrance in [Entrance::Command, Entrance::BelowInit, Entrance::Exec] {
                let turn = kinds.len();
                let kind = |upper| Kind { ids, rights, entrance, upper };
                match soak() {
                    true => kinds.extend(uppers.map(kind)),
                    false => kinds.push(kind(uppers[turn % 2])),
                }
            }
        }
    }
    // Before Linux 6.6 a tmpfs can't hold such a layer, which is refused.
    let refused = |kind: &Kind| (kind.upper, kind.ids) == (Upper::Tmpfs, UserNamespace::Auto);
    kinds.retain(|kind| !refused(kind) || super::roots::memory_keeps_attributes());
    kinds
}

/// What the search says in such a cell.
fn search(scenery: &Scenery, kind: Kind) -> String {
    let mut dropped = Vec::new();
    if kind.rights == Rights::AllButAdmin {
        dropped.push(CapabilityName::One(Capability::SysAdmin));
    }
    if kind.entrance != Entrance::Command && kind.rights == Rights::AllButAdmin {
        // It could take over the init that stays.
        dropped.push(CapabilityName::One(Capability::SysPtrace));
    }
    let mut config = scenery.seeker();
    let held = held_capabilities();
    config.capabilities = adjust_capabilities(&[], &[CapabilityName::All], &dropped, &held);
    (config.user_namespace, config.upper) = (kind.ids, kind.upper);
    config.init = kind.entrance == Entrance::BelowInit;
    if kind.entrance != Entrance::Exec {
        return output(scenery.driver.create(None, &config, None).unwrap());
    }
    config.args = idle();
    let scene = Scene::new(&scenery.driver, &config);
    let seek = scenery.seek();
    let args: Vec<_> = seek.iter().map(String::as_str).collect();
    let done = scene.run(scene.process(&args)).unwrap();
    assert_eq!(done.exit, Exit::Code(0), "{done:?}");
    scene.close_with([]);
    done.out + &done.err
}

fn what_lies_beside_the_layers_is_out_of_reach(bed: &Bed) {
    // One layer is a root by itself.
    for layers in [3, 1] {
        let scenery = Scenery::new(bed, layers);
        let tree = listing(&scenery.stack.dir);
        for kind in kinds() {
            let said = search(&scenery, kind);
            let (found, looked) = found(&said);
            assert_eq!(found, [""; 0], "{layers} layers, {kind:?}");
            // A search that breaks off finds nothing either.
            assert!(looked.iter().all(|number| *number > 8), "{layers} layers, {kind:?}: {said}");
        }
        assert!(listing(&scenery.stack.dir) == tree, "{layers} layers: one was written to");
        std::fs::remove_dir_all(&scenery.stack.dir).unwrap();
    }
}

fn who_enters_may_get_behind_no_mount_that_the_cell_may_not(bed: &Bed) {
    let scenery = Scenery::new(bed, 2);
    for ids in [UserNamespace::Host, UserNamespace::Auto] {
        let mut config = scenery.seeker();
        (config.user_namespace, config.upper) = (ids, Upper::Disk);
        config.args = idle();
        let scene = Scene::new(&scenery.driver, &config);
        for (more, name) in [
            (Capability::SysAdmin, "CAP_SYS_ADMIN"),
            (Capability::DacReadSearch, "CAP_DAC_READ_SEARCH"),
        ] {
            let mut process = scene.process(&["true"]);
            let mut sets = process.capabilities().clone().unwrap();
            let mut all = sets.bounding().clone().unwrap();
            all.insert(more);
            sets.set_bounding(Some(all.clone())).set_permitted(Some(all));
            process.set_capabilities(Some(sets));
            let refused = scene.run(process).unwrap_err().to_string();
            let expected = format!("{name} reaches behind the mounts");
            assert!(refused.contains(&expected), "{ids:?}: {refused}");
        }
        scene.close_with([]);
    }
}

/// All that it said but its last line, and the numbers in that.
fn found(said: &str) -> (Vec<&str>, Vec<u32>) {
    let (ends, found): (Vec<_>, Vec<_>) =
        said.lines().partition(|line| line.starts_with("looked at "));
    let [end] = ends[..] else { panic!("it was not done: {said}") };
    (found, end.split(' ').filter_map(|word| word.parse().ok()).collect())
}

/// The search's own teeth: what a cell is given, it finds.
fn whoever_is_given_a_way_there_is_seen(bed: &Bed) {
    let scenery = Scenery::new(bed, 2);
    // A directory that was left open.
    let open = Stream::Fd(File::open(bed.path("layers/layer-1")).unwrap().into());
    let mut config = scenery.seeker();
    let shell = ["/bin/sh", "-c", "exec 5<&0 </dev/null; exec \"$0\" \"$@\""];
    config.args.splice(..0, shell.map(str::to_owned));
    let said = output_of(scenery.driver.create(None, &config, None).unwrap(), open);
    assert!(said.contains("/fd/5, 1 up, others"), "{said}");
    // Anything of the same file system, and the right to open handles on it.
    let elsewhere: PathBuf = bed.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let mut config = scenery.seeker();
    config.capabilities.push(Capability::DacReadSearch);
    config.volumes = vec![volume(&elsewhere)];
    let said = output(scenery.driver.create(None, &config, None).unwrap());
    assert!(said.contains("/mnt, a handle of type"), "{said}");
    config.volumes.clear();
    let said = output(scenery.driver.create(None, &config, None).unwrap());
    assert_eq!(found(&said).0, [""; 0]);
}
