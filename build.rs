//! How the `faas` program is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = |name: &str| std::env::var(name).unwrap_or_default();
    // Three quarters of the time that a short command takes went into moving 23,000 pointers to where the program was
    // loaded. At a fixed place, as Go programs have it, there is nothing to move. Heap, stack and libraries stay random.
    if target("CARGO_CFG_TARGET_OS") == "linux" && target("CARGO_CFG_TARGET_ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bin=faas=-no-pie");
    }
}
