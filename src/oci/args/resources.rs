//! The flags of `update`.

use clap::Args;

#[derive(Args)]
pub(in super::super) struct UpdateArgs {
    /// A file with the specification's resources as JSON, - for standard input; then other options
    /// count for nothing
    #[arg(short, long, value_name = "FILE")]
    pub(in super::super) resources: Option<String>,
    #[command(flatten)]
    pub(in super::super) limits: Limits,
    /// The container's id
    #[arg(value_name = "ID")]
    pub(in super::super) id: String,
}

// Numbers are the specification's; bytes may have a unit, and -1 is no limit.
#[derive(Args)]
#[command(allow_negative_numbers = true)]
pub(in super::super) struct Limits {
    /// Memory in bytes
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub(in super::super) memory: Option<String>,
    /// Memory that it may keep when the host runs short
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub(in super::super) memory_reservation: Option<String>,
    /// Memory and swap together
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub(in super::super) memory_swap: Option<String>,
    /// CPU time in a period, in microseconds
    #[arg(long, value_name = "US")]
    pub(in super::super) cpu_quota: Option<i64>,
    /// The length of a period, in microseconds
    #[arg(long, value_name = "US")]
    pub(in super::super) cpu_period: Option<u64>,
    /// CPU time beyond the quota, in microseconds
    #[arg(long, value_name = "US")]
    pub(in super::super) cpu_burst: Option<u64>,
    /// The weight against other cgroups, 2 to 262144
    #[arg(long, value_name = "SHARES", visible_alias = "cpu-shares")]
    pub(in super::super) cpu_share: Option<u64>,
    /// Real-time CPU in a period, in microseconds
    #[arg(long, value_name = "US")]
    pub(in super::super) cpu_rt_runtime: Option<i64>,
    /// The length of a real-time period, in microseconds
    #[arg(long, value_name = "US")]
    pub(in super::super) cpu_rt_period: Option<u64>,
    /// 1: only when nobody else wants the CPU
    #[arg(long, value_name = "0|1")]
    pub(in super::super) cpu_idle: Option<i64>,
    /// The CPUs it may run on: 0-2,7
    #[arg(long, value_name = "LIST")]
    pub(in super::super) cpuset_cpus: Option<String>,
    /// The memory nodes it may use
    #[arg(long, value_name = "LIST")]
    pub(in super::super) cpuset_mems: Option<String>,
    /// Processes and threads
    #[arg(long, value_name = "COUNT")]
    pub(in super::super) pids_limit: Option<i64>,
    /// The weight of block I/O, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    pub(in super::super) blkio_weight: Option<u16>,
    /// Not supported
    #[arg(long, value_name = "SCHEMA")]
    pub(in super::super) l3_cache_schema: Option<String>,
    /// Not supported
    #[arg(long, value_name = "SCHEMA")]
    pub(in super::super) mem_bw_schema: Option<String>,
}
