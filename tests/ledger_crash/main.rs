//! What a ledger is after a power cut, a full disk or a failing one.
#![cfg(feature = "std")]

mod crashes;
mod disk;
mod disk_itself;
mod faults;
mod run;
mod tails;
