//! The command line as its users meet it: every verb through the binary, by its exit status, standard output, standard
//! error and the files it leaves.
#![cfg(feature = "cli")]
// Tests state expectations by panicking.

#[allow(unreachable_pub)] // shared with tests that are one file
#[path = "../common/mod.rs"]
mod common;
mod support;

mod engram;
mod engram_index;
mod engram_print;
mod engram_state;
#[cfg(target_os = "linux")]
mod faults;
mod frames;
mod fuzz_corpus;
mod gist;
mod gist_mask;
mod gist_niah;
mod ledger;
mod ledger_trouble;
mod main_job;
mod matrices;
mod mirror;
mod mirror_trouble;
mod names;
mod options;
mod recover;
#[cfg(target_os = "linux")]
mod trouble;
mod vectors;
