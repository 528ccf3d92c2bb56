//! The `trailhound` binary.

fn main() -> std::process::ExitCode {
    trailhound::cli::run()
}
