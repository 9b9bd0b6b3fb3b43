//! The flags of `exec`.

use std::path::PathBuf;

use clap::Args;

#[derive(Args)]
pub(in super::super) struct ExecArgs {
    /// A socket that gets the process's terminal
    #[arg(long, value_name = "SOCKET")]
    pub(in super::super) console_socket: Option<PathBuf>,
    /// The working directory
    #[arg(long, value_name = "DIR")]
    pub(in super::super) cwd: Option<PathBuf>,
    /// A variable of the environment, NAME=VALUE; more than once
    #[arg(short, long, value_name = "VARIABLE")]
    pub(in super::super) env: Vec<String>,
    /// Give it a terminal
    #[arg(short, long)]
    pub(in super::super) tty: bool,
    /// UID or UID:GID
    #[arg(short, long, value_name = "IDS")]
    pub(in super::super) user: Option<String>,
    /// A further group; more than once
    #[arg(short = 'g', long, value_name = "GID")]
    pub(in super::super) additional_gids: Vec<u32>,
    /// A file with the process as JSON; other options about it count for nothing then
    #[arg(short, long, value_name = "FILE")]
    pub(in super::super) process: Option<PathBuf>,
    /// Return when it has been started
    #[arg(short, long)]
    pub(in super::super) detach: bool,
    /// A file that gets the process's number
    #[arg(long, value_name = "FILE")]
    pub(in super::super) pid_file: Option<PathBuf>,
    /// An SELinux label
    #[arg(long, value_name = "LABEL")]
    pub(in super::super) process_label: Option<String>,
    /// An AppArmor profile
    #[arg(long, value_name = "PROFILE")]
    pub(in super::super) apparmor: Option<String>,
    /// It can't gain privileges
    #[arg(long)]
    pub(in super::super) no_new_privs: bool,
    /// A further capability; more than once
    #[arg(short, long, value_name = "CAPABILITY")]
    pub(in super::super) cap: Vec<String>,
    /// Hand on this many descriptors behind the three streams
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub(in super::super) preserve_fds: u32,
    /// A cgroup inside the container's that it joins, [CONTROLLER[,CONTROLLER]:]PATH; more than once
    /// with controllers
    #[arg(long, value_name = "CGROUP")]
    pub(in super::super) cgroup: Vec<String>,
    /// Enter a container that is paused, too
    #[arg(long)]
    pub(in super::super) ignore_paused: bool,
    /// The container's id
    #[arg(value_name = "ID")]
    pub(in super::super) id: String,
    /// The command
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    pub(in super::super) command: Vec<String>,
}
