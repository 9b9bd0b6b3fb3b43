//! What Docker gives a container when nobody asks for anything else.

use oci_spec::runtime::Capability;

/// The search path of a command without a slash.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The file mode creation mask.
pub(super) const UMASK: u32 = 0o022;

/// Docker's fourteen capabilities.
pub const CAPABILITIES: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Mknod,
    Capability::NetRaw,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setfcap,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
    Capability::AuditWrite,
];

/// Hidden because they tell of the host or of other cells; the switches of the kernel's debugging
/// messages because the root of a cell could set them, and Docker leaves them to AppArmor.
pub const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/dynamic_debug",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
];

/// Hidden where the kernel has it: power readings tell what other cells compute.
pub(super) const MASKED_POWER: &str = "/sys/devices/virtual/powercap";

/// Readable, because programs look there; not writable, because they are the host's.
pub const READONLY_PATHS: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
