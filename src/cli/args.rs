//! What can be typed. No I/O here: values become types, files are opened elsewhere.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use super::duration::Timeout;
use super::image::{
    ImageArgs, ImagesArgs, LoadArgs, LoginArgs, LogoutArgs, PullArgs, RegistryArgs, RmiArgs,
    SaveArgs, StoreArgs, TagArgs, When,
};
use super::security::SecurityOption;
use crate::bundle::{
    Bytes, CapabilityName, CellName, DeviceFlag, DeviceRule, MilliCpu, MountFlag, Network,
    Principal, Rlimit, Tmpfs, UserNamespace, UserSpec, Volume,
};
use crate::cgroup::OwnPlace;
use crate::native::Options;

/// Start untrusted commands as contained processes, without a daemon.
#[derive(Parser, Debug)]
#[command(name = "hotcell", version, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Run a command in a cell and exit with its code
    #[command(override_usage = "hotcell run [OPTIONS] IMAGE [COMMAND]...\n       \
        hotcell run [OPTIONS] --rootfs DIR COMMAND...")]
    Run(Box<RunArgs>),
    /// Write the cell's OCI bundle and run nothing
    Bundle(Box<BundleArgs>),
    /// Pull an image from a registry
    Pull(PullArgs),
    /// Load images from an archive or an OCI layout
    Load(LoadArgs),
    /// Write images as an OCI layout
    Save(SaveArgs),
    /// List images
    Images(ImagesArgs),
    /// Take names of images away, and images with their last name
    Rmi(RmiArgs),
    /// Give an image one more name
    Tag(TagArgs),
    /// Inspect, prune or check images
    Image(ImageArgs),
    /// Keep the name and password that a registry wants to see, in Docker's file
    Login(LoginArgs),
    /// Forget the name and password for a registry
    Logout(LogoutArgs),
    /// Show what this host can enforce; exit 1 if no cell can run
    Doctor(DoctorArgs),
}

/// What the cell is: shared by `run` and `bundle`.
#[derive(clap::Args, Debug)]
pub(super) struct CellArgs {
    /// Where the cell's writes to its root go: `tmpfs` (charged to --memory; default for
    /// `--rootfs /`) or `disk` (below --data-dir until the cell ends; default otherwise)
    #[arg(long, value_name = "WHERE", conflicts_with = "read_only")]
    pub(super) upper: Option<UpperArg>,
    /// Make the root read-only
    #[arg(long)]
    pub(super) read_only: bool,
    /// Memory limit, page cache and tmpfs included, no swap beyond it (64m, 1.5g; powers of 1024)
    #[arg(short, long, value_name = "SIZE")]
    pub(super) memory: Option<Bytes>,
    /// CPU limit in CPUs, to the thousandth (0.5)
    #[arg(long, value_name = "N")]
    pub(super) cpus: Option<MilliCpu>,
    /// Most processes and threads at once, the init of --init included
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) pids_limit: Option<u32>,
    /// Resource limit of each process: NAME=SOFT[:HARD] (nofile=1024:2048)
    #[arg(long, value_name = "LIMIT")]
    pub(super) ulimit: Vec<Rlimit>,
    /// Memory file system: DST[:size=64m,nr_inodes=N,mode=1777,exec,ro]
    #[arg(long, value_name = "DST[:OPTIONS]")]
    pub(super) tmpfs: Vec<Tmpfs>,
    /// Host file or directory: SRC:DST[:ro,rslave,suid,dev,noexec]. Without options it is writable
    /// and private, set-uid programs and device files don't work, and ro reaches what is mounted
    /// below it
    #[arg(short, long, value_name = "SRC:DST[:OPTIONS]")]
    pub(super) volume: Vec<Volume>,
    /// The same, or a memory file system, in Docker's long form:
    /// type=bind,source=SRC,target=DST[,readonly,bind-propagation=…,bind-recursive=…] or
    /// type=tmpfs,target=DST[,readonly,tmpfs-size=64m,tmpfs-mode=1777]
    #[arg(long, value_name = "FIELDS")]
    pub(super) mount: Vec<MountFlag>,
    /// Device of the host: SRC[:DST][:rwm]. The cell gets a node of its own for it and these
    /// accesses: reading, writing, making nodes
    #[arg(long, value_name = "SRC[:DST][:rwm]")]
    pub(super) device: Vec<DeviceFlag>,
    /// Devices that the cell may use without a node: TYPE MAJOR:MINOR ACCESS ("c 10:* rw")
    #[arg(long, value_name = "RULE")]
    pub(super) device_cgroup_rule: Vec<DeviceRule>,
    /// `none` (loopback only) or `host` (no isolation)
    #[arg(long, default_value = "none")]
    pub(super) network: Network,
    /// Environment variable: NAME=VALUE, or NAME to take it from here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(super) env: Vec<String>,
    /// File with one variable a line; `#` starts a comment line
    #[arg(long, value_name = "FILE")]
    pub(super) env_file: Vec<PathBuf>,
    /// Working directory inside, made when missing [default: the image's, or /]
    #[arg(short, long, value_name = "DIR")]
    pub(super) workdir: Option<String>,
    /// Ids inside: `host` (the host's own), `auto` (65536 that no other cell has) or FIRST:COUNT.
    /// Root of a cell with ids of its own is nobody on the host
    #[arg(long, value_name = "IDS", default_value = "host")]
    pub(super) userns: UserNamespace,
    /// User inside: USER[:GROUP], numbers or names that the root's own /etc/passwd and /etc/group
    /// know; without GROUP, with the groups of the account [default: the image's, or 0]
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(super) user: Option<UserSpec>,
    /// Supplementary group more, a number or a name
    #[arg(long, value_name = "GROUP")]
    pub(super) group_add: Vec<Principal>,
    /// Capability more, with or without CAP_, or ALL
    #[arg(long, value_name = "NAME")]
    pub(super) cap_add: Vec<CapabilityName>,
    /// Capability less, with or without CAP_, or ALL
    #[arg(long, value_name = "NAME")]
    pub(super) cap_drop: Vec<CapabilityName>,
    /// What the modes of new files lack, octal
    #[arg(long, value_name = "MASK", value_parser = umask, default_value = "0022")]
    pub(super) umask: u32,
    /// How much sooner (up to 1000) or later (down to -1000) than others the kernel ends it when
    /// memory runs out on the host; to lower it takes CAP_SYS_RESOURCE
    #[arg(long, value_name = "N", allow_negative_numbers = true,
        value_parser = clap::value_parser!(i32).range(-1000..=1000))]
    pub(super) oom_score_adj: Option<i32>,
    /// `seccomp=FILE` (a profile as Docker has them), `seccomp=unconfined`, `seccomp-log` (the
    /// kernel logs refused calls), `no-new-privileges[=true|false]` (default true)
    #[arg(long, value_name = "OPTION")]
    pub(super) security_opt: Vec<SecurityOption>,
    /// Host name inside [default: the cell's name]
    #[arg(long, value_name = "NAME")]
    pub(super) hostname: Option<String>,
    /// Program to run, with COMMAND as its arguments: the image's own and its command are left out;
    /// "" leaves them out, too, and COMMAND is the program
    #[arg(long, value_name = "PROGRAM")]
    pub(super) entrypoint: Option<String>,
    /// Keep an init as PID 1 that hands signals on and reaps orphans; without it the command is
    /// PID 1 and signals it doesn't handle do nothing
    #[arg(long)]
    pub(super) init: bool,
    /// The command and its arguments, by default the image's
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub(super) command: Vec<String>,
}

/// Up to 777, octal.
fn umask(text: &str) -> Result<u32, String> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mask = u32::from_str_radix(text, 8).ok().filter(|mask| plain && *mask <= 0o777);
    mask.ok_or_else(|| "must be octal, from 0 to 777".to_owned())
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(super) enum UpperArg {
    Tmpfs,
    Disk,
}

/// Where the driver keeps its things.
#[derive(clap::Args, Debug)]
pub(super) struct DriverArgs {
    /// Directory for locks and bundles, on a tmpfs, closed to everyone else
    #[arg(long, value_name = "DIR", env = "HOTCELL_STATE_DIR", default_value = "/run/hotcell")]
    state_dir: PathBuf,
    /// Directory for writable layers on disk
    #[arg(long, value_name = "DIR", env = "HOTCELL_DATA_DIR", default_value = "/var/lib/hotcell")]
    data_dir: PathBuf,
    /// Cgroup above all cells, at the root of each hierarchy
    #[arg(long, value_name = "NAME", env = "HOTCELL_CGROUP_PARENT", default_value = "hotcell")]
    cgroup_parent: String,
    /// In a container: move hotcell itself out of the cgroup namespace's root when it stands in the
    /// way of handing controllers down
    #[arg(long)]
    cgroup_move_self: bool,
}

impl DriverArgs {
    pub(super) fn options(&self) -> Options {
        Options {
            state_dir: self.state_dir.clone(),
            data_dir: self.data_dir.clone(),
            cgroup_parent: self.cgroup_parent.clone(),
            own_place: match self.cgroup_move_self {
                true => OwnPlace::MoveAside,
                false => OwnPlace::Keep,
            },
            ..Options::default()
        }
    }
}

#[derive(clap::Args, Debug)]
pub(super) struct RunArgs {
    /// Directory that the cell sees as its root, in place of an image; never written to. `/` is the
    /// host's own userland
    #[arg(long, value_name = "DIR")]
    pub(super) rootfs: Option<PathBuf>,
    /// Name of the cell, unique on this host [default: random]
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<CellName>,
    /// When the image is asked for at its registry: `always`, `missing` (when it is not here) or
    /// `never`
    #[arg(long, value_name = "WHEN", default_value = "missing", hide_possible_values = true)]
    pub(super) pull: When,
    /// Tell nothing of a pull
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Pass standard input on; without it the cell's is empty
    #[arg(short, long)]
    pub(super) interactive: bool,
    /// Kill the cell after this time (10, 1.5s, 500ms, 2m) and exit with 124
    #[arg(long, value_name = "TIME")]
    pub(super) timeout: Option<Timeout>,
    /// Accepted for Docker's sake: a cell never outlives the command
    #[arg(long)]
    pub(super) rm: bool,
    /// Write how the command ended and what it used to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) stats: Option<PathBuf>,
    /// Write the OCI bundle to this directory and keep it
    #[arg(long, value_name = "DIR")]
    pub(super) bundle_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) registries: RegistryArgs,
    #[command(flatten)]
    pub(super) store: StoreArgs,
    #[command(flatten)]
    pub(super) driver: DriverArgs,
    #[command(flatten)]
    pub(super) cell: CellArgs,
}

#[derive(clap::Args, Debug)]
pub(super) struct BundleArgs {
    /// Directory that the cell sees as its root; never written to. `/` is the host's own userland
    #[arg(long, value_name = "DIR")]
    pub(super) rootfs: PathBuf,
    /// Directory to write the bundle to
    #[arg(long, value_name = "DIR")]
    pub(super) bundle_dir: PathBuf,
    #[command(flatten)]
    pub(super) cell: CellArgs,
}

#[derive(clap::Args, Debug)]
pub(super) struct DoctorArgs {
    /// `table` or `json`
    #[arg(long, default_value = "table")]
    pub(super) format: Format,
    #[command(flatten)]
    pub(super) driver: DriverArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(super) enum Format {
    Table,
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        Args::command().debug_assert();
    }

    #[test]
    fn everything_behind_the_command_is_the_commands() {
        let args = ["hotcell", "run", "--rootfs", "/", "sh", "-c", "x", "--rm"];
        let Command::Run(args) = Args::try_parse_from(args).unwrap().command else {
            unreachable!("run was typed")
        };
        assert_eq!(args.cell.command, ["sh", "-c", "x", "--rm"]);
        assert!(!args.rm);
    }
}
