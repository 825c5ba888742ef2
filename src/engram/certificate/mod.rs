//! EIGENGRAM certificates, `.eng` (spec/engram.md, "Certificates").
//!
//! A certificate is a small file that stands for a context: two fingerprints of its keys and the centre they were
//! taken from, as f16, with what they were made from. [`Certificate::parse`] reads what the original's encoder writes (a
//! header of 107 bytes) and the published layout (99 bytes), told apart by exact length. Where a file is damaged, or its text was
//! cut within a character, [`RawCertificate`] still gives every byte of it. [`CertificateBuilder`] writes the 107-byte layout.
//!
//! Everything is there without an allocator.
//!
//! ```
//! use bitwire::engram::certificate::{Certificate, CertificateBuilder};
//!
//! let builder = CertificateBuilder {
//!     created_at: "2026-11-21T10:09:13",
//!     model_id: "Llama-3.1-8B",
//!     vec_perdoc: &[0.6, 0.8],
//!     vec_fcdb: &[1.0, 0.0],
//!     joint_center: &[0.0; 128],
//!     cache_id: "notes-17",
//!     ..CertificateBuilder::default()
//! };
//! let mut file = [0; 512];
//! let len = builder.encode_into(&mut file)?;
//!
//! let certificate = Certificate::parse(&file[..len])?;
//! assert_eq!(certificate.cache_id(), "notes-17");
//! let mut vector = [0.0; 2];
//! certificate.vec_perdoc().copy_into(&mut vector)?;
//! assert_eq!(vector, [0.60009766, 0.7998047]); // the nearest f16
//! # Ok::<(), bitwire::Error>(())
//! ```

mod build;
mod halves;
#[cfg(test)]
mod tests;
mod view;

pub use build::{CertificateBuilder, Excess};
pub use halves::HalfVector;
pub use view::{Certificate, Layout, RawCertificate};

/// The first four bytes.
pub const MAGIC: [u8; 4] = *b"EGR1";
/// The only version there is.
pub const VERSION: u8 = 1;
/// Components of `joint_center`.
pub const CENTER_LEN: usize = 128;
/// The most bytes of `task_description`.
pub const MAX_TASK_DESCRIPTION: usize = 256;
/// The most bytes of `cache_id`.
pub const MAX_CACHE_ID: usize = 64;
