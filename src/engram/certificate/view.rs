//! The reader: where everything stands, and what holds of it.
#![deny(clippy::arithmetic_side_effects)]

use core::ops::Deref;

use zerocopy::FromBytes;
use zerocopy::byteorder::little_endian::{F32, U16, U32};

use super::{CENTER_LEN, HalfVector, MAGIC, MAX_CACHE_ID, MAX_TASK_DESCRIPTION, VERSION};
use crate::error::{Error, ErrorKind, Result};
use crate::wire::{Reader, layout};

layout! {
    /// What both layouts begin with, and all of the published one's header.
    pub(super) struct HeaderRaw {
        magic: [u8; 4],
        version: u8,
        corpus_hash: [u8; 32],
        created_at: [u8; 20],
        model_id: [u8; 16],
        basis_rank: U16,
        n_corpus: U16,
        first_layer: i8,
        end_layer: i8,
        context_len: U32,
        l2_norm: F32,
        scs: F32,
        margin_proof: F32,
        task_description_len: U16,
        cache_id_len: U16,
    }
}

layout! {
    /// What the shipped encoder adds to it.
    pub(super) struct FurtherRaw {
        fourier_dim: U16,
        local_density: U16,
        eigenform_score: F32,
    }
}

layout! {
    /// What the file may end with, before the second Fourier vector.
    pub(super) struct ExtensionRaw {
        confusion_flag: u8,
        fourier_v2_dim: U16,
    }
}

pub(super) const HEADER_LEN: usize = size_of::<HeaderRaw>();
pub(super) const FURTHER_LEN: usize = size_of::<FurtherRaw>();
pub(super) const EXTENSION_LEN: usize = size_of::<ExtensionRaw>();

impl HeaderRaw {
    /// The first 99 bytes, of a certificate of a version that is known. The body's lengths are not judged.
    fn read(bytes: &[u8]) -> Result<&Self> {
        let mut reader = Reader::new(bytes, 0);
        let found: [u8; 4] = *reader.take_array("magic")?;
        if found != MAGIC {
            return Err(Error::new(
                ErrorKind::CertificateMagic { found, safetensors: is_safetensors(bytes) },
                0,
            ));
        }
        let [version] = *reader.take_array("version")?;
        if version != VERSION {
            return Err(Error::new(ErrorKind::CertificateVersion { found: version }, 4));
        }
        reader.take_array::<{ HEADER_LEN - 5 }>("the header")?;
        let truncated = ErrorKind::Truncated {
            field: "the header",
            needed: HEADER_LEN as u64,
            available: bytes.len() as u64,
        };
        Self::ref_from_prefix(bytes).map(|(raw, _)| raw).map_err(|_| Error::new(truncated, 0))
    }

    /// Refuses texts that no encoder writes.
    fn check_texts(&self) -> Result<()> {
        for (field, len, max, offset) in [
            ("task_description_len", self.task_description_len, MAX_TASK_DESCRIPTION, 95),
            ("cache_id_len", self.cache_id_len, MAX_CACHE_ID, 97),
        ] {
            let (max, found) = (max as u64, u64::from(len.get()));
            if found > max {
                return Err(Error::new(ErrorKind::TooLarge { field, max, found }, offset));
            }
        }
        Ok(())
    }

    /// Bytes of a file of the published layout; at most 656,450.
    fn len_99(&self) -> u64 {
        [
            HEADER_LEN as u64,
            u64::from(self.basis_rank.get()).saturating_mul(4),
            (2 * CENTER_LEN) as u64,
            u64::from(self.task_description_len.get()),
            u64::from(self.cache_id_len.get()),
        ]
        .iter()
        .fold(0, |sum: u64, part| sum.saturating_add(*part))
    }
}

/// A file of safetensors begins with the length of its JSON header, and that with a brace.
fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((len, json)) = bytes.split_first_chunk::<8>() else { return false };
    json.first() == Some(&b'{') && u64::from_le_bytes(*len) <= json.len() as u64
}

/// Which header a certificate has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// 99 bytes, as the original's specification has it: without Fourier vectors and without an extension.
    Header99,
    /// 107 bytes, as the shipped encoder writes it.
    Header107,
}

impl Layout {
    /// Bytes of the header.
    #[must_use]
    pub const fn header_len(self) -> usize {
        match self {
            Self::Header99 => HEADER_LEN,
            Self::Header107 => HEADER_LEN + FURTHER_LEN,
        }
    }
}

/// A certificate whose parts are located, and nothing judged: what is there of a damaged file as well.
///
/// [`RawCertificate::parse`] gives those whose length is right, [`RawCertificate::locate`] any. The parts of a file that is too
/// short are shorter than its header says, or empty; see [`RawCertificate::missing`].
#[derive(Clone, Copy, Debug)]
pub struct RawCertificate<'a> {
    bytes: &'a [u8],
    header: &'a HeaderRaw,
    further: Option<&'a FurtherRaw>,
    extension: Option<&'a ExtensionRaw>,
    vec_perdoc: &'a [u8],
    vec_fcdb: &'a [u8],
    joint_center: &'a [u8],
    task_description: &'a [u8],
    cache_id: &'a [u8],
    vec_fourier: &'a [u8],
    vec_fourier_v2: &'a [u8],
    rest: &'a [u8],
    missing: u64,
}

impl<'a> RawCertificate<'a> {
    /// The certificate in `bytes`, in the one layout whose length they have.
    ///
    /// No file has both lengths: the two headers share the fields that count, and the longer one adds 8 bytes at least.
    /// Cost: constant.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`], [`ErrorKind::CertificateMagic`], [`ErrorKind::CertificateVersion`],
    /// [`ErrorKind::TooLarge`] for a text longer than any encoder writes, [`ErrorKind::CertificateLength`]; offsets and order
    /// are in spec/engram.md, "Checks of a certificate".
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let header = HeaderRaw::read(bytes)?;
        header.check_texts()?;
        let (found, header_99) = (bytes.len() as u64, header.len_99());
        if found < header_99 {
            return Err(too_short(Layout::Header99, header_99, found));
        }
        if found == header_99 {
            return Self::locate(bytes, Layout::Header99);
        }
        // The 107 bytes are there: over 354 are.
        let raw = Self::locate(bytes, Layout::Header107)?;
        let header_107 = raw.expected_len();
        if found == header_107 {
            return Ok(raw);
        }
        let kind = ErrorKind::CertificateLength { found, header_99, header_107 };
        Err(Error::new(kind, found.min(header_107)))
    }

    /// The certificate in `bytes`, which is known to have this layout: whoever knows the encoder need not go by length, which
    /// 8 bytes cut off can make that of the other layout.
    ///
    /// # Errors
    /// As [`RawCertificate::parse`], but for [`ErrorKind::Truncated`] (offset: the body) and
    /// [`ErrorKind::TrailingBytes`] where the length is not the one that the fields give.
    pub fn parse_as(bytes: &'a [u8], layout: Layout) -> Result<Self> {
        HeaderRaw::read(bytes)?.check_texts()?;
        let raw = Self::locate(bytes, layout)?;
        let (expected, count) = (raw.expected_len(), raw.rest.len() as u64);
        if raw.missing > 0 {
            return Err(too_short(layout, expected, bytes.len() as u64));
        }
        if count > 0 {
            return Err(Error::new(ErrorKind::TrailingBytes { count }, expected));
        }
        Ok(raw)
    }

    /// Everything that is there of a certificate of this layout, whatever its length: to rescue what a file still holds.
    /// [`RawCertificate::missing`] and [`RawCertificate::rest`] say what is wrong with it.
    ///
    /// # Errors
    /// [`ErrorKind::CertificateMagic`], [`ErrorKind::CertificateVersion`], [`ErrorKind::Truncated`] if the header is not
    /// whole.
    pub fn locate(bytes: &'a [u8], layout: Layout) -> Result<Self> {
        let header = HeaderRaw::read(bytes)?;
        let mut reader = Reader::new(bytes, 0);
        reader.take("the header", HEADER_LEN as u64)?;
        let further = match layout {
            Layout::Header99 => None,
            Layout::Header107 => {
                let bytes = reader.take_array::<FURTHER_LEN>("the further header")?;
                Some(zerocopy::transmute_ref!(bytes))
            }
        };
        let mut parts = Parts { rest: reader.rest(), missing: 0 };
        let halves = |n: U16| usize::from(n.get()).saturating_mul(2);
        let vec_perdoc = parts.take(halves(header.basis_rank));
        let vec_fcdb = parts.take(halves(header.basis_rank));
        let joint_center = parts.take(2 * CENTER_LEN);
        let task_description = parts.take(header.task_description_len.get().into());
        let cache_id = parts.take(header.cache_id_len.get().into());
        let vec_fourier = parts.take(further.map_or(0, |further: &FurtherRaw| halves(further.fourier_dim)));
        let mut extension = None;
        if further.is_some()
            && let Some((bytes, rest)) = parts.rest.split_first_chunk::<EXTENSION_LEN>()
        {
            extension = Some(zerocopy::transmute_ref!(bytes));
            parts.rest = rest;
        }
        let vec_fourier_v2 =
            parts.take(extension.map_or(0, |extension: &ExtensionRaw| halves(extension.fourier_v2_dim)));
        let Parts { rest, missing } = parts;
        Ok(Self {
            bytes,
            header,
            further,
            extension,
            vec_perdoc,
            vec_fcdb,
            joint_center,
            task_description,
            cache_id,
            vec_fourier,
            vec_fourier_v2,
            rest,
            missing,
        })
    }

    /// The length that the fields give; of an extension, if there are at least its 3 bytes.
    #[must_use]
    pub fn expected_len(&self) -> u64 {
        let len = self.bytes.len() as u64;
        len.saturating_sub(self.rest.len() as u64).saturating_add(self.missing)
    }

    /// Bytes that the fields claim and that are not there.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        self.missing
    }

    /// Bytes that follow the certificate.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The bytes it was read from.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Which header it has.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        if self.further.is_some() { Layout::Header107 } else { Layout::Header99 }
    }

    /// The hash of the basis, with its padding.
    #[must_use]
    pub const fn corpus_hash_bytes(&self) -> &'a [u8; 32] {
        &self.header.corpus_hash
    }

    /// The time of making, with its padding.
    #[must_use]
    pub const fn created_at_bytes(&self) -> &'a [u8; 20] {
        &self.header.created_at
    }

    /// The model, with its padding.
    #[must_use]
    pub const fn model_id_bytes(&self) -> &'a [u8; 16] {
        &self.header.model_id
    }

    /// Components of `vec_perdoc` and of `vec_fcdb`, as the header says.
    #[must_use]
    pub fn basis_rank(&self) -> u16 {
        self.header.basis_rank.get()
    }

    /// Documents that the basis was made from.
    #[must_use]
    pub fn n_corpus(&self) -> u16 {
        self.header.n_corpus.get()
    }

    /// The first layer, and the one after the last.
    #[must_use]
    pub const fn layer_range(&self) -> (i8, i8) {
        (self.header.first_layer, self.header.end_layer)
    }

    /// Rows of keys that were read: layers * heads * cells in the original, not tokens.
    #[must_use]
    pub fn context_len(&self) -> u32 {
        self.header.context_len.get()
    }

    /// Norm of the mean key before it was made a unit vector.
    #[must_use]
    pub fn l2_norm(&self) -> f32 {
        self.header.l2_norm.get()
    }

    /// Share of the mean's difference from the centre that the basis holds (squared norms).
    #[must_use]
    pub fn scs(&self) -> f32 {
        self.header.scs.get()
    }

    /// Margin of the semantic proof; 0 if there was none.
    #[must_use]
    pub fn margin_proof(&self) -> f32 {
        self.header.margin_proof.get()
    }

    /// How many others are near; 0 where the layout has no such field.
    #[must_use]
    pub fn local_density(&self) -> u16 {
        self.further.map_or(0, |further| further.local_density.get())
    }

    /// Stability of the fingerprint; 1 where the layout has no such field.
    #[must_use]
    pub fn eigenform_score(&self) -> f32 {
        self.further.map_or(1.0, |further| further.eigenform_score.get())
    }

    /// Whether there is an extension: the confusion flag and the second Fourier vector.
    #[must_use]
    pub const fn has_extension(&self) -> bool {
        self.extension.is_some()
    }

    /// The confusion flag as it stands; 0 without an extension.
    #[must_use]
    pub fn confusion_flag_byte(&self) -> u8 {
        self.extension.map_or(0, |extension| extension.confusion_flag)
    }

    /// The fingerprint by the document's own keys.
    #[must_use]
    pub fn vec_perdoc(&self) -> HalfVector<'a> {
        HalfVector::new(self.vec_perdoc)
    }

    /// The fingerprint in the basis of the corpus.
    #[must_use]
    pub fn vec_fcdb(&self) -> HalfVector<'a> {
        HalfVector::new(self.vec_fcdb)
    }

    /// The centre of the corpus: 128 components.
    #[must_use]
    pub fn joint_center(&self) -> HalfVector<'a> {
        HalfVector::new(self.joint_center)
    }

    /// The Fourier fingerprint; empty if there is none.
    #[must_use]
    pub fn vec_fourier(&self) -> HalfVector<'a> {
        HalfVector::new(self.vec_fourier)
    }

    /// The second Fourier fingerprint; empty if there is none.
    #[must_use]
    pub fn vec_fourier_v2(&self) -> HalfVector<'a> {
        HalfVector::new(self.vec_fourier_v2)
    }

    /// The description, UTF-8 or not.
    #[must_use]
    pub const fn task_description_bytes(&self) -> &'a [u8] {
        self.task_description
    }

    /// The id, UTF-8 or not.
    #[must_use]
    pub const fn cache_id_bytes(&self) -> &'a [u8] {
        self.cache_id
    }

    /// The description up to the first byte that is not UTF-8, and the bytes from there. The shipped encoder cuts text to 256
    /// bytes within a character: then the second part is that character's beginning.
    #[must_use]
    pub fn task_description_prefix(&self) -> (&'a str, &'a [u8]) {
        prefix(self.task_description)
    }

    /// The id up to the first byte that is not UTF-8, and the bytes from there. The shipped encoder cuts it to 64 bytes, within a
    /// character.
    #[must_use]
    pub fn cache_id_prefix(&self) -> (&'a str, &'a [u8]) {
        prefix(self.cache_id)
    }

    /// Offsets of the body's parts, in the order of the file: `vec_perdoc`, `vec_fcdb`, `joint_center`, `task_description`,
    /// `cache_id`, `vec_fourier`, and the extension, with their names. One that is not there has the offset where it would be.
    #[must_use]
    pub fn offsets(&self) -> [(&'static str, u64); 7] {
        let mut offset = self.layout().header_len() as u64;
        [
            ("vec_perdoc", self.vec_perdoc),
            ("vec_fcdb", self.vec_fcdb),
            ("joint_center", self.joint_center),
            ("task_description", self.task_description),
            ("cache_id", self.cache_id),
            ("vec_fourier", self.vec_fourier),
            ("extension", &[]),
        ]
        .map(|(name, part)| {
            let at = offset;
            offset = offset.saturating_add(part.len() as u64);
            (name, at)
        })
    }
}

/// Cuts parts off the front; one that is not all there is what is left.
struct Parts<'a> {
    rest: &'a [u8],
    missing: u64,
}

impl<'a> Parts<'a> {
    fn take(&mut self, len: usize) -> &'a [u8] {
        let end = self.rest.split_at_checked(self.rest.len()).unwrap_or_default();
        let (part, rest) = self.rest.split_at_checked(len).unwrap_or(end);
        self.missing = self.missing.saturating_add(len.saturating_sub(part.len()) as u64);
        self.rest = rest;
        part
    }
}

fn too_short(layout: Layout, expected: u64, found: u64) -> Error {
    let header = layout.header_len() as u64;
    let (needed, available) = (expected.saturating_sub(header), found.saturating_sub(header));
    Error::new(ErrorKind::Truncated { field: "the body", needed, available }, header)
}

fn prefix(bytes: &[u8]) -> (&str, &[u8]) {
    match bytes.utf8_chunks().next() {
        Some(chunk) => (chunk.valid(), bytes.get(chunk.valid().len()..).unwrap_or_default()),
        None => ("", bytes),
    }
}

/// A certificate in which everything holds; it [is](Deref) a [`RawCertificate`] as well.
#[derive(Clone, Copy, Debug)]
pub struct Certificate<'a> {
    raw: RawCertificate<'a>,
    corpus_hash: &'a str,
    created_at: &'a str,
    model_id: &'a str,
    task_description: &'a str,
    cache_id: &'a str,
}

impl<'a> Certificate<'a> {
    /// The certificate in `bytes`, in the one layout whose length they have.
    ///
    /// Nothing is copied, and of the vectors nothing is read: they may hold infinities and NaN. Cost: constant but for the text,
    /// which has at most 320 bytes.
    ///
    /// # Errors
    /// The first breach in the order of spec/engram.md, "Checks of a certificate", with its offset: those of
    /// [`RawCertificate::parse`], then [`ErrorKind::CertificateText`], [`ErrorKind::Number`], [`ErrorKind::Utf8`] and
    /// [`ErrorKind::Code`], which leave [`RawCertificate::parse`] to read what is there.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        Self::check(RawCertificate::parse(bytes)?)
    }

    /// Checks what `raw` has located.
    ///
    /// # Errors
    /// As [`Certificate::parse`]; if its length is not right, [`ErrorKind::Truncated`] or [`ErrorKind::TrailingBytes`].
    pub fn from_raw(raw: &RawCertificate<'a>) -> Result<Self> {
        Self::check(RawCertificate::parse_as(raw.bytes, raw.layout())?)
    }

    fn check(raw: RawCertificate<'a>) -> Result<Self> {
        let header = raw.header;
        let corpus_hash = padded("corpus_hash", &header.corpus_hash, 5)?;
        let created_at = padded("created_at", &header.created_at, 37)?;
        let model_id = padded("model_id", &header.model_id, 57)?;
        for (field, number, offset) in [
            ("l2_norm", raw.l2_norm(), 83),
            ("scs", raw.scs(), 87),
            ("margin_proof", raw.margin_proof(), 91),
            ("eigenform_score", raw.eigenform_score(), 103),
        ] {
            if !number.is_finite() {
                return Err(Error::new(ErrorKind::Number { field }, offset));
            }
        }
        let [_, _, _, (_, task_description_at), (_, cache_id_at), _, (_, extension_at)] = raw.offsets();
        let text = |field, bytes: &'a [u8], offset: u64| match prefix(bytes) {
            (valid, []) => Ok(valid),
            (valid, _) => {
                Err(Error::new(ErrorKind::Utf8 { field }, offset.saturating_add(valid.len() as u64)))
            }
        };
        let task_description = text("task_description", raw.task_description, task_description_at)?;
        let cache_id = text("cache_id", raw.cache_id, cache_id_at)?;
        let found = raw.confusion_flag_byte();
        if found > 1 {
            return Err(Error::new(ErrorKind::Code { field: "confusion_flag", found }, extension_at));
        }
        Ok(Self { raw, corpus_hash, created_at, model_id, task_description, cache_id })
    }

    /// The same, with nothing judged.
    #[must_use]
    pub const fn raw(&self) -> &RawCertificate<'a> {
        &self.raw
    }

    /// The hash of the basis: 32 hexadecimal digits in the original.
    #[must_use]
    pub const fn corpus_hash(&self) -> &'a str {
        self.corpus_hash
    }

    /// The time of making: `YYYY-MM-DDTHH:MM:SS` in the original. Not judged.
    #[must_use]
    pub const fn created_at(&self) -> &'a str {
        self.created_at
    }

    /// The model, of which the original keeps 16 bytes.
    #[must_use]
    pub const fn model_id(&self) -> &'a str {
        self.model_id
    }

    /// What the context is about.
    #[must_use]
    pub const fn task_description(&self) -> &'a str {
        self.task_description
    }

    /// The id of the cache that the certificate stands for.
    #[must_use]
    pub const fn cache_id(&self) -> &'a str {
        self.cache_id
    }

    /// Whether the fingerprint is easily taken for another's.
    #[must_use]
    pub fn confusion_flag(&self) -> bool {
        self.raw.confusion_flag_byte() == 1
    }
}

impl<'a> Deref for Certificate<'a> {
    type Target = RawCertificate<'a>;

    fn deref(&self) -> &Self::Target {
        &self.raw
    }
}

/// The ASCII before the zero bytes that fill a field up.
fn padded<'a>(field: &'static str, bytes: &'a [u8], offset: u64) -> Result<&'a str> {
    let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (text, padding) = bytes.split_at_checked(len).unwrap_or((bytes, &[]));
    match core::str::from_utf8(text) {
        Ok(text) if text.is_ascii() && padding.iter().all(|byte| *byte == 0) => Ok(text),
        _ => Err(Error::new(ErrorKind::CertificateText { field }, offset)),
    }
}
