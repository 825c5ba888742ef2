//! `defmt::Format` where deriving it would say too little, or too much: for logs that a device sends as numbers, and that are
//! put into words on the host. Nothing here takes `core::fmt` along.
//!
//! Whoever logs brings the logger (`#[defmt::global_logger]`). A program that logs nothing links without one, on a host too: the
//! linker drops what nothing calls, unless it is told to keep dead code.

use defmt::{Format, Formatter, write};

use crate::beacon::{Beacon, Step};
use crate::engram::state::LayoutSet;
use crate::error::{Error, Snippet};
use crate::frame::{
    Config, ContextHash, ContextRef, Flags, Frame, FrameHeader, IntactFrame, Kind, RoutingKey, Tlv,
};

impl Format for Error {
    /// As `Display`, with the kind's fields by name.
    fn format(&self, f: Formatter<'_>) {
        match self.place() {
            Some(offset) => write!(f, "{} (at byte {=u64})", self.kind(), offset),
            None => write!(f, "{}", self.kind()),
        }
    }
}

impl Format for Snippet {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "{=[u8]:a}", self.as_bytes());
        if self.is_cut() {
            write!(f, "...");
        }
    }
}

impl Format for LayoutSet {
    /// How many: their names would take more flash than all other words here.
    fn format(&self, f: Formatter<'_>) {
        write!(f, "{=usize} layouts", self.iter().count());
    }
}

impl Format for Kind {
    fn format(&self, f: Formatter<'_>) {
        match *self {
            Self::BEACON => write!(f, "beacon"),
            Self::LEDGER_CHUNK => write!(f, "ledger chunk"),
            Self::LEDGER_INDEX => write!(f, "ledger index"),
            Self::MIRROR => write!(f, "mirror"),
            Self::ENGRAM_INDEX => write!(f, "engram index"),
            Self::GIST => write!(f, "gist"),
            Self::BLOCKS => write!(f, "blocks"),
            Self::WHITENING => write!(f, "whitening"),
            Self(other) => write!(f, "kind {=u8}", other),
        }
    }
}

impl Format for Flags {
    fn format(&self, f: Formatter<'_>) {
        write!(
            f,
            "Flags {{ authenticated: {=bool}, alert: {=bool}, baseline: {=bool} }}",
            self.authenticated(),
            self.alert(),
            self.baseline()
        );
    }
}

impl Format for ContextHash {
    /// 16 hexadecimal digits.
    fn format(&self, f: Formatter<'_>) {
        write!(f, "{=u64:016x}", u64::from_be_bytes(self.0));
    }
}

impl Format for ContextRef<'_> {
    /// Its hash.
    fn format(&self, f: Formatter<'_>) {
        self.hash().format(f);
    }
}

impl Format for RoutingKey {
    /// 64 hexadecimal digits.
    fn format(&self, f: Formatter<'_>) {
        for word in self.as_bytes().as_chunks().0 {
            write!(f, "{=u64:016x}", u64::from_be_bytes(*word));
        }
    }
}

impl Format for Tlv<'_> {
    /// Type, place and length: a device does not log a value of up to 65,535 bytes by accident.
    fn format(&self, f: Formatter<'_>) {
        write!(
            f,
            "TLV {=u8:02X} of {=usize} bytes (at byte {=u64})",
            self.tlv_type,
            self.value.len(),
            self.offset
        );
    }
}

/// What a header says.
fn header(f: Formatter<'_>, ctx: ContextHash, config: &Config, len: u64) {
    let Config { kind, element, rows, dim, payload_len, .. } = *config;
    write!(
        f,
        "{} of context {}: {=u32} x {=u32} {}, header {=u64} bytes, payload {=u64} bytes",
        kind, ctx, rows, dim, element, len, payload_len
    );
}

impl Format for FrameHeader<'_> {
    fn format(&self, f: Formatter<'_>) {
        header(f, self.ctx(), self.config(), self.len());
        if self.has_hmac() {
            write!(f, ", with HMAC_V1");
        }
    }
}

impl Format for IntactFrame<'_> {
    /// Its header.
    fn format(&self, f: Formatter<'_>) {
        self.header().format(f);
    }
}

impl Format for Frame<'_> {
    /// Its header.
    fn format(&self, f: Formatter<'_>) {
        self.header().format(f);
    }
}

#[cfg(feature = "hmac")]
impl Format for crate::frame::AuthenticatedFrame<'_> {
    /// Its header.
    fn format(&self, f: Formatter<'_>) {
        header(f, self.ctx(), self.config(), self.payload_offset());
        write!(f, ", authentic");
    }
}

#[cfg(feature = "hmac")]
impl Format for crate::frame::Key {
    /// Nothing of it.
    fn format(&self, f: Formatter<'_>) {
        write!(f, "Key(..)");
    }
}

impl Format for Step {
    /// In units of 2^-16, as in CONFIG_V1.
    fn format(&self, f: Formatter<'_>) {
        write!(f, "Step({=u32})", self.get());
    }
}

impl Format for Beacon<'_> {
    /// Its shape, step, and drift.
    fn format(&self, f: Formatter<'_>) {
        write!(f, "beacon of {=u32} x {=u32}, {}", self.rows(), self.dim(), self.step());
        if let Some(results) = self.results() {
            write!(f, ", {}", results);
        }
        if self.alert() {
            write!(f, ", ALERT");
        }
    }
}
