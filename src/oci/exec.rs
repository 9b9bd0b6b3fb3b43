//! `exec`: one more process in a container that runs.

use std::path::Path;

use oci_spec::runtime::{Capability, LinuxCapabilities, Process};

use super::args::ExecArgs;
use super::attend::{Signals, attend};
use super::console::{Console, Relay, receive};
use super::making::{own_streams, write_pid};
use super::status::Status;
use super::store::Store;
use super::{Error, place};
use crate::bundle::{Bundle, CapabilityName};
use crate::cgroup::Inner;
use crate::launch::{self, Exec};

/// Starts the process and gives its code; with `--detach`, returns when it has been started.
pub(super) fn exec(store: &Store, args: &ExecArgs) -> Result<u8, Error> {
    let home = store.find(&args.id.parse()?)?;
    let record = home.record()?;
    let status = Status::of(&home, &record)?;
    match status {
        Status::Stopped => return Err(Error::State("cannot exec in a stopped container")),
        Status::Creating => return Err(Error::State("cannot exec in a container not yet created")),
        Status::Paused if !args.ignore_paused => {
            let why = "cannot exec in a paused container (use --ignore-paused to override)";
            return Err(Error::State(why));
        }
        _ => {}
    }
    let inner = inner(&args.cgroup)?;
    let bundle = Bundle::parse(&record.bundle, &home.config()?)?;
    let process = process(args, &bundle)?;
    let init = record.process.map_or(Ok(None), |process| process.open())?;
    let init = init.ok_or(Error::State("cannot exec in a stopped container"))?;
    let cgroup = place::open(&record)?.at_inner(&inner)?;
    let Console { theirs, ours } =
        Console::of(Some(&process), args.console_socket.as_deref(), !args.detach)?;
    // From here on signals wait to be read.
    let signals = (!args.detach).then(Signals::watch).transpose()?;
    let cell = launch::exec(Exec {
        bundle: &bundle,
        process,
        init: std::os::fd::AsFd::as_fd(&init),
        cgroup: &cgroup,
        stdio: own_streams()?,
        console: theirs,
        id: Some(&record.id),
        ignore_frozen: args.ignore_paused,
        preserved: args.preserve_fds,
    })?;
    if let Some(path) = &args.pid_file
        && let Err(error) = write_pid(path, cell.pid())
    {
        let _ = cell.kill();
        return Err(error);
    }
    match signals {
        Some(signals) => {
            let mut relay = ours.as_ref().map(receive).transpose()?.map(Relay::new).transpose()?;
            Ok(attend(&cell, &signals, relay.as_mut())?.shell_code())
        }
        None => Ok(0),
    }
}

/// Where inside the container's cgroup it goes: one path for all hierarchies, or some for controllers.
fn inner(given: &[String]) -> Result<Vec<Inner>, Error> {
    let refuse = |text: &str, why: &str| Err(Error::Usage(format!("--cgroup {text:?} {why}")));
    let mut places: Vec<Inner> = Vec::new();
    for text in given {
        let Some((controllers, path)) = text.split_once(':') else {
            if given.len() > 1 {
                return refuse(text, "names no controller, and stands beside others");
            }
            return Ok(vec![Inner { controller: None, path: text.into() }]);
        };
        if path.contains(':') {
            return refuse(text, "must be [CONTROLLER[,CONTROLLER]:]PATH");
        }
        for controller in controllers.split(',') {
            if controller.is_empty() {
                return refuse(text, "must be [CONTROLLER[,CONTROLLER]:]PATH");
            }
            let controller = Some(controller.to_owned());
            if places.iter().any(|place| place.controller == controller) {
                return refuse(text, "names a controller for the second time");
            }
            places.push(Inner { controller, path: path.into() });
        }
    }
    Ok(places)
}

/// The process that is asked for: a file's, or the container's own with other arguments.
fn process(args: &ExecArgs, bundle: &Bundle) -> Result<Process, Error> {
    if let Some(path) = &args.process {
        return read(path);
    }
    if args.command.is_empty() {
        return Err(Error::Usage("a command is missing, or --process with a file".to_owned()));
    }
    let own = bundle.spec().process().clone();
    let mut process = own.ok_or(Error::State("the container has no process of its own"))?;
    process.set_args(Some(args.command.clone())).set_terminal(Some(args.tty));
    process.set_console_size(None);
    if !args.env.is_empty() {
        let env = process.env().iter().flatten().chain(&args.env).cloned().collect();
        process.set_env(Some(env));
    }
    if let Some(cwd) = &args.cwd {
        process.set_cwd(cwd.clone());
    }
    if let Some(user) = &args.user {
        let (uid, gid) = ids(user)?;
        process.user_mut().set_uid(uid);
        if let Some(gid) = gid {
            process.user_mut().set_gid(gid);
        }
    }
    if !args.additional_gids.is_empty() {
        let gids = process.user().additional_gids().iter().flatten().chain(&args.additional_gids);
        let gids = gids.copied().collect();
        process.user_mut().set_additional_gids(Some(gids));
    }
    if !args.cap.is_empty() {
        let mut held = process.capabilities().clone().unwrap_or_else(none);
        add(&mut held, &args.cap)?;
        process.set_capabilities(Some(held));
    }
    if args.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    for (value, set) in [
        (&args.apparmor, Process::set_apparmor_profile as fn(&mut Process, _) -> &mut Process),
        (&args.process_label, Process::set_selinux_label),
    ] {
        if value.is_some() {
            set(&mut process, value.clone());
        }
    }
    Ok(process)
}

fn read(path: &Path) -> Result<Process, Error> {
    let text = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
    Ok(Bundle::parse_process(path, &text)?)
}

/// `UID` or `UID:GID`.
fn ids(text: &str) -> Result<(u32, Option<u32>), Error> {
    let wrong = || Error::Usage(format!("--user {text:?} must be UID or UID:GID, in numbers"));
    let (uid, gid) = match text.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid)),
        None => (text, None),
    };
    let number = |digits: &str| digits.parse().map_err(|_| wrong());
    Ok((number(uid)?, gid.map(number).transpose()?))
}

fn none() -> LinuxCapabilities {
    let mut held = LinuxCapabilities::default();
    let empty = || Some(Default::default());
    held.set_bounding(empty()).set_effective(empty()).set_permitted(empty());
    held.set_inheritable(None).set_ambient(None);
    held
}

/// Adds capabilities wherever a process that is executed can have them from.
fn add(held: &mut LinuxCapabilities, names: &[String]) -> Result<(), Error> {
    for name in names {
        let capability: Capability = match name.parse()? {
            CapabilityName::One(capability) => capability,
            CapabilityName::All => {
                return Err(Error::Usage("--cap takes one capability at a time".to_owned()));
            }
        };
        let with = |set: &Option<oci_spec::runtime::Capabilities>| {
            let mut set = set.clone().unwrap_or_default();
            set.insert(capability);
            Some(set)
        };
        let (bounding, effective) = (with(held.bounding()), with(held.effective()));
        let permitted = with(held.permitted());
        held.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
        // Without this, somebody who is not root would lose it at the exec.
        let (inheritable, ambient) = (with(held.inheritable()), with(held.ambient()));
        held.set_inheritable(inheritable).set_ambient(ambient);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_one_number_or_two() {
        assert_eq!(ids("5").unwrap(), (5, None));
        assert_eq!(ids("5:6").unwrap(), (5, Some(6)));
        for bad in ["", "root", "5:", ":6", "-1", "5:6:7", "4294967296"] {
            assert!(ids(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_place_in_the_cgroup_is_for_all_or_for_controllers() {
        let of = |given: &[&str]| {
            let given: Vec<_> = given.iter().map(|text| (*text).to_owned()).collect();
            inner(&given).map(|places| {
                let text = |place: Inner| {
                    let path = place.path.display().to_string();
                    format!("{}={path}", place.controller.unwrap_or_default())
                };
                places.into_iter().map(text).collect::<Vec<_>>().join(" ")
            })
        };
        assert_eq!(of(&[]).unwrap(), "");
        assert_eq!(of(&["/a/b"]).unwrap(), "=/a/b");
        assert_eq!(of(&["cpu,memory:a", "pids:b"]).unwrap(), "cpu=a memory=a pids=b");
        for bad in [&["a", "b"][..], &["cpu:a", "b"], &["cpu:a", "cpu:b"], &["a:b:c"], &[":a"]] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_capability_is_added_to_every_set() {
        let mut held = none();
        add(&mut held, &["net_admin".to_owned(), "CAP_KILL".to_owned()]).unwrap();
        for set in [held.bounding(), held.effective(), held.permitted(), held.ambient()] {
            assert_eq!(set.as_ref().unwrap().len(), 2);
        }
        assert!(add(&mut held, &["ALL".to_owned()]).is_err());
    }
}
