//! The limits of a cell, each in one unit, and their form in the specification.

use oci_spec::runtime::{
    LinuxCpuBuilder, LinuxDeviceCgroupBuilder, LinuxMemoryBuilder, LinuxPidsBuilder,
    LinuxResources, LinuxResourcesBuilder, PosixRlimitType,
};

use super::Error;
use super::units::{Bytes, MilliCpu};

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
    /// Limits of each process. A resource that isn't named keeps the embedder's limits, but for
    /// core files, of which there are none then.
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
