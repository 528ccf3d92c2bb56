//! The `trailhound` binary.

/// Once a block of memory of this size has been given back, the allocator of glibc keeps smaller ones for later in place
/// of giving each back to the system: columns of flows are 5 MB, and loading flows takes 0.98 of the time, with 0.65 of
/// the page faults (`benches/peers`). It learns that by itself, but only from a block it has seen.
const KEPT_BYTES: usize = 8 << 20;

fn main() -> std::process::ExitCode {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(KEPT_BYTES)));
    trailhound::cli::run()
}
