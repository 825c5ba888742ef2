//! The command line: every verb calls one function of the library and prints what it found.
#![deny(unsafe_code)]

mod args;
mod beacon;
mod exit;
mod explain;
mod input;
mod keys;
mod scl;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{BeaconVerb, Cli, SclVerb, Verb};
use exit::{Outcome, Output, Problem};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // --help and --version are results; the rest is bad usage. A reader that went away needs neither.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let mut out = Output::default();
    let outcome = run(cli.verb, &mut out).and_then(|outcome| out.flush().map(|()| outcome));
    match outcome {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Invalid) => ExitCode::from(1),
        Err(problem) => {
            // What was found before the problem is still a result.
            let _ = out.flush();
            problem.report();
            ExitCode::from(problem.status())
        }
    }
}

fn run(verb: Verb, out: &mut Output) -> Result<Outcome, Problem> {
    match verb {
        Verb::Beacon { verb: BeaconVerb::Emit(args) } => beacon::emit(&args, out),
        Verb::Beacon { verb: BeaconVerb::Show(args) } => beacon::show(&args, out),
        Verb::Verify(args) => verify::verify(&args, out),
        Verb::Route(args) => verify::route(&args, out),
        Verb::Inspect(args) => explain::inspect(&args, out),
        Verb::Scl { verb: SclVerb::Export(args) } => scl::export(&args, out),
        Verb::Scl { verb: SclVerb::Import(args) } => scl::import(&args, out),
        Verb::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "bitwire", out.bytes());
            Ok(Outcome::Good)
        }
        Verb::Man => {
            args::man(out.bytes())?;
            Ok(Outcome::Good)
        }
    }
}
