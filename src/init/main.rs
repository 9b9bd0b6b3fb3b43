//! The init as a program: entry point, the memory routines the compiler calls, and nothing else.
#![no_std]
#![no_main]

#[path = "mod.rs"]
pub mod init;
#[path = "../sys/abi.rs"]
pub mod abi;
#[path = "../sys/raw.rs"]
pub mod raw;

/// The names under which the shared files know each other in the library.
pub mod sys {
    pub use super::{abi, raw};
}

core::arch::global_asm!(
    ".globl _start",
    "_start:",
    #[cfg(target_arch = "x86_64")]
    "xor ebp, ebp",
    #[cfg(target_arch = "x86_64")]
    "and rsp, -16",
    #[cfg(target_arch = "x86_64")]
    "call {main}",
    #[cfg(target_arch = "x86_64")]
    "ud2",
    #[cfg(target_arch = "aarch64")]
    "mov x29, xzr",
    #[cfg(target_arch = "aarch64")]
    "bl {main}",
    #[cfg(target_arch = "aarch64")]
    "brk 1",
    main = sym main,
);

extern "C" fn main() -> ! {
    init::run::run()
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    init::run::abort()
}

// The compiler emits calls to these whatever the code says; there is no libc to find them in.
// They copy bytewise with volatile-free pointer loops that LLVM must not turn back into calls.

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller promises `count` valid bytes on both sides.
    unsafe {
        core::arch::asm!("rep movsb", inout("rcx") count => _, inout("rdi") to => _,
            inout("rsi") from => _, options(nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "x86_64"))]
    for at in 0..count {
        // SAFETY: the caller promises `count` valid bytes on both sides.
        unsafe { to.add(at).write_volatile(from.add(at).read_volatile()) };
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if (to as usize) <= (from as usize) || (to as usize) >= from as usize + count {
        // SAFETY: a forward copy never overwrites what it has still to read.
        return unsafe { memcpy(to, from, count) };
    }
    for at in (0..count).rev() {
        // SAFETY: the caller promises `count` valid bytes on both sides.
        unsafe { to.add(at).write_volatile(from.add(at).read_volatile()) };
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller promises `count` valid bytes.
    unsafe {
        core::arch::asm!("rep stosb", inout("rcx") count => _, inout("rdi") to => _,
            in("al") value as u8, options(nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "x86_64"))]
    for at in 0..count {
        // SAFETY: the caller promises `count` valid bytes.
        unsafe { to.add(at).write_volatile(value as u8) };
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    for at in 0..count {
        // SAFETY: the caller promises `count` valid bytes on both sides.
        let (a, b) = unsafe { (left.add(at).read_volatile(), right.add(at).read_volatile()) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    // SAFETY: the same promise.
    unsafe { memcmp(left, right, count) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: the caller promises a terminating NUL.
    while unsafe { text.add(length).read_volatile() } != 0 {
        length += 1;
    }
    length
}

/// Named by the unwinding tables of the precompiled core library; nothing here unwinds.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
