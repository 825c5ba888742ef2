//! The token ledger.

#[cfg(feature = "tinymind")]
pub mod evidence;
#[cfg(feature = "tinymind")]
pub mod tinymind;
