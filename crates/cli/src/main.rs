//! The `isovec` program: thin, over the `isovec` crate. Data goes to standard output, progress and
//! errors to standard error; the exit code is 0 if all went well, 1 if not, 2 for wrong usage and
//! 130 if interrupted.

mod args;
mod commands;
mod destination;
mod images;
mod input;
mod output;
mod page;
mod pairs;
mod progress;

use std::process::ExitCode;

use clap::Parser;
use isovec::ErrorKind;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has seen enough (`| head`).
        Err(e) if is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            report(&e);
            ExitCode::from(if e.kind() == ErrorKind::Cancelled { 130 } else { 1 })
        }
    }
}

#[expect(clippy::print_stderr, reason = "this is where errors reach people")]
fn report(error: &isovec::Error) {
    eprintln!("isovec: error: {error}");
}

fn is_broken_pipe(error: &isovec::Error) -> bool {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|source| source.kind() == std::io::ErrorKind::BrokenPipe)
}
