//! The command line: every verb calls one function of the library and prints what it found.
#![deny(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod args;
mod beacon;
mod engram;
mod exit;
mod explain;
mod floats;
mod fuzz_corpus;
mod gist;
mod input;
mod keys;
mod ledger;
mod mirror;
mod progress;
mod recover;
mod scl;
mod vectors;
mod verify;

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use bitwire::io::Escaped;
use clap::{CommandFactory, Parser};

use args::{BeaconVerb, Cli, SclVerb, Verb};
use exit::{Outcome, Output, Problem};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            return usage(error);
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

/// Prints help or the version, which are results, or what is wrong with the arguments.
fn usage(error: clap::Error) -> ExitCode {
    if error.use_stderr() {
        // What the message quotes may be the name of a file that a shell put there: it is made up again from arguments
        // that cannot steer a terminal.
        let quoted = env::args_os().map(|arg| Escaped::path(Path::new(&arg)).to_string());
        let _ = Cli::try_parse_from(quoted).err().unwrap_or(error).print();
        return ExitCode::from(2);
    }
    match error.print().and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let problem = Problem::from(error);
            problem.report();
            ExitCode::from(problem.status())
        }
        _ => ExitCode::SUCCESS,
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
        Verb::Ledger { verb } => ledger::run(verb, out),
        Verb::Mirror { verb } => mirror::run(verb, out),
        Verb::Engram { verb } => engram::run(verb, out),
        Verb::Gist { verb } => gist::run(verb, out),
        Verb::Recover(args) => recover::recover(&args, out),
        Verb::FuzzCorpus(args) => fuzz_corpus::fuzz_corpus(&args, out),
        Verb::Vectors { verb } => vectors::run(verb, out),
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
