//! CONFIG_V1 and FLAGS_V1: what a frame holds (spec/frame.md, "CONFIG_V1", "FLAGS_V1").
#![deny(clippy::arithmetic_side_effects)]

use core::fmt;

use zerocopy::byteorder::big_endian::{U16, U32, U64};

use crate::error::{Error, ErrorKind, Result};
use crate::wire::{layout, size};

layout! {
    /// The 24 bytes of CONFIG_V1.
    pub(crate) struct ConfigRaw {
        kind: u8,
        element: u8,
        reserved: U16,
        rows: U32,
        dim: U32,
        delta_q16: U32,
        payload_len: U64,
    }
}

layout! {
    /// The 4 bytes of FLAGS_V1.
    pub(crate) struct FlagsRaw { flags: U32 }
}

/// What kind of artefact a frame carries. Kinds this version does not know are values like any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind(pub u8);

impl Kind {
    /// Drift beacon or quantised matrix.
    pub const BEACON: Self = Self(0);
    /// Chunk of a token ledger.
    pub const LEDGER_CHUNK: Self = Self(1);
    /// Anchor index of a token ledger.
    pub const LEDGER_INDEX: Self = Self(2);
    /// Block-sparse difference against a master.
    pub const MIRROR: Self = Self(3);
    /// Index of engram fingerprints.
    pub const ENGRAM_INDEX: Self = Self(4);
    /// Compressed context.
    pub const GIST: Self = Self(5);
    /// Dense master of blocks.
    pub const BLOCKS: Self = Self(6);
    /// Whitening transform.
    pub const WHITENING: Self = Self(7);

    /// The name in the table of spec/frame.md; "unknown" outside it.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "beacon",
            1 => "ledger chunk",
            2 => "ledger index",
            3 => "mirror",
            4 => "engram index",
            5 => "gist",
            6 => "blocks",
            7 => "whitening",
            _ => "unknown",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The type of the payload's elements, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Element {
    /// Bytes with a structure of their own.
    Structured = 0,
    /// MU16: signed 16-bit multiples of a step.
    I16 = 1,
    /// Unsigned 8-bit.
    U8 = 2,
    /// Unsigned 16-bit.
    U16 = 3,
    /// Unsigned 32-bit.
    U32 = 4,
    /// IEEE 754 binary16.
    F16 = 5,
    /// bfloat16.
    Bf16 = 6,
    /// IEEE 754 binary32.
    F32 = 7,
    /// Signed 8-bit.
    I8 = 8,
    /// Signs, least significant bit first, each row padded to whole bytes.
    Bits = 9,
}

impl Element {
    /// The element with CONFIG_V1 code `code`.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Structured,
            1 => Self::I16,
            2 => Self::U8,
            3 => Self::U16,
            4 => Self::U32,
            5 => Self::F16,
            6 => Self::Bf16,
            7 => Self::F32,
            8 => Self::I8,
            9 => Self::Bits,
            _ => return None,
        })
    }

    /// The CONFIG_V1 code.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The name in the table of spec/frame.md.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Structured => "structured",
            Self::I16 => "i16",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::I8 => "i8",
            Self::Bits => "bits",
        }
    }
}

/// CONFIG_V1, decoded.
///
/// The frame parser trusts `payload_len` alone, and only after comparing it with the bytes that are there;
/// whether `rows`, `dim` and `element` give that length is for the kind's typed view to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// What the frame carries.
    pub kind: Kind,
    /// Type of the payload's elements.
    pub element: Element,
    /// Rows of the payload.
    pub rows: u32,
    /// Columns of the payload.
    pub dim: u32,
    /// MU16 step in units of 2^-16; not 0 if and only if `element` is [`Element::I16`].
    pub delta_q16: u32,
    /// Bytes of the payload.
    pub payload_len: u64,
}

impl Config {
    /// A frame of `kind` to be built; the builder fills in `payload_len`.
    pub const fn new(kind: Kind, element: Element, rows: u32, dim: u32, delta_q16: u32) -> Self {
        Self { kind, element, rows, dim, delta_q16, payload_len: 0 }
    }

    /// Checks the value rules of CONFIG_V1, which starts at `offset`.
    pub(crate) fn from_raw(raw: &ConfigRaw, offset: u64) -> Result<Self> {
        let at = |field: u64, kind| Error::new(kind, offset.saturating_add(field));
        let Some(element) = Element::from_code(raw.element) else {
            return Err(at(1, ErrorKind::Element { found: raw.element }));
        };
        if raw.reserved.get() != 0 {
            return Err(at(2, ErrorKind::Reserved { field: "CONFIG_V1.reserved" }));
        }
        let config = Self {
            kind: Kind(raw.kind),
            element,
            rows: raw.rows.get(),
            dim: raw.dim.get(),
            delta_q16: raw.delta_q16.get(),
            payload_len: raw.payload_len.get(),
        };
        config.check_step().map_err(|kind| at(12, kind))?;
        Ok(config)
    }

    fn check_step(&self) -> Result<(), ErrorKind> {
        if (self.delta_q16 != 0) == (self.element == Element::I16) {
            Ok(())
        } else {
            Err(ErrorKind::DeltaQ16 { element: self.element.code(), found: self.delta_q16 })
        }
    }

    /// The bytes to write; the same rules as for reading.
    pub(crate) fn to_raw(self) -> Result<ConfigRaw> {
        self.check_step().map_err(Error::caller)?;
        Ok(ConfigRaw {
            kind: self.kind.0,
            element: self.element.code(),
            reserved: U16::ZERO,
            rows: U32::new(self.rows),
            dim: U32::new(self.dim),
            delta_q16: U32::new(self.delta_q16),
            payload_len: U64::new(self.payload_len),
        })
    }

    /// Checks that the payload is `rows * dim` elements of `width` bytes. CONFIG_V1 starts at `offset`.
    pub(crate) fn check_payload(&self, width: u64, offset: u64) -> Result<()> {
        let at = offset.saturating_add(16);
        let needed = size("payload", at, &[u64::from(self.rows), u64::from(self.dim), width])?;
        if needed == self.payload_len {
            Ok(())
        } else {
            let found = self.payload_len;
            Err(Error::new(ErrorKind::Shape { field: "CONFIG_V1.payload_len", needed, found }, at))
        }
    }
}

/// FLAGS_V1. A frame without it reads as no flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    const AUTHENTICATED: u32 = 1;
    const ALERT: u32 = 1 << 1;
    const BASELINE: u32 = 1 << 2;
    /// Bits 3 to 15: rejected if set. Bits 16 to 31 are ignored and kept.
    const REJECTED: u32 = 0xFFF8;

    pub(crate) fn from_raw(raw: &FlagsRaw, offset: u64) -> Result<Self> {
        Self::from_bits(raw.flags.get()).map_err(|kind| Error::new(kind, offset))
    }

    const fn from_bits(bits: u32) -> Result<Self, ErrorKind> {
        if bits & Self::REJECTED == 0 { Ok(Self(bits)) } else { Err(ErrorKind::FlagBits { found: bits }) }
    }

    pub(crate) const fn to_raw(self) -> FlagsRaw {
        FlagsRaw { flags: U32::new(self.0) }
    }

    /// All 32 bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// HMAC_V1 is present. No proof: whoever strips the MAC can fix the flags; `Frame::verify` is.
    pub const fn authenticated(self) -> bool {
        self.0 & Self::AUTHENTICATED != 0
    }

    /// The beacon's SDS is at or over its threshold.
    pub const fn alert(self) -> bool {
        self.0 & Self::ALERT != 0
    }

    /// The beacon's drift is against an outside baseline.
    pub const fn baseline(self) -> bool {
        self.0 & Self::BASELINE != 0
    }

    /// The same flags with ALERT and BASELINE as given.
    #[must_use]
    pub const fn with_drift(self, alert: bool, baseline: bool) -> Self {
        self.set(Self::ALERT, alert).set(Self::BASELINE, baseline)
    }

    pub(crate) const fn with_authenticated(self, on: bool) -> Self {
        self.set(Self::AUTHENTICATED, on)
    }

    const fn set(self, bit: u32, on: bool) -> Self {
        Self(if on { self.0 | bit } else { self.0 & !bit })
    }
}

#[cfg(test)]
mod tests {
    use super::Flags;

    #[test]
    fn a_flag_is_set_and_cleared_and_the_others_stay() {
        let all = Flags::from_bits(0xFFFF_0007).unwrap();
        assert_eq!(all.with_authenticated(false).bits(), 0xFFFF_0006);
        assert_eq!(all.with_drift(false, true).bits(), 0xFFFF_0005);
        assert_eq!(all.with_drift(true, false).bits(), 0xFFFF_0003);
        assert_eq!(all.with_drift(true, true), all);

        let none = Flags::from_bits(0xABCD_0000).unwrap();
        assert_eq!(none.with_authenticated(true).bits(), 0xABCD_0001);
        assert_eq!(none.with_drift(true, false).bits(), 0xABCD_0002);
        assert_eq!(none.with_drift(false, true).bits(), 0xABCD_0004);
        assert_eq!(none.with_drift(false, false), none);
    }
}
