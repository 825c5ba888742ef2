//! Whether header and library belong together.

/// The version of what this header says: struct sizes, functions and numbers. See `bitwire_abi`.
pub const BITWIRE_ABI: u32 = 1;

/// `BITWIRE_ABI` as the library was built with. A program that may be linked with a library other than its header's compares
/// the two before anything else.
#[unsafe(no_mangle)]
pub extern "C" fn bitwire_abi() -> u32 {
    BITWIRE_ABI
}
