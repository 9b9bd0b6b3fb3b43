//! The architectures whose system calls a filter can meet on the machines hotcell runs on.

use oci_spec::runtime::Arch;

/// A set of system call numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Architecture {
    /// x86-64.
    X86_64,
    /// x32: 32-bit pointers on x86-64, its numbers marked by a high bit.
    X32,
    /// 32-bit x86.
    I386,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM.
    Arm,
}

/// What marks the numbers of x32, which share their architecture with x86-64's.
pub(super) const X32_BIT: u32 = 0x4000_0000;

impl Architecture {
    /// What this program was built for.
    #[cfg(target_arch = "x86_64")]
    pub const NATIVE: Architecture = Architecture::X86_64;
    /// What this program was built for.
    #[cfg(target_arch = "aarch64")]
    pub const NATIVE: Architecture = Architecture::Aarch64;

    /// All of them, in the order of the system call table's columns.
    pub(super) const ALL: [Architecture; 5] = [
        Architecture::X86_64,
        Architecture::X32,
        Architecture::I386,
        Architecture::Aarch64,
        Architecture::Arm,
    ];

    /// The kernel's `AUDIT_ARCH_*`, which a filter reads.
    #[must_use]
    pub fn audit(self) -> u32 {
        match self {
            Architecture::X86_64 | Architecture::X32 => 0xc000_003e,
            Architecture::I386 => 0x4000_0003,
            Architecture::Aarch64 => 0xc000_00b7,
            Architecture::Arm => 0x4000_0028,
        }
    }

    /// Whether a kernel of `native` runs programs of this architecture.
    pub(super) fn runs_on(self, native: Architecture) -> bool {
        match native {
            Architecture::X86_64 => !matches!(self, Architecture::Aarch64 | Architecture::Arm),
            Architecture::Aarch64 => matches!(self, Architecture::Aarch64 | Architecture::Arm),
            other => self == other,
        }
    }

    /// Whether arguments are 32 bits wide: what a register holds beyond them means nothing.
    pub(super) fn is_narrow(self) -> bool {
        !matches!(self, Architecture::X86_64 | Architecture::Aarch64)
    }

    /// The architecture under its name in a specification, unless it is none that hotcell knows.
    pub(super) fn from_oci(arch: Arch, native: Architecture) -> Option<Architecture> {
        match arch {
            Arch::ScmpArchNative => Some(native),
            Arch::ScmpArchX86_64 => Some(Architecture::X86_64),
            Arch::ScmpArchX32 => Some(Architecture::X32),
            Arch::ScmpArchX86 => Some(Architecture::I386),
            Arch::ScmpArchAarch64 => Some(Architecture::Aarch64),
            Arch::ScmpArchArm => Some(Architecture::Arm),
            _ => None,
        }
    }

    /// Its name in a specification.
    #[must_use]
    pub fn to_oci(self) -> Arch {
        match self {
            Architecture::X86_64 => Arch::ScmpArchX86_64,
            Architecture::X32 => Arch::ScmpArchX32,
            Architecture::I386 => Arch::ScmpArchX86,
            Architecture::Aarch64 => Arch::ScmpArchAarch64,
            Architecture::Arm => Arch::ScmpArchArm,
        }
    }

    /// Its name in the `arches` of a profile.
    pub(super) fn in_profiles(self) -> &'static str {
        match self {
            Architecture::X86_64 => "amd64",
            Architecture::X32 => "x32",
            Architecture::I386 => "x86",
            Architecture::Aarch64 => "arm64",
            Architecture::Arm => "arm",
        }
    }
}
