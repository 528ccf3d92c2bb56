//! The `trailhound` binary.

fn main() {}
