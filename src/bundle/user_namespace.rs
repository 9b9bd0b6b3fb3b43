//! Whose ids a cell's ids are: the host's, or a range of the cell's own.

use std::str::FromStr;

use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespaceType, Spec};

use super::Error;

/// Below lie the host's own users.
const LOWEST: u32 = 1 << 16;
/// How many ids every image expects: up to `nobody` and `nogroup`, 65534.
const FEWEST: u32 = 1 << 16;

/// Whether a cell has a user namespace, and which ids it stands for.
///
/// In one, root inside is nobody outside: it owns nothing of the host's, and what it may do ends at
/// the cell's own namespaces.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum UserNamespace {
    /// None: ids inside are the host's.
    #[default]
    Host,
    /// One with 65536 ids that no other cell has; the driver chooses them when it makes the cell.
    Auto,
    /// One with these ids.
    Range(IdRange),
}

/// User and group ids of the host that follow each other: the first stands for 0 inside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IdRange {
    /// The host's id of root inside; at least 65536.
    pub first: u32,
    /// How many there are; at least 65536.
    pub count: u32,
}

impl IdRange {
    /// The range of `count` ids from `first` on.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it holds ids below 65536, too few, or ids beyond 2^32-2.
    pub fn new(first: u32, count: u32) -> Result<IdRange, Error> {
        let refuse = |why: &str| {
            Err(Error::invalid("range of ids", format!("{first}:{count}"), why.to_owned()))
        };
        if first < LOWEST {
            return refuse("must start at 65536 or above, where no user of the host is");
        }
        if count < FEWEST {
            return refuse("must hold 65536 ids or more, as every image expects");
        }
        match u64::from(first) + u64::from(count) {
            // 2^32-1 stands for "no id".
            end if end > u64::from(u32::MAX) => refuse("must end below 4294967295"),
            _ => Ok(IdRange { first, count }),
        }
    }

    /// The host's id for the id `inside`, if there is one.
    #[must_use]
    pub fn outside(&self, inside: u32) -> Option<u32> {
        (inside < self.count).then(|| self.first + inside)
    }
}

impl FromStr for UserNamespace {
    type Err = Error;

    /// `host`, `auto` or `FIRST:COUNT`.
    fn from_str(text: &str) -> Result<UserNamespace, Error> {
        let refuse = || {
            Error::invalid("user namespace", text, "must be host, auto or FIRST:COUNT in digits")
        };
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse().map_err(|_| refuse()),
            false => Err(refuse()),
        };
        match text {
            "host" => Ok(UserNamespace::Host),
            "auto" => Ok(UserNamespace::Auto),
            range => {
                let (first, count) = range.split_once(':').ok_or_else(refuse)?;
                Ok(UserNamespace::Range(IdRange::new(number(first)?, number(count)?)?))
            }
        }
    }
}

/// Whether the specification has a user namespace and leaves its ids to the driver.
pub(crate) fn wants_ids(spec: &Spec) -> bool {
    let Some(linux) = spec.linux() else {
        return false;
    };
    let own = |kind: LinuxNamespaceType| kind == LinuxNamespaceType::User;
    let listed = linux.namespaces().as_deref().unwrap_or_default();
    let none = |list: &Option<Vec<_>>| list.as_ref().is_none_or(Vec::is_empty);
    listed.iter().any(|namespace| own(namespace.typ()) && namespace.path().is_none())
        && none(linux.uid_mappings())
        && none(linux.gid_mappings())
}

/// Gives the specification's user namespace the range.
pub(crate) fn map_ids(spec: &mut Spec, range: IdRange) -> Result<(), Error> {
    let mapping = LinuxIdMappingBuilder::default()
        .container_id(0_u32)
        .host_id(range.first)
        .size(range.count)
        .build()?;
    if let Some(linux) = spec.linux_mut() {
        linux.set_uid_mappings(Some(vec![mapping]));
        linux.set_gid_mappings(Some(vec![mapping]));
    }
    match without_id(spec) {
        None => Ok(()),
        Some((what, id)) => {
            let why = format!("is beyond the {} ids of the cell's user namespace", range.count);
            Err(Error::invalid(what, id.to_string(), why))
        }
    }
}

/// The first user or group of the task, its supplementary ones included, that has no id on the host.
pub(crate) fn without_id(spec: &Spec) -> Option<(&'static str, u32)> {
    let user = spec.process().as_ref()?.user();
    let linux = spec.linux().as_ref()?;
    let map = |list: &Option<Vec<LinuxIdMapping>>| list.clone().unwrap_or_default();
    let (uids, gids) = (map(linux.uid_mappings()), map(linux.gid_mappings()));
    let groups = user.additional_gids().iter().flatten().copied();
    let lacks = |gid: &u32| outside(&gids, *gid).is_none();
    match outside(&uids, user.uid()) {
        None => Some(("user", user.uid())),
        Some(_) => std::iter::once(user.gid()).chain(groups).find(lacks).map(|gid| ("group", gid)),
    }
}

/// The host's user and group id of the task; `None` when its own have none there.
#[must_use]
pub(crate) fn owner(spec: &Spec) -> Option<(u32, u32)> {
    let user = spec.process().as_ref().map(|process| process.user());
    let (uid, gid) = user.map_or((0, 0), |user| (user.uid(), user.gid()));
    let linux = spec.linux().as_ref();
    let uids = linux.and_then(|linux| linux.uid_mappings().as_deref()).unwrap_or_default();
    let gids = linux.and_then(|linux| linux.gid_mappings().as_deref()).unwrap_or_default();
    Some((outside(uids, uid)?, outside(gids, gid)?))
}

/// Without a map every id is itself.
fn outside(map: &[LinuxIdMapping], inside: u32) -> Option<u32> {
    if map.is_empty() {
        return Some(inside);
    }
    map.iter().find_map(|line| {
        let offset = inside.checked_sub(line.container_id())?;
        (offset < line.size()).then(|| line.host_id().checked_add(offset)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_keeps_clear_of_the_hosts_users_and_of_no_id() {
        let range: UserNamespace = "100000:65536".parse().unwrap();
        assert_eq!(range, UserNamespace::Range(IdRange { first: 100_000, count: 65_536 }));
        for bad in [
            "",
            "keep-id",
            "0:65536",
            "65535:65536",
            "100000:65535",
            "4294901760:65536",
            "100000:",
            ":65536",
            "+100000:65536",
            "100000:65536:1",
            "-1:65536",
            "99999999999:65536",
        ] {
            assert!(bad.parse::<UserNamespace>().is_err(), "{bad}");
        }
        assert!("4294901759:65536".parse::<UserNamespace>().is_ok());
    }

    #[test]
    fn an_id_outside_the_range_has_no_id_on_the_host() {
        let range = IdRange::new(100_000, 65_536).unwrap();
        assert_eq!((range.outside(5), range.outside(65_535)), (Some(100_005), Some(165_535)));
        assert_eq!(range.outside(65_536), None);
    }
}
