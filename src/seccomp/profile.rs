//! Docker's profile format, read strictly, and what it comes to for one cell.

use std::io::Read;
use std::path::Path;
use std::str::FromStr;
use std::sync::OnceLock;

use oci_spec::runtime::{
    Arch, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompFilterFlag, LinuxSeccompOperator, LinuxSyscall,
};

use super::answer::Answer;
use super::architecture::Architecture;
use super::{Error, raw};

/// The most bytes a profile's file may have; Docker's own has 17 thousand.
const LARGEST: u64 = 1 << 20;

/// Which system calls a cell may make, given what else it may do: rules, each with conditions on
/// capabilities, architecture and kernel. Read from Docker's JSON by [`FromStr`], or built in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    pub(super) default_action: LinuxSeccompAction,
    pub(super) default_errno: Option<u32>,
    pub(super) architectures: Architectures,
    pub(super) flags: Vec<LinuxSeccompFilterFlag>,
    pub(super) rules: Vec<Rule>,
}

/// Which architectures beside the native one may make calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Architectures {
    /// These, wherever the cell runs.
    These(Vec<Arch>),
    /// For each native one, these.
    Map(Vec<(Arch, Vec<Arch>)>),
}

/// One rule and when it counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Rule {
    pub(super) rule: LinuxSyscall,
    /// All of these must hold.
    pub(super) includes: Conditions,
    /// None of these may hold.
    pub(super) excludes: Conditions,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Conditions {
    pub(super) capabilities: Vec<Capability>,
    /// Names as profiles have them; any one of them.
    pub(super) arches: Vec<String>,
    pub(super) min_kernel: Option<Kernel>,
}

/// A kernel's version: major and minor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Kernel(pub u32, pub u32);

impl Kernel {
    /// The one this runs on.
    #[must_use]
    pub fn running() -> Kernel {
        static RUNNING: OnceLock<Kernel> = OnceLock::new();
        *RUNNING.get_or_init(|| {
            let name = rustix::system::uname();
            let release = name.release().to_string_lossy();
            let mut parts = release.split(|c: char| !c.is_ascii_digit());
            let mut next = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
            Kernel(next(), next())
        })
    }
}

impl Rule {
    /// Docker's meaning: one of the excluded is enough, and each kind of the included is needed.
    fn counts(&self, held: &[Capability], native: Architecture, kernel: Kernel) -> bool {
        let Rule { includes, excludes, .. } = self;
        let has = |capability: &Capability| held.contains(capability);
        let named = |arches: &[String]| arches.iter().any(|arch| arch == native.in_profiles());
        let excluded = excludes.capabilities.iter().any(has)
            || named(&excludes.arches)
            || excludes.min_kernel.is_some_and(|least| kernel >= least);
        !excluded
            && includes.capabilities.iter().all(has)
            && (includes.arches.is_empty() || named(&includes.arches))
            && includes.min_kernel.is_none_or(|least| kernel >= least)
    }
}

impl Profile {
    /// Reads a profile from a file of at most 1 MiB.
    ///
    /// # Errors
    /// [`Error::Io`] about the file; else as [`from_str`](Profile::from_str).
    pub fn read(path: &Path) -> Result<Profile, Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(io)?;
        file.take(LARGEST + 1).read_to_string(&mut text).map_err(io)?;
        text.parse()
    }

    /// What the profile comes to for a cell whose bounding set is `capabilities`.
    #[must_use]
    pub fn resolve(
        &self,
        capabilities: &[Capability],
        native: Architecture,
        kernel: Kernel,
    ) -> LinuxSeccomp {
        let architectures = match &self.architectures {
            Architectures::These(list) => list.clone(),
            Architectures::Map(map) => map
                .iter()
                .find(|(arch, _)| *arch == native.to_oci())
                .map(|(arch, more)| [&[*arch], more.as_slice()].concat())
                .unwrap_or_default(),
        };
        let counts = |rule: &&Rule| rule.counts(capabilities, native, kernel);
        let rules = self.rules.iter().filter(counts).map(|rule| rule.rule.clone()).collect();
        let mut resolved = LinuxSeccomp::default();
        resolved.set_default_action(self.default_action);
        resolved.set_default_errno_ret(self.default_errno);
        resolved.set_architectures(Some(architectures).filter(|list| !list.is_empty()));
        resolved.set_flags(Some(self.flags.clone()).filter(|list| !list.is_empty()));
        resolved.set_syscalls(Some(rules));
        resolved
    }
}

impl FromStr for Profile {
    type Err = Error;

    fn from_str(text: &str) -> Result<Profile, Error> {
        if text.len() as u64 > LARGEST {
            return Err(Error::invalid("the file", format!("has more than {LARGEST} bytes")));
        }
        let raw: raw::Profile = serde_json::from_str(text)?;
        for (field, set) in [
            ("listenerPath", raw.listener_path.is_some()),
            ("listenerMetadata", raw.listener_metadata.is_some()),
        ] {
            if set {
                return Err(Error::Unsupported { place: field.to_owned() });
            }
        }
        let default_action = action("defaultAction", &raw.default_action)?;
        let default_errno =
            errno("defaultErrno", raw.default_errno.as_deref(), raw.default_errno_ret)?;
        Answer::of("defaultAction", default_action, default_errno)?;
        let architectures = match (raw.architectures, raw.arch_map) {
            (Some(list), Some(map)) if !list.is_empty() && !map.is_empty() => {
                return Err(Error::invalid("architectures and archMap", "exclude each other"));
            }
            (_, Some(map)) if !map.is_empty() => Architectures::Map(arch_map(map)?),
            (list, _) => Architectures::These(arches("architectures", list)?),
        };
        let flags = raw.flags.unwrap_or_default();
        let flags = flags.iter().enumerate().map(|(at, flag)| parse(&format!("flags[{at}]"), flag));
        let rules = raw.syscalls.unwrap_or_default();
        let rules =
            rules.into_iter().enumerate().map(|(at, raw)| rule(&format!("syscalls[{at}]"), raw));
        Ok(Profile {
            default_action,
            default_errno,
            architectures,
            flags: flags.collect::<Result<_, _>>()?,
            rules: rules.collect::<Result<_, _>>()?,
        })
    }
}

/// A word of the specification's.
fn parse<T: FromStr>(place: &str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| Error::invalid(place, format!("{text:?} is unknown")))
}

fn action(place: &str, text: &str) -> Result<LinuxSeccompAction, Error> {
    match parse(place, text)? {
        // A profile says nothing of who would listen.
        LinuxSeccompAction::ScmpActNotify => {
            Err(Error::Unsupported { place: format!("{place}: {text}") })
        }
        action => Ok(action),
    }
}

/// Podman's profiles give an errno by name as well; the number is what counts.
fn errno(place: &str, name: Option<&str>, number: Option<u32>) -> Result<Option<u32>, Error> {
    match (name, number) {
        (Some(name), None) if !name.is_empty() => {
            Err(Error::invalid(place, format!("{name:?} needs its number in {place}Ret")))
        }
        _ => Ok(number),
    }
}

fn arches(place: &str, list: Option<Vec<String>>) -> Result<Vec<Arch>, Error> {
    let each = |(at, name): (usize, &String)| parse(&format!("{place}[{at}]"), name);
    list.unwrap_or_default().iter().enumerate().map(each).collect()
}

fn arch_map(map: Vec<raw::ArchMap>) -> Result<Vec<(Arch, Vec<Arch>)>, Error> {
    let each = |(at, entry): (usize, raw::ArchMap)| {
        let arch = parse(&format!("archMap[{at}].architecture"), &entry.architecture)?;
        let more = arches(&format!("archMap[{at}].subArchitectures"), entry.sub_architectures)?;
        Ok((arch, more))
    };
    map.into_iter().enumerate().map(each).collect()
}

fn rule(place: &str, raw: raw::Syscall) -> Result<Rule, Error> {
    let names = match (raw.name.filter(|name| !name.is_empty()), raw.names.unwrap_or_default()) {
        (Some(name), names) if names.is_empty() => vec![name],
        (Some(_), _) => return Err(Error::invalid(place, "has both name and names")),
        (None, names) => names,
    };
    if names.is_empty() || names.iter().any(String::is_empty) {
        return Err(Error::invalid(format!("{place}.names"), "names no system call"));
    }
    let action = action(&format!("{place}.action"), &raw.action)?;
    let errno = errno(&format!("{place}.errno"), raw.errno.as_deref(), raw.errno_ret)?;
    Answer::of(&format!("{place}.action"), action, errno)?;
    let args = raw.args.unwrap_or_default();
    let args = args.iter().enumerate().map(|(at, raw)| arg(&format!("{place}.args[{at}]"), raw));
    let args: Vec<_> = args.collect::<Result<_, _>>()?;
    let mut rule = LinuxSyscall::default();
    rule.set_names(names).set_action(action).set_errno_ret(errno);
    rule.set_args(Some(args).filter(|args| !args.is_empty()));
    Ok(Rule {
        rule,
        includes: conditions(&format!("{place}.includes"), raw.includes)?,
        excludes: conditions(&format!("{place}.excludes"), raw.excludes)?,
    })
}

fn arg(place: &str, raw: &raw::Arg) -> Result<LinuxSeccompArg, Error> {
    if raw.index > 5 {
        let why = format!("{} is no argument: there are 0 to 5", raw.index);
        return Err(Error::invalid(format!("{place}.index"), why));
    }
    let operator: LinuxSeccompOperator = parse(&format!("{place}.op"), &raw.op)?;
    Ok(argument(raw.index, operator, raw.value, raw.value_two))
}

/// One condition of a rule.
pub(super) fn argument(
    index: usize,
    operator: LinuxSeccompOperator,
    value: u64,
    value_two: Option<u64>,
) -> LinuxSeccompArg {
    let arg = LinuxSeccompArgBuilder::default().index(index).op(operator).value(value);
    let arg = match value_two {
        Some(value) => arg.value_two(value),
        None => arg,
    };
    // Every field has a default: there is nothing that could be missing.
    arg.build().unwrap_or_default()
}

fn conditions(place: &str, raw: Option<raw::Conditions>) -> Result<Conditions, Error> {
    /// Every name that Docker's profiles can use.
    const ARCHES: [&str; 20] = [
        "amd64",
        "x32",
        "x86",
        "arm64",
        "arm",
        "loong64",
        "loongarch64",
        "mips",
        "mips64",
        "mips64n32",
        "mipsel",
        "mipsel64",
        "mipsel64n32",
        "mips3l64n32",
        "ppc",
        "ppc64",
        "ppc64le",
        "riscv64",
        "s390",
        "s390x",
    ];
    let raw = raw.unwrap_or_default();
    let capability = |(at, name): (usize, &String)| {
        let known = name.strip_prefix("CAP_").and_then(|name| name.parse().ok());
        let unknown =
            || Error::invalid(format!("{place}.caps[{at}]"), format!("{name:?} is unknown"));
        known.ok_or_else(unknown)
    };
    let capabilities = raw.caps.unwrap_or_default();
    let capabilities = capabilities.iter().enumerate().map(capability).collect::<Result<_, _>>()?;
    let arches = raw.arches.unwrap_or_default();
    for (at, name) in arches.iter().enumerate() {
        if !ARCHES.contains(&name.as_str()) {
            let why = format!("{name:?} is unknown");
            return Err(Error::invalid(format!("{place}.arches[{at}]"), why));
        }
    }
    let kernel = raw.min_kernel.as_deref().filter(|text| !text.is_empty());
    let min_kernel = kernel.map(|text| kernel_version(&format!("{place}.minKernel"), text));
    Ok(Conditions { capabilities, arches, min_kernel: min_kernel.transpose()? })
}

fn kernel_version(place: &str, text: &str) -> Result<Kernel, Error> {
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse().ok(),
        false => None,
    };
    let parts = text.split_once('.');
    let version = parts.and_then(|(a, b)| Some(Kernel(number(a)?, number(b)?)));
    version.ok_or_else(|| Error::invalid(place, format!("{text:?} must be MAJOR.MINOR")))
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;
