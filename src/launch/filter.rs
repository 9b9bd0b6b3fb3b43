//! The system call filter that every cell without a profile of its own runs under: small and fixed.
//!
//! It closes the ways around what the rest of the launch settles. Root in a new user namespace may
//! mount cgroup hierarchies, and the files in them belong to the same user as outside: it could lift
//! its own limits. Keyrings are not divided by any namespace. Programs of another architecture call
//! other numbers, so they don't run.

use crate::sys::raw::nr;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
#[cfg(target_endian = "little")]
const FIRST_ARGUMENT: u32 = 16;

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;

const CLONE_NEWUSER: u32 = 0x1000_0000;
/// Numbers from here on are x32's, another set of calls of the x86-64 architecture.
const X32: u32 = 0x4000_0000;

const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0x8000_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const JUMP_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

/// One instruction of classic BPF as the kernel lays it out.
fn instruction(code: u16, then: u8, otherwise: u8, value: u32) -> u64 {
    u64::from(code) | u64::from(then) << 16 | u64::from(otherwise) << 24 | u64::from(value) << 32
}

/// The filter's instructions.
pub(super) fn baseline() -> Vec<u64> {
    let answer = |number: usize, answer: u32| {
        [instruction(JUMP_EQUAL, 0, 1, number as u32), instruction(RETURN, 0, 0, answer)]
    };
    let mut code = vec![
        instruction(LOAD, 0, 0, ARCHITECTURE),
        instruction(JUMP_EQUAL, 1, 0, NATIVE),
        instruction(RETURN, 0, 0, KILL),
        instruction(LOAD, 0, 0, NUMBER),
        instruction(JUMP_AT_LEAST, 0, 1, X32),
        instruction(RETURN, 0, 0, KILL),
    ];
    // Flags behind a pointer can't be looked at; every libc falls back to clone.
    code.extend(answer(nr::clone3, ENOSYS));
    for number in [nr::keyctl, nr::add_key, nr::request_key] {
        code.extend(answer(number, EPERM));
    }
    code.extend([
        instruction(JUMP_EQUAL, 2, 0, nr::unshare as u32),
        instruction(JUMP_EQUAL, 1, 0, nr::clone as u32),
        instruction(RETURN, 0, 0, ALLOW),
        instruction(LOAD, 0, 0, FIRST_ARGUMENT),
        instruction(JUMP_SET, 0, 1, CLONE_NEWUSER),
        instruction(RETURN, 0, 0, EPERM),
        instruction(RETURN, 0, 0, ALLOW),
    ]);
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer.
    fn run(architecture: u32, number: u32, argument: u32) -> u32 {
        let (code, mut at, mut loaded) = (baseline(), 0usize, 0u32);
        loop {
            let word = code[at];
            let (then, otherwise) = ((word >> 16) as u8, (word >> 24) as u8);
            let value = (word >> 32) as u32;
            let taken = match word as u16 {
                LOAD => {
                    loaded = match value {
                        NUMBER => number,
                        ARCHITECTURE => architecture,
                        FIRST_ARGUMENT => argument,
                        other => panic!("loads {other}"),
                    };
                    at += 1;
                    continue;
                }
                RETURN => return value,
                JUMP_EQUAL => loaded == value,
                JUMP_AT_LEAST => loaded >= value,
                JUMP_SET => loaded & value != 0,
                other => panic!("runs {other:#x}"),
            };
            at += 1 + usize::from(if taken { then } else { otherwise });
        }
    }

    #[test]
    fn only_what_it_names_is_refused() {
        let refused = [nr::clone3, nr::keyctl, nr::add_key, nr::request_key].map(|n| n as u32);
        for number in 0..600 {
            let answer = run(NATIVE, number, 0x11);
            assert_eq!(answer != ALLOW, refused.contains(&number), "{number}");
        }
        assert_eq!(run(NATIVE, nr::clone3 as u32, 0), ENOSYS);
        assert_eq!(run(NATIVE, nr::keyctl as u32, 0), EPERM);
    }

    #[test]
    fn no_user_namespace_by_either_way() {
        for number in [nr::unshare, nr::clone] {
            assert_eq!(run(NATIVE, number as u32, CLONE_NEWUSER | 0x11), EPERM);
            assert_eq!(run(NATIVE, number as u32, 0x4000_0011), ALLOW);
        }
    }

    #[test]
    fn other_calling_conventions_do_not_run() {
        assert_eq!(run(0x4000_0003, 1, 0), KILL, "i386");
        assert_eq!(run(NATIVE, X32 | 1, 0), KILL);
    }
}
