//! The command line of Tidestore.

/// The service makes some hundred small allocations a call, on whatever thread has time, and frees them on another: glibc's
/// allocator took a fifth of its processor time. `benches/README.md` has both.
#[cfg(feature = "service")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    tidestore_cli::run()
}
