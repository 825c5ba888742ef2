//! Every check of tests/vectors, as a program and as a WebAssembly module. See run.sh.
// A check that is not in the list below.
#![deny(dead_code)]

#[path = "../../vectors/main.rs"]
mod vectors;

use vectors::{Held, accumulated, certificate, engram, gist, ledger, mirror, stream, whitening};

#[cfg(target_arch = "wasm32")]
pub use wasm::say;

const CHECKS: &[fn() -> Held] = &[
    vectors::frames,
    vectors::beacons,
    vectors::contexts,
    vectors::mu16_values,
    accumulated::accumulated,
    certificate::certificates,
    engram::states,
    engram::indexes,
    gist::gists,
    ledger::chunks,
    ledger::indexes,
    #[cfg(feature = "std")]
    ledger::ledgers,
    ledger::packing,
    ledger::proofs,
    mirror::mirrors,
    stream::streams,
    whitening::whitenings,
];

/// Runs them all, and says what held. Panics at the first case that does not hold, after naming it.
pub fn run(say: impl Fn(&str)) {
    let target = format!(
        "{}-bit {}-endian, features:{}{}",
        usize::BITS,
        if cfg!(target_endian = "big") { "big" } else { "little" },
        if cfg!(feature = "std") { " std" } else { " alloc" },
        if cfg!(feature = "simd") { " simd" } else { "" },
    );
    say(&target);
    let mut cases = 0;
    for check in CHECKS {
        let held = check();
        say(&held.to_string());
        cases += held.cases;
    }
    if cfg!(not(feature = "std")) {
        say("ledger.json          left out: a reader of whole ledgers needs std");
    }
    say(&format!("{cases} cases of {} files hold", CHECKS.len()));
}

/// What a host has to give, and what it may call.
#[cfg(target_arch = "wasm32")]
mod wasm {
    #[link(wasm_import_module = "host")]
    unsafe extern "C" {
        #[link_name = "say"]
        fn host_say(text: *const u8, len: usize);
    }

    pub fn say(text: &str) {
        // SAFETY: the host reads so many bytes of the module's memory and keeps none.
        unsafe { host_say(text.as_ptr(), text.len()) }
    }

    // SAFETY: nothing else has this name.
    #[unsafe(no_mangle)]
    extern "C" fn run() {
        super::run(say);
    }
}
