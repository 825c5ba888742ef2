//! The checks, where a program can be started.

fn main() {
    bitwire_targets::run(|line| println!("{line}"));
}
