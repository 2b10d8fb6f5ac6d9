//! How the `faas` program is linked.
use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Three quarters of the time that a short command takes went into moving 23,000 pointers to where the program was
    // loaded. At a fixed place, as Go programs have it, there is nothing to move. Heap, stack and libraries stay random.
    if variable("CARGO_CFG_TARGET_OS") == "linux" && variable("CARGO_CFG_TARGET_ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bin=faas=-no-pie");
    }
    // Functions that came out alike, once: 0.2 MB.
    if variable("PROFILE") == "release" && links_by_lld() {
        println!("cargo:rustc-link-arg-bin=faas=-Wl,--icf=all");
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// Whether the linker is LLVM's, which rustc brings along and takes for this target unless told otherwise. Others may
/// not know its flags.
fn links_by_lld() -> bool {
    let target = variable("TARGET");
    let told = variable("CARGO_ENCODED_RUSTFLAGS").contains("link") || !variable("RUSTC_LINKER").is_empty();
    if target != "x86_64-unknown-linux-gnu" || told {
        return false;
    }
    let sysroot = std::process::Command::new(variable("RUSTC")).args(["--print", "sysroot"]).output();
    sysroot.is_ok_and(|output| {
        let root = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Path::new(&root).join("lib/rustlib").join(target).join("bin/gcc-ld/ld.lld").exists()
    })
}
