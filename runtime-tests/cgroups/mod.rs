//! A container's cgroup, anywhere in the trees, in every hierarchy: made, used, changed, removed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use hotcell::cgroup::{Cgroup, Devices, Error, Hierarchies, Places, Sample};
use oci_spec::runtime::LinuxResources;

use crate::bed::{Bed, cgroup_parent};
use crate::{Test, test};

mod differential;
mod documents;

pub fn tests() -> Vec<Test> {
    let mut tests = vec![
        test!(it_stands_in_every_hierarchy_and_goes_from_all, Cells),
        test!(one_in_use_is_refused_and_an_empty_one_is_taken_over, Cells),
        test!(one_is_begun_and_completed, Cells),
        test!(what_is_somebody_elses_by_then_stays_his, Cells),
        test!(many_at_once_in_a_new_place_have_their_limits, Cells, Memory, Pids),
        test!(a_frozen_one_is_refused, Cells),
        test!(what_cannot_be_enforced_leaves_nothing, Cells),
        test!(removal_ends_what_is_frozen_and_what_is_below, Cells),
        test!(an_update_changes_what_it_names_alone, Cells, Memory, Pids),
        test!(counters_count, Cells, Memory, Pids),
        test!(huge_pages_are_limited_wherever_their_controller_is, Cells),
    ];
    tests.extend(differential::tests());
    tests
}

/// A place of a test's own; what stands there is removed with it.
pub struct Spot {
    pub host: Hierarchies,
    pub path: PathBuf,
    /// The controllers that the host's root handed down before.
    handed_down: String,
}

const HANDED_DOWN: &str = "cgroup.subtree_control";

impl Spot {
    pub fn new(name: &str) -> Spot {
        let path = format!("/{}.at-{name}/deep/container", cgroup_parent());
        let host = Hierarchies::detect().unwrap();
        let handed_down = std::fs::read_to_string(host.unified.join(HANDED_DOWN)).unwrap();
        Spot { host, path: path.into(), handed_down }
    }

    pub fn create(&self, resources: &str) -> Result<Cgroup, Error> {
        Cgroup::create_at(&self.host, &self.path, &parse(resources))
    }

    fn begin(&self, resources: &str) -> Result<Cgroup, Error> {
        let places = Places::resolve(&self.host, &self.path)?;
        let (resources, devices) = (parse(resources), Devices::FilteredAlways);
        Cgroup::begin_in(&self.host, &places, &resources, devices, || Ok(()))
    }

    pub fn open(&self) -> Cgroup {
        Cgroup::open_at(&self.host, &self.path).unwrap()
    }

    pub fn remove(&self) {
        Cgroup::remove_at(&self.host, &self.path).unwrap();
    }

    /// Its directories in all trees, whether they are there or not.
    pub fn places(&self) -> Vec<PathBuf> {
        let places = Places::resolve(&self.host, &self.path).unwrap();
        places.iter().map(|(_, path)| path.to_owned()).collect()
    }

    /// The directory where a file of this name is.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        self.places().into_iter().map(|dir| dir.join(name)).find(|path| path.exists())
    }

    pub fn read(&self, name: &str) -> Option<String> {
        self.file(name).map(|path| std::fs::read_to_string(path).unwrap().trim().to_owned())
    }
}

impl Drop for Spot {
    fn drop(&mut self) {
        let _ = Cgroup::remove_at(&self.host, &self.path);
        for above in self.path.ancestors().skip(1).take(2) {
            let _ = Cgroup::remove_at(&self.host, above);
        }
        let top = self.host.unified.join(HANDED_DOWN);
        for controller in std::fs::read_to_string(&top).unwrap().split_whitespace() {
            if !self.handed_down.split_whitespace().any(|name| name == controller) {
                // Refused where others need it by now.
                let _ = std::fs::write(&top, format!("-{controller}"));
            }
        }
    }
}

pub fn parse(resources: &str) -> LinuxResources {
    serde_json::from_str(resources).unwrap()
}

/// A process that moves itself into directories before it does what it is for.
fn inhabit<'a>(dirs: impl IntoIterator<Item = &'a PathBuf>, then: &str) -> Child {
    let dirs: Vec<_> = dirs.into_iter().collect();
    let script = format!("for dir; do echo 0 > $dir/cgroup.procs || exit; done; echo in; {then}");
    let mut child = Command::new("sh")
        .args(["-c", &script, "sh"])
        .args(dirs)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 3];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
    child
}

fn it_stands_in_every_hierarchy_and_goes_from_all(_bed: &Bed) {
    let spot = Spot::new("everywhere");
    let cgroup = spot.create("{}").unwrap();
    let places = spot.places();
    assert_eq!(places.len(), spot.host.mounted.len() + 1);
    assert!(places.iter().all(|dir| dir.is_dir()), "{places:?}");
    assert_eq!(cgroup.tasks_files().unwrap().len(), places.len() - 1);
    assert_eq!(cgroup.views().len(), places.len());
    let mut child = inhabit(&places, "exec sleep 100");
    assert_eq!(cgroup.pids().unwrap(), [child.id() as i32]);
    let own = std::fs::read_to_string(format!("/proc/{}/cgroup", child.id())).unwrap();
    let there = own.lines().filter(|line| line.ends_with(spot.path.to_str().unwrap())).count();
    assert_eq!(there, places.len(), "{own}");
    assert!(!cgroup.is_frozen().unwrap());
    cgroup.freeze().unwrap();
    assert!(spot.open().is_frozen().unwrap());
    cgroup.thaw().unwrap();
    spot.remove();
    assert!(!child.wait().unwrap().success());
    assert!(!places.iter().any(|dir| dir.exists()), "{places:?}");
    spot.remove();
}

fn one_in_use_is_refused_and_an_empty_one_is_taken_over(_bed: &Bed) {
    let spot = Spot::new("taken");
    drop(spot.create("{}").unwrap());
    for dir in spot.places() {
        let mut child = inhabit([&dir], "exec sleep 100");
        let error = spot.create("{}").unwrap_err();
        assert!(matches!(&error, Error::Unfit { path, .. } if *path == dir), "{error}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let below = spot.places().last().unwrap().join("below");
    std::fs::create_dir(&below).unwrap();
    spot.create("{}").unwrap();
    spot.remove();
    assert!(!below.exists());
}

/// On a host with v2 alone nothing is left for later.
fn one_is_begun_and_completed(_bed: &Bed) {
    let spot = Spot::new("begun");
    let cgroup = spot.begin(r#"{"pids": {"limit": 7}}"#).unwrap();
    let hybrid = !spot.host.mounted.is_empty();
    let there = || spot.places().iter().filter(|dir| dir.exists()).count();
    let all = spot.places().len();
    assert_eq!((cgroup.is_complete(), there()), (!hybrid, if hybrid { 1 } else { all }));
    let views = cgroup.views();
    let to_join = cgroup.to_join();
    cgroup.complete().unwrap();
    assert_eq!(there(), all);
    assert_eq!(spot.read("pids.max").as_deref(), Some("7"));
    assert_eq!(cgroup.views(), views);
    let names = cgroup.tasks_files().unwrap().into_iter().map(|(name, _)| name);
    assert!(!hybrid || names.eq(to_join));
    // Where something stands already it is looked at first.
    spot.remove();
    spot.create("{}").unwrap();
    assert!(spot.begin("{}").unwrap().is_complete());
}

fn what_is_somebody_elses_by_then_stays_his(_bed: &Bed) {
    let spot = Spot::new("meanwhile");
    let cgroup = spot.begin("{}").unwrap();
    let unified = spot.host.unified.join(spot.path.strip_prefix("/").unwrap());
    let Some(taken) = spot.places().into_iter().find(|dir| *dir != unified) else {
        return;
    };
    std::fs::create_dir_all(&taken).unwrap();
    let mut child = inhabit([&taken], "exec sleep 100");
    let error = cgroup.complete().unwrap_err().to_string();
    let why = "can't be a container's: a process lives in it";
    assert!(error.contains(taken.to_str().unwrap()) && error.ends_with(why), "{error}");
    let left: Vec<_> = spot.places().into_iter().filter(|dir| dir.exists()).collect();
    assert!(left.contains(&taken) && left.contains(&unified) && left.len() == 2, "{left:?}");
    assert!(!cgroup.is_complete() && cgroup.complete().is_err());
    assert_eq!(cgroup.sample().unwrap(), Sample::default());
    // An empty one of somebody's stays as well, and so does what is above both.
    let empty = spot.places().into_iter().find(|dir| *dir != unified && *dir != taken).unwrap();
    std::fs::create_dir_all(&empty).unwrap();
    cgroup.abandon().unwrap();
    let above = unified.ancestors().nth(2).unwrap();
    assert!(taken.exists() && empty.exists() && !above.exists());
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
}

fn many_at_once_in_a_new_place_have_their_limits(_bed: &Bed) {
    let spot = Spot::new("many");
    let above = spot.path.parent().unwrap();
    let limits = r#"{"memory": {"limit": 16777216, "swap": 16777216}, "pids": {"limit": 9}}"#;
    let together = std::sync::Barrier::new(8);
    let make = |number: u32| {
        let path = above.join(number.to_string());
        together.wait();
        let made = Cgroup::create_at(&spot.host, &path, &parse(limits)).unwrap();
        let of_swap = made.enforced().iter().filter(|limit| limit.file.contains("sw")).count();
        together.wait();
        Cgroup::remove_at(&spot.host, &path).unwrap();
        (made.enforced().len(), of_swap)
    };
    for _ in 0..20 {
        let made: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|number| scope.spawn(move || make(number))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(made.iter().all(|one| *one == made[0]), "{made:?}");
        Cgroup::remove_at(&spot.host, above).unwrap();
    }
}

fn a_frozen_one_is_refused(_bed: &Bed) {
    let spot = Spot::new("frozen");
    let cgroup = spot.create("{}").unwrap();
    let files = [("cgroup.freeze", "1", "0"), ("freezer.state", "FROZEN", "THAWED")];
    for (file, freeze, thaw) in files {
        let Some(file) = spot.file(file) else { continue };
        std::fs::write(&file, freeze).unwrap();
        let error = spot.create("{}").unwrap_err().to_string();
        assert!(error.contains("frozen"), "{error}");
        std::fs::write(&file, thaw).unwrap();
    }
    drop(cgroup);
    spot.create("{}").unwrap();
}

fn what_cannot_be_enforced_leaves_nothing(_bed: &Bed) {
    let spot = Spot::new("refused");
    for (resources, part) in [
        (r#"{"rdma":{"mlx5":{"hcaHandles":1}}}"#, "rdma"),
        (r#"{"unified":{"../cgroup.procs":"1"}}"#, "unified.../cgroup.procs"),
        (r#"{"unified":{"cgroup.kill":"1"}}"#, "cgroup.kill"),
        (r#"{"unified":{"nothing.max":"1"}}"#, "\"nothing\""),
        (r#"{"memory":{"limit":100,"swap":50}}"#, "memory.swap: 50"),
        (r#"{"memory":{"limit":-5}}"#, "memory.limit: -5"),
        (r#"{"pids":{"limit":-5}}"#, "pids.limit: -5"),
        (r#"{"cpu":{"cpus":"4000"}}"#, "cpus"),
        (r#"{"hugepageLimits":[{"pageSize":"3MB","limit":1}]}"#, "3MB"),
        (r#"{"hugepageLimits":[{"pageSize":"2MB/../x","limit":1}]}"#, "2MB/../x"),
        (r#"{"devices":[{"allow":true,"type":"p"}]}"#, "devices"),
    ] {
        let error = spot.create(resources).unwrap_err().to_string();
        assert!(error.contains(part) && !error.contains('\n'), "{resources}: {error}");
        assert!(!spot.places().iter().any(|dir| dir.exists()), "{resources}");
    }
    for path in ["", "/", "/.."] {
        let error = Cgroup::create_at(&spot.host, Path::new(path), &parse("{}")).unwrap_err();
        assert!(matches!(error, Error::BadPath { .. }), "{error}");
    }
}

fn removal_ends_what_is_frozen_and_what_is_below(_bed: &Bed) {
    let spot = Spot::new("removal");
    let cgroup = spot.create("{}").unwrap();
    let mut children = vec![inhabit(&spot.places(), "exec sleep 100")];
    for dir in spot.places() {
        let below = dir.join("below/further");
        std::fs::create_dir_all(&below).unwrap();
        // A v1 cpuset takes nobody before it has CPUs.
        if !below.join("cpuset.mems").exists() || below.join("cgroup.controllers").exists() {
            // Who stands in one hierarchy alone is found all the same.
            children.push(inhabit([&below], "exec sleep 100"));
        }
    }
    let before = cgroup.pids().unwrap();
    assert_eq!(before.len(), 2, "{before:?}");
    cgroup.freeze().unwrap();
    if let Some(state) = spot.file("below/further/freezer.state") {
        std::fs::write(state, "FROZEN").unwrap();
    }
    spot.remove();
    for mut child in children {
        assert!(!child.wait().unwrap().success());
    }
    assert!(!spot.places().iter().any(|dir| dir.exists()));
}

fn an_update_changes_what_it_names_alone(_bed: &Bed) {
    let spot = Spot::new("update");
    let swap = std::fs::read_to_string("/proc/swaps").unwrap().lines().count() > 1;
    let limits = r#"{"memory":{"limit":67108864,"swap":134217728},"pids":{"limit":40}}"#;
    let cgroup = spot.create(limits).unwrap();
    let v1 = spot.file("memory.limit_in_bytes").is_some();
    let (limit, both) = match v1 {
        true => ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
        false => ("memory.max", "memory.swap.max"),
    };
    let counts_swap = spot.file(both).is_some();
    assert!(counts_swap || !swap);
    let expect = |memory: i64, together: i64, pids: &str| {
        let unlimited = |value: i64| match (value, v1) {
            (-1, true) => "9223372036854771712".to_owned(),
            (-1, false) => "max".to_owned(),
            (value, _) => value.to_string(),
        };
        assert_eq!(spot.read(limit).unwrap(), unlimited(memory));
        if counts_swap {
            let left = if v1 || together == -1 { together } else { together - memory };
            assert_eq!(spot.read(both).unwrap(), unlimited(left));
        }
        assert_eq!(spot.read("pids.max").unwrap(), pids);
    };
    let mib = 1 << 20;
    expect(64 * mib, 128 * mib, "40");
    let update = |text: &str| spot.open().update(&parse(text));
    // Raised above the old value of both, and lowered below the old value of one.
    update(r#"{"memory":{"limit":268435456,"swap":536870912,"kernel":0}}"#).unwrap();
    expect(256 * mib, 512 * mib, "40");
    update(r#"{"memory":{"limit":16777216,"swap":33554432},"cpu":{"quota":0,"period":0}}"#)
        .unwrap();
    expect(16 * mib, 32 * mib, "40");
    update(r#"{"memory":{"limit":0,"swap":0,"reservation":0},"pids":{"limit":0},"blockIO":{"weight":0},"cpu":{"shares":0,"cpus":"","mems":""}}"#).unwrap();
    expect(16 * mib, 32 * mib, "40");
    update(r#"{"memory":{"limit":20971520}}"#).unwrap();
    expect(20 * mib, 32 * mib, "40");
    update(r#"{"pids":{"limit":-1}}"#).unwrap();
    expect(20 * mib, 32 * mib, "max");
    update(r#"{"memory":{"limit":-1}}"#).unwrap();
    expect(-1, -1, "max");
    let error = update(r#"{"memory":{"limit":1000,"swap":10}}"#).unwrap_err().to_string();
    assert!(error.contains("memory.swap: 10"), "{error}");
    drop(cgroup);
}

fn counters_count(_bed: &Bed) {
    let spot = Spot::new("counters");
    let cgroup = spot.create(r#"{"memory":{"limit":67108864},"pids":{"limit":9}}"#).unwrap();
    let busy = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done; exec sleep 100";
    let mut child = inhabit(&spot.places(), busy);
    let mut said = [0; 5];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
    let stats = cgroup.stats().unwrap();
    assert!(stats.cpu.usage.total > 0, "{:?}", stats.cpu);
    assert!(stats.memory.usage.usage > 0 && stats.memory.usage.limit == 67_108_864);
    assert!(stats.memory.swap.limit >= stats.memory.usage.limit || stats.memory.swap.limit == 0);
    assert!(!stats.memory.raw.is_empty());
    assert_eq!((stats.pids.current, stats.pids.limit), (1, 9));
    if !spot.host.mounted.is_empty() {
        assert!(!stats.cpuset.cpus.is_empty());
    }
    spot.remove();
    child.wait().unwrap();
}

fn huge_pages_are_limited_wherever_their_controller_is(_bed: &Bed) {
    let spot = Spot::new("hugepages");
    let limit = r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}"#;
    match spot.create(limit) {
        Ok(_) => {
            let names = ["hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max"];
            let values: Vec<_> = names.iter().filter_map(|name| spot.read(name)).collect();
            assert_eq!(values, ["4194304"]);
        }
        Err(error) => {
            let root = |file| std::fs::read_to_string(spot.host.unified.join(file));
            // What lives in the root of a container keeps that from handing anything down.
            let full = root("cgroup.type").is_ok() && !root("cgroup.procs").unwrap().is_empty();
            let there = root("cgroup.controllers").unwrap().contains("hugetlb");
            assert!(!there || full, "{error}");
            assert!(error.to_string().contains("hugetlb"), "{error}");
        }
    }
}
