//! The command line of Tidestore.

fn main() -> std::process::ExitCode {
    tidestore_cli::run()
}
