//! Certificates, against a second reader that goes by the specification's tables.

use alloc::vec::Vec;

use super::{Choices, plausible};
use crate::engram::certificate::{
    Certificate, CertificateBuilder, Excess, HalfVector, Layout, RawCertificate,
};

type Verdict<T> = Result<T, (&'static str, u64)>;

fn u16_at(data: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([data[at], data[at + 1]]))
}

/// The layout's header length, and the offset of the extension if there is one (spec/engram.md, "Checks of a certificate").
fn layout(data: &[u8]) -> Verdict<(usize, Option<usize>)> {
    let n = data.len();
    let check = |holds: bool, kind, offset: usize| if holds { Ok(()) } else { Err((kind, offset as u64)) };
    check(n >= 4, "Truncated", 0)?;
    check(data.starts_with(b"EGR1"), "CertificateMagic", 0)?;
    check(n >= 5, "Truncated", 4)?;
    check(data[4] == 1, "CertificateVersion", 4)?;
    check(n >= 99, "Truncated", 5)?;
    check(u16_at(data, 95) <= 256, "TooLarge", 95)?;
    check(u16_at(data, 97) <= 64, "TooLarge", 97)?;
    let short = 99 + 4 * u16_at(data, 73) + 256 + u16_at(data, 95) + u16_at(data, 97);
    check(n >= short, "Truncated", 99)?;
    if n == short {
        return Ok((99, None));
    }
    let plain = short + 8 + 2 * u16_at(data, 99);
    let extension = (n >= plain + 3).then_some(plain);
    let long = extension.map_or(plain, |at| at + 3 + 2 * u16_at(data, at + 1));
    check(n == long, "CertificateLength", n.min(long))?;
    Ok((107, extension))
}

fn content(data: &[u8], header: usize, extension: Option<usize>) -> Verdict<()> {
    for (at, len) in [(5, 32), (37, 20), (57, 16)] {
        let field = &data[at..at + len];
        let text = field.split(|byte| *byte == 0).next().unwrap();
        if !text.is_ascii() || field[text.len()..].iter().any(|byte| *byte != 0) {
            return Err(("CertificateText", at as u64));
        }
    }
    for at in [83, 87, 91, 103].into_iter().filter(|at| *at < header) {
        // The exponent is all ones.
        if data[at + 3] & 0x7F == 0x7F && data[at + 2] & 0x80 != 0 {
            return Err(("Number", at as u64));
        }
    }
    let task = header + 4 * u16_at(data, 73) + 256;
    let cache = task + u16_at(data, 95);
    for (at, end) in [(task, cache), (cache, cache + u16_at(data, 97))] {
        if let Err(error) = core::str::from_utf8(&data[at..end]) {
            return Err(("Utf8", (at + error.valid_up_to()) as u64));
        }
    }
    match extension {
        Some(at) if data[at] > 1 => Err(("Code", at as u64)),
        _ => Ok(()),
    }
}

fn values(vector: HalfVector<'_>) -> Vec<f32> {
    let mut values = alloc::vec![0.0; vector.len()];
    vector.copy_into(&mut values).unwrap();
    for (i, (value, half)) in values.iter().zip(vector.as_bytes().chunks(2)).enumerate() {
        let expected = half::f16::from_le_bytes([half[0], half[1]]).to_f32();
        assert!(value.to_bits() == expected.to_bits() || value.is_nan() && expected.is_nan());
        assert_eq!(vector.get(i).unwrap().to_bits(), value.to_bits());
    }
    values
}

/// [`Certificate`]: any file gets the verdict of a second reader; an accepted one of 107 bytes of header is written again to the byte; of a
/// refused one every byte can still be had. What the writer makes is accepted.
pub fn certificate(data: &[u8]) {
    verdict(data);
    written(data);
    // Past the magic and the version.
    let mut mended = b"EGR1\x01".to_vec();
    mended.extend(data.get(5..).unwrap_or_default());
    // To texts that are not too long, and the length that the fields give, if that is not far.
    if let Some(lens) = mended.get_mut(95..99) {
        lens.copy_from_slice(&[lens[0] & 63, 0, lens[2] & 63, 0]);
    }
    if let Ok(raw) = RawCertificate::locate(&mended, Layout::Header107) {
        let len = usize::try_from(raw.expected_len()).unwrap();
        mended.resize(len.min(1 << 13), b'x');
    }
    verdict(&mended);
}

fn verdict(data: &[u8]) {
    let located = layout(data);
    let raw = RawCertificate::parse(data);
    let found =
        raw.map(|raw| raw.layout().header_len()).map_err(|error| (error.kind().name(), error.offset()));
    assert_eq!(found, located.map(|(header, _)| header));
    let checked = located.and_then(|(header, extension)| content(data, header, extension));
    let certificate = Certificate::parse(data);
    assert_eq!(certificate.map(|_| ()).map_err(|error| (error.kind().name(), error.offset())), checked);
    if let Err(error) = certificate {
        plausible(&error, data.len());
    }
    if let Ok(raw) = raw {
        assert_eq!((raw.missing(), raw.rest().len(), raw.expected_len()), (0, 0, data.len() as u64));
        assert!(RawCertificate::parse_as(data, raw.layout()).is_ok());
        let from_raw = Certificate::from_raw(&raw);
        assert_eq!(from_raw.err(), certificate.err());
    }
    for layout in [Layout::Header99, Layout::Header107] {
        if let Err(error) = RawCertificate::parse_as(data, layout) {
            plausible(&error, data.len());
        }
        match RawCertificate::locate(data, layout) {
            Ok(raw) => whole(&raw),
            Err(error) => plausible(&error, data.len()),
        }
    }
    if let Ok(certificate) = certificate {
        again(&certificate);
    }
}

/// The parts are the file, in its order and without a gap.
fn whole(raw: &RawCertificate<'_>) {
    let bytes = raw.as_bytes();
    let header = &bytes[..raw.layout().header_len()];
    let [vec_perdoc, vec_fcdb, joint_center, vec_fourier, vec_fourier_v2] =
        [raw.vec_perdoc(), raw.vec_fcdb(), raw.joint_center(), raw.vec_fourier(), raw.vec_fourier_v2()];
    let counted = |vector: HalfVector<'_>| vector.as_bytes().len();
    let text = raw.task_description_bytes().len() + raw.cache_id_bytes().len();
    let extension = if raw.has_extension() { 3 } else { 0 };
    let sum = header.len()
        + counted(vec_perdoc)
        + counted(vec_fcdb)
        + counted(joint_center)
        + text
        + counted(vec_fourier)
        + extension
        + counted(vec_fourier_v2)
        + raw.rest().len();
    // An odd byte of a vector that is cut belongs to no component, and nothing follows it.
    assert!(sum == bytes.len() || sum + 1 == bytes.len() && raw.missing() > 0);
    let (valid, rest) = raw.task_description_prefix();
    assert_eq!([valid.as_bytes(), rest].concat(), raw.task_description_bytes());
    let (valid, rest) = raw.cache_id_prefix();
    assert_eq!([valid.as_bytes(), rest].concat(), raw.cache_id_bytes());
    for (_, offset) in raw.offsets() {
        assert!(offset <= bytes.len() as u64);
    }
}

/// Written again it is the same, but for what the writer never writes.
fn again(found: &Certificate<'_>) {
    let [vec_perdoc, vec_fcdb, joint_center, vec_fourier, vec_fourier_v2] = [
        found.vec_perdoc(),
        found.vec_fcdb(),
        found.joint_center(),
        found.vec_fourier(),
        found.vec_fourier_v2(),
    ]
    .map(values);
    let builder = CertificateBuilder {
        corpus_hash: found.corpus_hash(),
        created_at: found.created_at(),
        model_id: found.model_id(),
        n_corpus: found.n_corpus(),
        layer_range: found.layer_range(),
        context_len: found.context_len(),
        l2_norm: found.l2_norm(),
        scs: found.scs(),
        margin_proof: found.margin_proof(),
        task_description: found.task_description(),
        cache_id: found.cache_id(),
        local_density: found.local_density(),
        eigenform_score: found.eigenform_score(),
        confusion_flag: found.confusion_flag(),
        vec_perdoc: &vec_perdoc,
        vec_fcdb: &vec_fcdb,
        joint_center: &joint_center,
        vec_fourier: &vec_fourier,
        vec_fourier_v2: &vec_fourier_v2,
        excess: Excess::Refuse,
    };
    let bytes = builder.to_vec().unwrap();
    let nothing = found.has_extension() && !found.confusion_flag() && vec_fourier_v2.is_empty();
    let original = found.as_bytes();
    match found.layout() {
        Layout::Header107 if nothing => assert_eq!(bytes, original[..original.len() - 3]),
        Layout::Header107 => assert_eq!(bytes, original),
        Layout::Header99 => {
            assert_eq!(bytes[..99], original[..99]);
            assert_eq!(bytes[99..107], [0, 0, 0, 0, 0, 0, 0x80, 0x3F]);
            assert_eq!(bytes[107..], original[99..]);
        }
    }
}

/// Any values at all: refused and nothing written, or accepted when read.
fn written(data: &[u8]) {
    let mut choices = Choices(data);
    let excess = [Excess::Refuse, Excess::Trim, Excess::Original][choices.below(3)];
    let [rank, fourier, second] = [8, 6, 6].map(|bound| choices.below(bound));
    let flag = choices.byte() & 1 == 1;
    let [l2_norm, eigenform_score] = [0, 1].map(|_| f32::from_le_bytes(choices.array()));
    let text = |len| alloc::string::String::from_utf8_lossy(len).into_owned();
    let id = text(choices.bytes(7));
    let lens = [choices.below(300), choices.below(80)];
    let [task_description, cache_id] = lens.map(|len| text(choices.bytes(len)));
    let mut floats = |n: usize| -> Vec<f32> { (0..n).map(|_| f32::from_le_bytes(choices.array())).collect() };
    let [vec_perdoc, vec_fcdb, vec_fourier, vec_fourier_v2] = [rank, rank, fourier, second].map(&mut floats);
    let joint_center = floats(128);
    let builder = CertificateBuilder {
        model_id: &id,
        l2_norm,
        eigenform_score,
        task_description: &task_description,
        cache_id: &cache_id,
        confusion_flag: flag,
        vec_perdoc: &vec_perdoc,
        vec_fcdb: &vec_fcdb,
        joint_center: &joint_center,
        vec_fourier: &vec_fourier,
        vec_fourier_v2: &vec_fourier_v2,
        excess,
        ..CertificateBuilder::default()
    };
    let mut out = [0xAA; 1024];
    match builder.encode_into(&mut out) {
        Err(error) => {
            super::printable(&error);
            assert!(out.iter().all(|byte| *byte == 0xAA));
            assert_eq!(builder.encoded_len(), Err(error));
        }
        Ok(len) => {
            assert_eq!(builder.encoded_len(), Ok(len));
            let raw = RawCertificate::parse_as(&out[..len], Layout::Header107).unwrap();
            let cut = |text: &str, bytes: &[u8]| text.as_bytes().starts_with(bytes);
            assert!(cut(&task_description, raw.task_description_bytes()));
            assert!(cut(&cache_id, raw.cache_id_bytes()));
            assert_eq!(raw.vec_fourier().len(), fourier);
            let certificate = Certificate::parse(&out[..len]);
            assert!(certificate.is_ok() || excess == Excess::Original, "{certificate:?}");
        }
    }
}
