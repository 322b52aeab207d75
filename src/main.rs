//! The program; everything it does is in the library.

use std::process::ExitCode;

/// Answers are many small pieces of memory of many threads; the system's allocator took a fifth of a request's time.
/// Without huge pages (`no_thp`): with them an idle process keeps a third more.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    insula::cli::main()
}
