//! Compiles the init (`src/init/main.rs`) for the target and leaves it where the library embeds it.
//!
//! The init is a program of its own: `no_std`, no libc, its own `_start`. Cargo cannot build such a
//! program as part of a library, so this script calls the same `rustc` once more.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(hotcell_init)");
    println!("cargo:rerun-if-changed=src/init");
    println!("cargo:rerun-if-changed=src/sys/raw.rs");
    println!("cargo:rerun-if-changed=src/sys/abi.rs");

    let target = env::var("TARGET").expect("cargo sets TARGET");
    let out =
        PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("hotcell-init");
    let mut rustc = Command::new(env::var_os("RUSTC").expect("cargo sets RUSTC"));
    rustc
        .args(["--crate-name", "hotcell_init", "--crate-type", "bin", "--edition", "2024"])
        .args(["--cfg", "hotcell_init", "--target", &target, "-o"])
        .arg(&out)
        .args(["-C", "opt-level=2", "-C", "panic=abort", "-C", "codegen-units=1"])
        // No symbols, no unwinding tables: the file is read into a memfd at every driver start.
        .args(["-C", "debuginfo=0", "-C", "strip=symbols", "-C", "force-unwind-tables=no"])
        // A fixed load address needs no relocation at start.
        .args(["-C", "relocation-model=static", "-C", "overflow-checks=no"]);
    for arg in [
        "-nostartfiles",
        "-nostdlib",
        "-static",
        "-Wl,--build-id=none",
        "-Wl,--no-eh-frame-hdr",
        "-Wl,-z,max-page-size=4096",
        "-Wl,-z,norelro",
        "-Wl,-T,src/init/init.ld",
    ] {
        rustc.arg("-C").arg(format!("link-arg={arg}"));
    }
    if env::var_os("CARGO_FEATURE_FAULT_INJECTION").is_some() {
        rustc.args(["--cfg", "feature=\"fault-injection\""]);
    }
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={}", linker.to_string_lossy()));
    }
    rustc.arg("src/init/main.rs");

    let status = rustc.status().expect("rustc starts");
    assert!(status.success(), "compiling the init for {target} failed: {status}");
}
