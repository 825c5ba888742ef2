//! What a call came to, as a number.

use core::ffi::{CStr, c_char};

use bitwire::ErrorKind;

/// What a call came to. The numbers are stable: none is ever given another meaning, and new ones may come.
///
/// Those below 100 are about the bytes of a frame, and are the error kinds of spec/frame.md and spec/beacon.md; those from 100 on
/// are about the arguments of a call. 0 is the only success: compare with `BITWIRE_OK`, not with true.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum bitwire_status {
    /// Everything that the call checks is as it has to be.
    BITWIRE_OK = 0,

    /// A field claims more bytes than there are: the frame is cut, or not all of it has come yet.
    BITWIRE_ERR_TRUNCATED = 1,
    /// A size computed from the frame overflows 64 bits.
    BITWIRE_ERR_SIZE = 2,
    /// Bytes follow where the frame should end.
    BITWIRE_ERR_TRAILING_BYTES = 3,

    /// The first four bytes are not "BIT" and 1: no frame, or another version of it.
    BITWIRE_ERR_MAGIC = 10,
    /// A TLV type does not increase: out of order, or twice.
    BITWIRE_ERR_TLV_ORDER = 11,
    /// The first TLV is not CONFIG_V1.
    BITWIRE_ERR_CONFIG_NOT_FIRST = 12,
    /// A critical TLV (02 to 7F) that this version does not know.
    BITWIRE_ERR_CRITICAL_TLV = 13,
    /// A TLV type that is reserved (F2 to FD).
    BITWIRE_ERR_RESERVED_TLV = 14,
    /// A TLV has not the length of its type.
    BITWIRE_ERR_TLV_LENGTH = 15,
    /// The CRC-16 does not match: bytes were damaged.
    BITWIRE_ERR_CRC = 16,
    /// A reserved field is not zero.
    BITWIRE_ERR_RESERVED = 17,
    /// CONFIG_V1 names an element code above 9.
    BITWIRE_ERR_ELEMENT = 18,
    /// delta_q16 is 0 for i16, or not 0 for another element.
    BITWIRE_ERR_DELTA_Q16 = 19,
    /// FLAGS_V1 sets a bit of 3 to 15.
    BITWIRE_ERR_FLAG_BITS = 20,
    /// A versioned value is of a version other than 1.
    BITWIRE_ERR_VALUE_VERSION = 21,
    /// PAD_V1 has a byte that is not zero.
    BITWIRE_ERR_PADDING = 22,
    /// CONTEXT_V1 does not hash to the frame's ctx.
    BITWIRE_ERR_CONTEXT_HASH = 23,
    /// DIGEST_V1 is missing where it is mandatory.
    BITWIRE_ERR_DIGEST_MISSING = 24,
    /// The SHA-256 digest does not match.
    BITWIRE_ERR_DIGEST = 25,
    /// The AUTHENTICATED flag and the presence of HMAC_V1 disagree.
    BITWIRE_ERR_FLAGS_HMAC = 26,
    /// A key was given and the frame carries no MAC. As bad as a wrong one: anybody can take a MAC off.
    BITWIRE_ERR_HMAC_MISSING = 27,
    /// The MAC does not match: the frame was altered, or made with another key.
    BITWIRE_ERR_HMAC = 28,

    /// The frame is no beacon.
    BITWIRE_ERR_KIND = 40,
    /// A TLV that the kind requires is missing. A beacon requires none.
    BITWIRE_ERR_TLV_MISSING = 41,
    /// A TLV of 03 to 7F that a beacon does not have.
    BITWIRE_ERR_FOREIGN_TLV = 42,
    /// A field has not the value that the other fields require.
    BITWIRE_ERR_SHAPE = 43,
    /// A code outside its table.
    BITWIRE_ERR_CODE = 44,
    /// A number is not finite, or out of its range.
    BITWIRE_ERR_NUMBER = 45,
    /// RESULTS_V1 is not the JSON of spec/beacon.md, to the letter.
    BITWIRE_ERR_RESULTS = 46,
    /// ALERT or BASELINE does not agree with RESULTS_V1.
    BITWIRE_ERR_FLAGS_RESULTS = 47,
    /// The frame comes from another context.
    BITWIRE_ERR_CONTEXT_DIFFERS = 48,

    /// An error of the library that has no number here. `bitwire_error_message` says which.
    BITWIRE_ERR_OTHER = 99,

    /// A pointer is NULL or misaligned, or its length reaches past the end of the address space (as -1 does).
    BITWIRE_ERR_POINTER = 100,
    /// A struct that no successful call has filled: of zeros, or emptied by one that failed.
    BITWIRE_ERR_NOT_FILLED = 101,
    /// A frame that is checked, but whose MAC was not verified, where a verified one is needed.
    BITWIRE_ERR_NOT_AUTHENTICATED = 102,
    /// A buffer has less room than is needed.
    BITWIRE_ERR_BUFFER_TOO_SMALL = 103,
    /// A key outside 16 to 64 bytes.
    BITWIRE_ERR_KEY_LENGTH = 104,
    /// An argument that makes no sense: a row past the last, no shards.
    BITWIRE_ERR_ARGUMENT = 105,
}

use bitwire_status::*;

impl bitwire_status {
    /// The number of an error of the library.
    pub(crate) const fn of(kind: ErrorKind) -> Self {
        use ErrorKind as E;
        match kind {
            E::Truncated { .. } => BITWIRE_ERR_TRUNCATED,
            E::Size { .. } => BITWIRE_ERR_SIZE,
            E::TrailingBytes { .. } => BITWIRE_ERR_TRAILING_BYTES,
            E::Magic { .. } => BITWIRE_ERR_MAGIC,
            E::TlvOrder { .. } => BITWIRE_ERR_TLV_ORDER,
            E::ConfigNotFirst { .. } => BITWIRE_ERR_CONFIG_NOT_FIRST,
            E::CriticalTlv { .. } => BITWIRE_ERR_CRITICAL_TLV,
            E::ReservedTlv { .. } => BITWIRE_ERR_RESERVED_TLV,
            E::TlvLength { .. } => BITWIRE_ERR_TLV_LENGTH,
            E::Crc { .. } => BITWIRE_ERR_CRC,
            E::Reserved { .. } => BITWIRE_ERR_RESERVED,
            E::Element { .. } => BITWIRE_ERR_ELEMENT,
            E::DeltaQ16 { .. } => BITWIRE_ERR_DELTA_Q16,
            E::FlagBits { .. } => BITWIRE_ERR_FLAG_BITS,
            E::ValueVersion { .. } => BITWIRE_ERR_VALUE_VERSION,
            E::Padding => BITWIRE_ERR_PADDING,
            E::ContextHash => BITWIRE_ERR_CONTEXT_HASH,
            E::DigestMissing => BITWIRE_ERR_DIGEST_MISSING,
            E::Digest => BITWIRE_ERR_DIGEST,
            E::FlagsHmac { .. } => BITWIRE_ERR_FLAGS_HMAC,
            E::HmacMissing => BITWIRE_ERR_HMAC_MISSING,
            E::Hmac => BITWIRE_ERR_HMAC,
            E::Kind { .. } => BITWIRE_ERR_KIND,
            E::TlvMissing { .. } => BITWIRE_ERR_TLV_MISSING,
            E::ForeignTlv { .. } => BITWIRE_ERR_FOREIGN_TLV,
            E::Shape { .. } => BITWIRE_ERR_SHAPE,
            E::Code { .. } => BITWIRE_ERR_CODE,
            E::Number { .. } => BITWIRE_ERR_NUMBER,
            E::Results { .. } => BITWIRE_ERR_RESULTS,
            E::FlagsResults { .. } => BITWIRE_ERR_FLAGS_RESULTS,
            E::ContextDiffers => BITWIRE_ERR_CONTEXT_DIFFERS,
            E::BufferTooSmall { .. } => BITWIRE_ERR_BUFFER_TOO_SMALL,
            E::KeyLength { .. } => BITWIRE_ERR_KEY_LENGTH,
            E::Argument { .. } => BITWIRE_ERR_ARGUMENT,
            _ => BITWIRE_ERR_OTHER,
        }
    }
}

/// Every number with its name, which for an error of the library is that of its kind in the documents of spec/.
const NAMES: [(bitwire_status, &CStr); 39] = [
    (BITWIRE_OK, c"Ok"),
    (BITWIRE_ERR_TRUNCATED, c"Truncated"),
    (BITWIRE_ERR_SIZE, c"Size"),
    (BITWIRE_ERR_TRAILING_BYTES, c"TrailingBytes"),
    (BITWIRE_ERR_MAGIC, c"Magic"),
    (BITWIRE_ERR_TLV_ORDER, c"TlvOrder"),
    (BITWIRE_ERR_CONFIG_NOT_FIRST, c"ConfigNotFirst"),
    (BITWIRE_ERR_CRITICAL_TLV, c"CriticalTlv"),
    (BITWIRE_ERR_RESERVED_TLV, c"ReservedTlv"),
    (BITWIRE_ERR_TLV_LENGTH, c"TlvLength"),
    (BITWIRE_ERR_CRC, c"Crc"),
    (BITWIRE_ERR_RESERVED, c"Reserved"),
    (BITWIRE_ERR_ELEMENT, c"Element"),
    (BITWIRE_ERR_DELTA_Q16, c"DeltaQ16"),
    (BITWIRE_ERR_FLAG_BITS, c"FlagBits"),
    (BITWIRE_ERR_VALUE_VERSION, c"ValueVersion"),
    (BITWIRE_ERR_PADDING, c"Padding"),
    (BITWIRE_ERR_CONTEXT_HASH, c"ContextHash"),
    (BITWIRE_ERR_DIGEST_MISSING, c"DigestMissing"),
    (BITWIRE_ERR_DIGEST, c"Digest"),
    (BITWIRE_ERR_FLAGS_HMAC, c"FlagsHmac"),
    (BITWIRE_ERR_HMAC_MISSING, c"HmacMissing"),
    (BITWIRE_ERR_HMAC, c"Hmac"),
    (BITWIRE_ERR_KIND, c"Kind"),
    (BITWIRE_ERR_TLV_MISSING, c"TlvMissing"),
    (BITWIRE_ERR_FOREIGN_TLV, c"ForeignTlv"),
    (BITWIRE_ERR_SHAPE, c"Shape"),
    (BITWIRE_ERR_CODE, c"Code"),
    (BITWIRE_ERR_NUMBER, c"Number"),
    (BITWIRE_ERR_RESULTS, c"Results"),
    (BITWIRE_ERR_FLAGS_RESULTS, c"FlagsResults"),
    (BITWIRE_ERR_CONTEXT_DIFFERS, c"ContextDiffers"),
    (BITWIRE_ERR_OTHER, c"Other"),
    (BITWIRE_ERR_POINTER, c"Pointer"),
    (BITWIRE_ERR_NOT_FILLED, c"NotFilled"),
    (BITWIRE_ERR_NOT_AUTHENTICATED, c"NotAuthenticated"),
    (BITWIRE_ERR_BUFFER_TOO_SMALL, c"BufferTooSmall"),
    (BITWIRE_ERR_KEY_LENGTH, c"KeyLength"),
    (BITWIRE_ERR_ARGUMENT, c"Argument"),
];

/// The name of a status, such as "Crc": one word of ASCII that never changes, for logs. "Ok" for `BITWIRE_OK`, "unknown" for a
/// number that is none. Never NULL; lives as long as the program.
#[unsafe(no_mangle)]
pub extern "C" fn bitwire_status_name(status: i32) -> *const c_char {
    let found = NAMES.iter().find(|(known, _)| *known as i32 == status);
    found.map_or(c"unknown", |(_, name)| name).as_ptr()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    extern crate std;

    use super::*;
    use std::collections::BTreeSet;

    /// One of each kind that has a number of its own.
    const KINDS: [ErrorKind; 34] = [
        ErrorKind::Truncated { field: "", needed: 0, available: 0 },
        ErrorKind::Size { field: "" },
        ErrorKind::TrailingBytes { count: 0 },
        ErrorKind::Magic { found: [0; 4] },
        ErrorKind::TlvOrder { found: 0, after: 0 },
        ErrorKind::ConfigNotFirst { found: 0 },
        ErrorKind::CriticalTlv { found: 0 },
        ErrorKind::ReservedTlv { found: 0 },
        ErrorKind::TlvLength { tlv: 0, needed: 0, found: 0 },
        ErrorKind::Crc { stored: 0, computed: 0 },
        ErrorKind::Reserved { field: "" },
        ErrorKind::Element { found: 0 },
        ErrorKind::DeltaQ16 { element: 0, found: 0 },
        ErrorKind::FlagBits { found: 0 },
        ErrorKind::ValueVersion { tlv: 0, found: 0 },
        ErrorKind::Padding,
        ErrorKind::ContextHash,
        ErrorKind::DigestMissing,
        ErrorKind::Digest,
        ErrorKind::FlagsHmac { hmac: false },
        ErrorKind::HmacMissing,
        ErrorKind::Hmac,
        ErrorKind::Kind { needed: 0, found: 0 },
        ErrorKind::TlvMissing { tlv: 0 },
        ErrorKind::ForeignTlv { tlv: 0, kind: 0 },
        ErrorKind::Shape { field: "", needed: 0, found: 0 },
        ErrorKind::Code { field: "", found: 0 },
        ErrorKind::Number { field: "" },
        ErrorKind::Results { expected: "" },
        ErrorKind::FlagsResults { flag: "" },
        ErrorKind::ContextDiffers,
        ErrorKind::BufferTooSmall { needed: 0, available: 0 },
        ErrorKind::KeyLength { found: 0 },
        ErrorKind::Argument { expected: "" },
    ];

    fn name(status: bitwire_status) -> &'static str {
        // SAFETY: never NULL, NUL-terminated, lives as long as the program.
        unsafe { CStr::from_ptr(bitwire_status_name(status as i32)) }.to_str().unwrap()
    }

    #[test]
    fn kinds_keep_their_names() {
        for kind in KINDS {
            assert_eq!(name(bitwire_status::of(kind)), kind.name());
        }
        assert_eq!(bitwire_status::of(ErrorKind::StepRange), BITWIRE_ERR_OTHER);
        let numbers: BTreeSet<i32> = NAMES.iter().map(|&(status, _)| status as i32).collect();
        let names: BTreeSet<&CStr> = NAMES.iter().map(|&(_, name)| name).collect();
        assert_eq!((numbers.len(), names.len()), (NAMES.len(), NAMES.len()));
    }

    /// The kinds that the documents name for frames and beacons, and those of the vectors of both.
    #[test]
    fn every_kind_of_the_documents_has_a_number() {
        let mut kinds = BTreeSet::new();
        for text in [include_str!("../../spec/frame.md"), include_str!("../../spec/beacon.md")] {
            // Rows of the tables of checks: step, check, error, offset.
            for row in text.lines().filter(|line| line.starts_with('|')) {
                let cells: std::vec::Vec<&str> = row.split('|').map(str::trim).collect();
                if let [_, step, _, error, _, _] = cells[..]
                    && step.parse::<u8>().is_ok()
                {
                    kinds.extend(error.split('`').skip(1).step_by(2));
                }
            }
        }
        assert!(kinds.len() > 20, "{kinds:?}");
        let vectors =
            [include_str!("../../spec/vectors/frame.json"), include_str!("../../spec/vectors/beacon.json")];
        let vectors = vectors.map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
        for case in vectors.iter().flat_map(|file| file["cases"].as_array().unwrap()) {
            kinds.extend(case["error"]["kind"].as_str());
        }
        // Whether a context is canonical is checked where there is an allocator: not here.
        assert!(kinds.remove("Context"));
        for kind in kinds {
            assert!(NAMES.iter().any(|(_, name)| name.to_str() == Ok(kind)), "{kind}");
        }
    }
}
