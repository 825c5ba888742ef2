//! The writer.
#![deny(clippy::arithmetic_side_effects)]

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use zerocopy::IntoBytes;

use super::halves::narrowed;
use super::view::{EXTENSION_LEN, ExtensionRaw, FurtherRaw, HeaderRaw, Layout};
use super::{CENTER_LEN, MAGIC, MAX_CACHE_ID, MAX_TASK_DESCRIPTION, VERSION};
use crate::error::{Error, ErrorKind, Result};

/// What a writer does with what does not fit its field: text that is too long, numbers beyond f16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Excess {
    /// Refuses it.
    #[default]
    Refuse,
    /// Cuts text after the last whole character that fits; refuses numbers.
    Trim,
    /// As the original: cuts text by bytes, which may leave a part of a character, that a reader refuses; numbers beyond f16
    /// become infinite.
    Original,
}

/// A certificate to be written, in the layout of the original's encoder (107 bytes of header).
///
/// What that encoder damages in silence is an error here: vectors whose lengths do not agree, a centre that has not 128
/// components. The lengths of the vectors are the header's `basis_rank` and `fourier_dim`.
#[derive(Clone, Debug, PartialEq)]
pub struct CertificateBuilder<'a> {
    /// The hash of the basis: ASCII, at most 32 bytes.
    pub corpus_hash: &'a str,
    /// The time of making, `YYYY-MM-DDTHH:MM:SS`: ASCII, at most 20 bytes.
    pub created_at: &'a str,
    /// The model: ASCII, at most 16 bytes.
    pub model_id: &'a str,
    /// Documents that the basis was made from.
    pub n_corpus: u16,
    /// The first layer, and the one after the last.
    pub layer_range: (i8, i8),
    /// Rows of keys that were read.
    pub context_len: u32,
    /// Norm of the mean key.
    pub l2_norm: f32,
    /// Share of the mean's difference from the centre that the basis holds.
    pub scs: f32,
    /// Margin of the semantic proof.
    pub margin_proof: f32,
    /// What the context is about: UTF-8, at most 256 bytes.
    pub task_description: &'a str,
    /// The id of the cache: UTF-8, at most 64 bytes.
    pub cache_id: &'a str,
    /// How many others are near.
    pub local_density: u16,
    /// Stability of the fingerprint.
    pub eigenform_score: f32,
    /// Whether the fingerprint is easily taken for another's.
    pub confusion_flag: bool,
    /// The fingerprint by the document's own keys.
    pub vec_perdoc: &'a [f32],
    /// The fingerprint in the basis of the corpus, of the same length.
    pub vec_fcdb: &'a [f32],
    /// The centre of the corpus: 128 components.
    pub joint_center: &'a [f32],
    /// The Fourier fingerprint; empty for none.
    pub vec_fourier: &'a [f32],
    /// The second Fourier fingerprint; empty for none.
    pub vec_fourier_v2: &'a [f32],
    /// What is done with what does not fit.
    pub excess: Excess,
}

impl Default for CertificateBuilder<'_> {
    /// Nothing but the original's defaults: an `eigenform_score` of 1, all else 0 or empty.
    fn default() -> Self {
        Self {
            corpus_hash: "",
            created_at: "",
            model_id: "",
            n_corpus: 0,
            layer_range: (0, 0),
            context_len: 0,
            l2_norm: 0.0,
            scs: 0.0,
            margin_proof: 0.0,
            task_description: "",
            cache_id: "",
            local_density: 0,
            eigenform_score: 1.0,
            confusion_flag: false,
            vec_perdoc: &[],
            vec_fcdb: &[],
            joint_center: &[],
            vec_fourier: &[],
            vec_fourier_v2: &[],
            excess: Excess::Refuse,
        }
    }
}

impl CertificateBuilder<'_> {
    /// How many bytes the certificate has: 107 + 4 * rank + 256 + texts + 2 * Fourier components, and with a confusion flag or
    /// second Fourier vector 3 + 2 * its components.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for an id that is not ASCII or holds a zero byte, [`ErrorKind::TooLarge`] for text or vectors that do
    /// not fit, [`ErrorKind::Shape`] for vectors of the wrong length, [`ErrorKind::Number`] for a number that is not
    /// finite, or a component that is finite and beyond f16.
    pub fn encoded_len(&self) -> Result<usize> {
        Ok(self.plan()?.len)
    }

    /// Writes the certificate to the start of `out` and returns how long it is. Nothing is written on an error.
    ///
    /// # Errors
    /// As [`CertificateBuilder::encoded_len`]; [`ErrorKind::BufferTooSmall`].
    pub fn encode_into(&self, out: &mut [u8]) -> Result<usize> {
        let plan = self.plan()?;
        let available = out.len() as u64;
        let too_small = ErrorKind::BufferTooSmall { needed: plan.len as u64, available };
        let out = out.get_mut(..plan.len).ok_or(Error::caller(too_small))?;
        let mut writer = Writer { out };
        writer.put(plan.header.as_bytes());
        writer.put(plan.further.as_bytes());
        for vector in [self.vec_perdoc, self.vec_fcdb, self.joint_center] {
            writer.put_vector(vector);
        }
        writer.put(plan.task_description);
        writer.put(plan.cache_id);
        writer.put_vector(self.vec_fourier);
        if let Some(extension) = &plan.extension {
            writer.put(extension.as_bytes());
            writer.put_vector(self.vec_fourier_v2);
        }
        Ok(plan.len)
    }

    /// The certificate in memory of its own.
    ///
    /// # Errors
    /// As [`CertificateBuilder::encoded_len`].
    #[cfg(feature = "alloc")]
    pub fn to_vec(&self) -> Result<Vec<u8>> {
        let mut out = alloc::vec![0; self.encoded_len()?];
        self.encode_into(&mut out)?;
        Ok(out)
    }

    fn plan(&self) -> Result<Plan<'_>> {
        let excess = self.excess;
        let corpus_hash =
            id("corpus_hash", "corpus_hash has to be ASCII without NUL", self.corpus_hash, excess)?;
        let created_at = id("created_at", "created_at has to be ASCII without NUL", self.created_at, excess)?;
        let model_id = id("model_id", "model_id has to be ASCII without NUL", self.model_id, excess)?;
        let task_description =
            fitted("task_description", self.task_description, MAX_TASK_DESCRIPTION, excess)?;
        let cache_id = fitted("cache_id", self.cache_id, MAX_CACHE_ID, excess)?;
        for (field, number) in [
            ("l2_norm", self.l2_norm),
            ("scs", self.scs),
            ("margin_proof", self.margin_proof),
            ("eigenform_score", self.eigenform_score),
        ] {
            if !number.is_finite() {
                return Err(Error::caller(ErrorKind::Number { field }));
            }
        }
        let basis_rank = count("vec_perdoc", self.vec_perdoc)?;
        check_count("vec_fcdb", self.vec_perdoc.len(), self.vec_fcdb)?;
        check_count("joint_center", CENTER_LEN, self.joint_center)?;
        let fourier_dim = count("vec_fourier", self.vec_fourier)?;
        let fourier_v2_dim = count("vec_fourier_v2", self.vec_fourier_v2)?;
        if excess != Excess::Original {
            for (field, vector) in [
                ("vec_perdoc", self.vec_perdoc),
                ("vec_fcdb", self.vec_fcdb),
                ("joint_center", self.joint_center),
                ("vec_fourier", self.vec_fourier),
                ("vec_fourier_v2", self.vec_fourier_v2),
            ] {
                if vector.iter().any(|&x| x.is_finite() && x.abs() >= BEYOND_F16) {
                    return Err(Error::caller(ErrorKind::Number { field }));
                }
            }
        }
        let extension = (self.confusion_flag || fourier_v2_dim > 0).then(|| ExtensionRaw {
            confusion_flag: self.confusion_flag.into(),
            fourier_v2_dim: fourier_v2_dim.into(),
        });
        let halves = [basis_rank, basis_rank, CENTER_LEN as u16, fourier_dim, fourier_v2_dim];
        let vectors = halves.iter().map(|&n| usize::from(n).saturating_mul(2));
        let len = vectors
            .chain([Layout::Header107.header_len(), task_description.len(), cache_id.len()])
            .chain(extension.map(|_| EXTENSION_LEN))
            .fold(0, usize::saturating_add);
        let header = HeaderRaw {
            magic: MAGIC,
            version: VERSION,
            corpus_hash,
            created_at,
            model_id,
            basis_rank: basis_rank.into(),
            n_corpus: self.n_corpus.into(),
            first_layer: self.layer_range.0,
            end_layer: self.layer_range.1,
            context_len: self.context_len.into(),
            l2_norm: self.l2_norm.into(),
            scs: self.scs.into(),
            margin_proof: self.margin_proof.into(),
            // At most 256 and 64.
            task_description_len: (task_description.len() as u16).into(),
            cache_id_len: (cache_id.len() as u16).into(),
        };
        let further = FurtherRaw {
            fourier_dim: fourier_dim.into(),
            local_density: self.local_density.into(),
            eigenform_score: self.eigenform_score.into(),
        };
        Ok(Plan { header, further, extension, task_description, cache_id, len })
    }
}

/// 65520: from here on the nearest f16 is infinite.
const BEYOND_F16: f32 = 65520.0;

struct Plan<'a> {
    header: HeaderRaw,
    further: FurtherRaw,
    extension: Option<ExtensionRaw>,
    task_description: &'a [u8],
    cache_id: &'a [u8],
    len: usize,
}

/// An ASCII text in a field of its own, filled up with zero bytes.
fn id<const N: usize>(
    field: &'static str,
    expected: &'static str,
    text: &str,
    excess: Excess,
) -> Result<[u8; N]> {
    // A zero byte would end the text for whoever reads it.
    if !text.is_ascii() || text.contains('\0') {
        return Err(Error::caller(ErrorKind::Argument { expected }));
    }
    let mut bytes = [0; N];
    for (to, from) in bytes.iter_mut().zip(fitted(field, text, N, excess)?) {
        *to = *from;
    }
    Ok(bytes)
}

/// The text, or as much of it as fits and is asked for.
fn fitted<'a>(field: &'static str, text: &'a str, max: usize, excess: Excess) -> Result<&'a [u8]> {
    if text.len() <= max {
        return Ok(text.as_bytes());
    }
    let end = match excess {
        Excess::Refuse => {
            let kind = ErrorKind::TooLarge { field, max: max as u64, found: text.len() as u64 };
            return Err(Error::caller(kind));
        }
        // A character has at most 4 bytes: the end of one is not far.
        Excess::Trim => (0..=max).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0),
        Excess::Original => max,
    };
    Ok(text.as_bytes().get(..end).unwrap_or_default())
}

fn count(field: &'static str, vector: &[f32]) -> Result<u16> {
    let (max, found) = (u64::from(u16::MAX), vector.len() as u64);
    u16::try_from(vector.len()).map_err(|_| Error::caller(ErrorKind::TooLarge { field, max, found }))
}

fn check_count(field: &'static str, needed: usize, vector: &[f32]) -> Result<()> {
    if vector.len() == needed {
        return Ok(());
    }
    let (needed, found) = (needed as u64, vector.len() as u64);
    Err(Error::caller(ErrorKind::Shape { field, needed, found }))
}

/// Fills a buffer from the front; it is as long as what is put.
struct Writer<'a> {
    out: &'a mut [u8],
}

impl<'a> Writer<'a> {
    fn space(&mut self, len: usize) -> &'a mut [u8] {
        let out = core::mem::take(&mut self.out);
        let (space, rest) = out.split_at_mut_checked(len).unwrap_or_default();
        self.out = rest;
        space
    }

    fn put(&mut self, bytes: &[u8]) {
        for (to, from) in self.space(bytes.len()).iter_mut().zip(bytes) {
            *to = *from;
        }
    }

    fn put_vector(&mut self, vector: &[f32]) {
        let space = self.space(vector.len().saturating_mul(2));
        for (to, &x) in space.as_chunks_mut().0.iter_mut().zip(vector) {
            *to = narrowed(x).to_le_bytes();
        }
    }
}
