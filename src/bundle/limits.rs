//! The limits of a cell, each in one unit, and their form in the specification.

use std::str::FromStr;

use oci_spec::runtime::{
    LinuxCpuBuilder, LinuxDeviceCgroupBuilder, LinuxMemoryBuilder, LinuxPidsBuilder,
    LinuxResources, LinuxResourcesBuilder, PosixRlimitType,
};

use super::{Error, units};

/// A size in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = Error;

    /// `64m`, `1.5g`, `4096`: units are powers of 1024.
    fn from_str(text: &str) -> Result<Bytes, Error> {
        units::parse_bytes(text)
    }
}

/// Thousandths of one CPU.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct MilliCpu(pub u32);

impl FromStr for MilliCpu {
    type Err = Error;

    /// CPUs as a decimal number: `0.5`.
    fn from_str(text: &str) -> Result<MilliCpu, Error> {
        units::parse_cpus(text)
    }
}

impl MilliCpu {
    /// Quota and period in microseconds. The period is 100 ms, as Docker's and fn's; below 10
    /// milli-CPU it is 1 s, because the kernel takes no quota under 1 ms. So no amount is rounded
    /// or clamped.
    #[must_use]
    pub fn quota_and_period_us(self) -> (i64, u64) {
        match self.0 {
            ..10 => (i64::from(self.0) * 1000, 1_000_000),
            10.. => (i64::from(self.0) * 100, 100_000),
        }
    }
}

/// A resource limit of every process in the cell, as in `setrlimit(2)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rlimit {
    /// Which resource.
    pub resource: PosixRlimitType,
    /// What a process gets; it may raise it up to `hard`. In the resource's own unit; `u64::MAX`
    /// is "unlimited".
    pub soft: u64,
    /// What no process without `CAP_SYS_RESOURCE` can exceed.
    pub hard: u64,
}

/// What a cell may use. `None`: as much as there is.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Limits {
    /// Memory, page cache and tmpfs included. The kernel rounds down to whole pages. Swap is
    /// never used beyond it: the limit on memory and swap together is the same.
    pub memory: Option<Bytes>,
    /// CPU time: a quota in each period.
    pub cpu: Option<MilliCpu>,
    /// Processes and threads at once, an init of ours included.
    pub pids: Option<u32>,
    /// Limits of each process. A resource that isn't named keeps the embedder's limits.
    pub rlimits: Vec<Rlimit>,
}

impl Limits {
    /// The limits as the specification's `linux.resources`.
    ///
    /// # Errors
    /// When a value is out of range.
    pub fn to_resources(&self) -> Result<LinuxResources, Error> {
        // Deny first: every runtime, this one included, then allows the harmless ones.
        let no_devices = LinuxDeviceCgroupBuilder::default().allow(false).access("rwm").build()?;
        let mut resources = LinuxResourcesBuilder::default().devices(vec![no_devices]);
        if let Some(Bytes(bytes)) = self.memory {
            let limit = i64::try_from(bytes).ok().filter(|limit| *limit > 0).ok_or_else(|| {
                Error::invalid("memory limit", bytes.to_string(), "must be from 1 to 2^63-1 bytes")
            })?;
            let memory = LinuxMemoryBuilder::default().limit(limit).swap(limit).build()?;
            resources = resources.memory(memory);
        }
        if let Some(cpu) = self.cpu {
            if cpu.0 == 0 {
                return Err(Error::invalid("milli-CPU", "0", "must be more than 0"));
            }
            let (quota, period) = cpu.quota_and_period_us();
            resources =
                resources.cpu(LinuxCpuBuilder::default().quota(quota).period(period).build()?);
        }
        if let Some(pids) = self.pids {
            if pids == 0 {
                return Err(Error::invalid("pids limit", "0", "must be more than 0"));
            }
            resources = resources.pids(LinuxPidsBuilder::default().limit(i64::from(pids)).build()?);
        }
        Ok(resources.build()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_milli_cpu_is_exact_and_above_the_kernels_minimum() {
        for milli in 1..=20_000 {
            let (quota, period) = MilliCpu(milli).quota_and_period_us();
            assert!(quota >= 1000, "{milli}");
            assert_eq!(quota.unsigned_abs() * 1000, u64::from(milli) * period, "{milli}");
        }
    }

    #[test]
    fn memory_leaves_no_swap() {
        let limits = Limits { memory: Some(Bytes(1 << 20)), ..Limits::default() };
        let resources = limits.to_resources().unwrap();
        let memory = resources.memory().as_ref().unwrap();
        assert_eq!((memory.limit(), memory.swap()), (Some(1 << 20), Some(1 << 20)));
    }

    #[test]
    fn zero_is_no_limit_anybody_wants() {
        for limits in [
            Limits { memory: Some(Bytes(0)), ..Limits::default() },
            Limits { cpu: Some(MilliCpu(0)), ..Limits::default() },
            Limits { pids: Some(0), ..Limits::default() },
        ] {
            assert!(limits.to_resources().is_err());
        }
    }
}
