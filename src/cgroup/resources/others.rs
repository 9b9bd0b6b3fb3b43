//! Processes, huge pages, marks on network packets, and files of v2 by name.

use std::collections::{BTreeMap, HashMap};

use oci_spec::runtime::{LinuxHugepageLimit, LinuxNetwork, LinuxResources};

use super::super::Error;
use super::{Target, Tree, Wish, refused};

/// Files that act on the processes of a cgroup, where resources are about what those may use.
const NO_RESOURCES: [&str; 4] = ["cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.freeze"];

pub(super) fn pids(target: &Target<'_>, limit: i64) -> Result<(), Error> {
    let value = match limit {
        0 => return Ok(()),
        1.. => limit.to_string(),
        -1 => "max".to_owned(),
        _ => return Err(refused("pids.limit", limit, "neither a count nor -1")),
    };
    let wish = Wish { field: "pids.limit", value: &value };
    let dir = target.tree("pids", Some("pids"), wish)?.dir();
    target.write(dir, "pids.max", &value)
}

pub(super) fn hugepages(target: &Target<'_>, limits: &[LinuxHugepageLimit]) -> Result<(), Error> {
    for entry in limits {
        let (size, limit) = (entry.page_size(), entry.limit());
        let value = format!("{size}={limit}");
        if !is_page_size(size) {
            return Err(refused("hugepageLimits", value, "the size is none, such as 2MB or 1GB"));
        }
        if limit < 0 {
            return Err(refused("hugepageLimits", value, "less than nothing"));
        }
        let wish = Wish { field: "hugepageLimits", value: &value };
        let tree = target.tree("hugetlb", Some("hugetlb"), wish)?;
        let ending = match tree {
            Tree::V1(_) => "limit_in_bytes",
            Tree::V2(_) => "max",
        };
        if !target.write_if_there(tree.dir(), format!("hugetlb.{size}.{ending}"), limit)? {
            return Err(refused("hugepageLimits", value, "this host has no pages of that size"));
        }
        // What is reserved counts since Linux 5.7, beside what is used.
        target.write_if_there(tree.dir(), format!("hugetlb.{size}.rsvd.{ending}"), limit)?;
    }
    Ok(())
}

/// `64KB`, `2MB`, `1GB`
fn is_page_size(size: &str) -> bool {
    let number = ["KB", "MB", "GB"].iter().find_map(|unit| size.strip_suffix(unit));
    number.is_some_and(|number| number.parse::<u32>().is_ok_and(|n| n.to_string() == number))
}

pub(super) fn network(target: &Target<'_>, network: &LinuxNetwork) -> Result<(), Error> {
    if let Some(class) = network.class_id().filter(|class| *class != 0) {
        let value = class.to_string();
        let wish = Wish { field: "network.classID", value: &value };
        let dir = target.tree("net_cls", None, wish)?.dir();
        target.write(dir, "net_cls.classid", &value)?;
    }
    for entry in network.priorities().iter().flatten() {
        let value = format!("{} {}", entry.name(), entry.priority());
        let wish = Wish { field: "network.priorities", value: &value };
        let dir = target.tree("net_prio", None, wish)?.dir();
        target.write(dir, "net_prio.ifpriomap", &value)?;
    }
    Ok(())
}

pub(super) fn check_unified(resources: &LinuxResources) -> Result<(), Error> {
    for (file, value) in resources.unified().iter().flatten() {
        let why = if file.contains('/') || !file.contains('.') {
            "the name must be that of a file, CONTROLLER.NAME"
        } else if NO_RESOURCES.contains(&file.as_str()) {
            "that file limits nothing"
        } else {
            continue;
        };
        return Err(refused_file(file, value, why));
    }
    Ok(())
}

fn refused_file(file: &str, value: &str, why: impl Into<String>) -> Error {
    Error::Refused {
        field: format!("unified.{file}").into(),
        value: format!("{value:?}"),
        why: why.into(),
    }
}

/// Writes files of the v2 directory by name. On a hybrid host that has those of the v2 tree's own
/// (`cgroup.max.descendants`) and of the controllers that are not v1 there.
pub(super) fn unified(target: &Target<'_>, files: &HashMap<String, String>) -> Result<(), Error> {
    let dir = &target.cgroup.unified;
    for (file, text) in files.iter().collect::<BTreeMap<_, _>>() {
        let controller = file.split('.').next().unwrap_or_default();
        if !dir.has(file) {
            let missing = match controller {
                "cgroup" => Ok(()),
                controller => target.reach(controller),
            };
            if let Err(why) = missing {
                let why = match target.cgroup.v1(controller) {
                    Some(_) => {
                        format!("the controller {controller:?} is a v1 hierarchy on this host")
                    }
                    None => format!("the controller {controller:?} is {why}"),
                };
                return Err(refused_file(file, text, why));
            }
        }
        if !dir.has(file) {
            return Err(refused_file(file, text, "this kernel has no such file"));
        }
        // The kernel takes one line at a time.
        for line in text.lines() {
            target.write(dir, file.clone(), line)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_sizes_are_numbers_with_a_unit() {
        assert!(["64KB", "2MB", "1GB"].into_iter().all(is_page_size));
        assert!(
            !["", "MB", "2M", "02MB", "+2MB", "2MB/../x", "../2MB"].into_iter().any(is_page_size)
        );
    }
}
