//! The value rules: steps 7 to 21 of spec/frame.md and the checks of the typed views, each of which goes on after
//! a breach.
#![deny(clippy::arithmetic_side_effects)]

use alloc::vec::Vec;

use super::walk::{Anatomy, Config, Verify};
use super::{engram, gist, ledger, mirror};
use crate::beacon::Results;
use crate::beacon::stats::Sigma;
use crate::error::ErrorKind;
use crate::frame::{Context, ContextHash, DIGEST_FREE_SIZE, Element, Kind, TlvType, sha256};
use crate::wire::size;

/// Breaches of one list that are told; one torn to pieces would fill the report.
pub(super) const MAX_BREACHES: usize = 16;

/// Where the parts of CALIB_STATS_V1 are, from its value's start.
pub(super) struct Spread {
    pub(super) mu_len: usize,
    /// Bytes of a value of Sigma.
    pub(super) width: usize,
    pub(super) sigma: Option<Sigma>,
}

pub(super) fn check(frame: &mut Anatomy<'_>, key: Option<Verify<'_>>) {
    if let Some(config) = frame.config {
        check_config(frame, config);
    }
    check_envelope(frame);
    check_context(frame);
    match frame.config {
        Some(config) if config.kind == Kind::BEACON => check_beacon(frame, config),
        Some(config) if config.kind == Kind::LEDGER_CHUNK => ledger::check_chunk(frame, config),
        Some(config) if config.kind == Kind::LEDGER_INDEX => ledger::check_index(frame, config),
        Some(config) if config.kind == Kind::MIRROR => mirror::check_mirror(frame, config),
        Some(config) if config.kind == Kind::GIST => gist::check_gist(frame, config),
        Some(config) if config.kind == Kind::BLOCKS => mirror::check_blocks(frame, config),
        Some(config) if config.kind == Kind::ENGRAM_INDEX => engram::check_index(frame, config),
        Some(config) if config.kind == Kind::WHITENING => engram::check_whitening(frame, config),
        _ => {}
    }
    if let Some(verify) = key {
        check_mac(frame, verify);
    }
}

/// The flags, and their place; no flags without FLAGS_V1.
pub(super) fn flags(frame: &Anatomy<'_>) -> (u32, usize, bool) {
    let bits = frame.tlv(TlvType::FLAGS).and_then(|piece| {
        let bits = frame.value(piece).first_chunk()?;
        Some((u32::from_be_bytes(*bits), piece.value_at(), true))
    });
    bits.unwrap_or((0, frame.place_of(TlvType::FLAGS), false))
}

/// Whether the payload's length is known, and not known to be damaged: a hash over anything else says nothing.
pub(super) fn is_measured(frame: &Anatomy<'_>) -> bool {
    frame.complete && frame.crc.is_some() && !frame.fit.is_some_and(|fit| fit.corrected)
}

fn covered<'a>(frame: &Anatomy<'a>, without: &[u8]) -> Vec<&'a [u8]> {
    let tlvs = frame.tlvs.iter().filter(|piece| !without.contains(&piece.tlv_type));
    let tlvs = tlvs.map(|piece| frame.slice(piece.at, piece.end()));
    let payload = frame.slice(frame.payload_at, frame.payload_end);
    [frame.slice(4, 12)].into_iter().chain(tlvs).chain([payload]).collect()
}

pub(super) fn hash_at<'a>(frame: &Anatomy<'a>, tlv_type: u8) -> Option<(u8, &'a [u8; 32], usize)> {
    let piece = frame.tlv(tlv_type)?;
    let (version, rest) = frame.value(piece).split_first()?;
    Some((*version, rest.first_chunk()?, piece.value_at()))
}

fn check_config(frame: &mut Anatomy<'_>, config: Config) {
    let at = |field: usize| config.at.saturating_add(field);
    let (element, found) = (config.element, config.delta_q16);
    if Element::from_code(element).is_none() {
        frame.find(at(1), ErrorKind::Element { found: element });
    }
    if config.reserved != 0 {
        frame.find(at(2), ErrorKind::Reserved { field: "CONFIG_V1.reserved" });
    }
    // An element that nobody knows says nothing about the step.
    if Element::from_code(element).is_some() && (found != 0) != (element == Element::I16.code()) {
        frame.find(at(12), ErrorKind::DeltaQ16 { element, found });
    }
}

fn check_envelope(frame: &mut Anatomy<'_>) {
    let (flags, flags_at, flags_there) = flags(frame);
    if flags & 0xFFF8 != 0 {
        frame.find(flags_at, ErrorKind::FlagBits { found: flags });
    }
    for tlv in [TlvType::DIGEST, TlvType::HMAC] {
        if let Some((found, _, at)) = hash_at(frame, tlv)
            && found != 1
        {
            frame.find(at, ErrorKind::ValueVersion { tlv, found });
        }
    }
    let padding = frame.tlv(TlvType::PAD).and_then(|piece| {
        let at = frame.value(piece).iter().position(|&byte| byte != 0)?;
        Some(piece.value_at().saturating_add(at))
    });
    if let Some(at) = padding {
        frame.find(at, ErrorKind::Padding);
    }
    let wrong = frame
        .tlv(TlvType::CONTEXT)
        .filter(|piece| ContextHash::of(frame.value(piece)).0 != frame.slice(4, 12))
        .map(|piece| (piece.value_at(), piece.end()));
    if let Some((at, end)) = wrong {
        frame.find_before(end, at, ErrorKind::ContextHash);
    }

    // Below this line, what is missing counts, so the header has to be there up to END.
    if !frame.complete {
        return;
    }
    if let Some((_, hash, at)) = hash_at(frame, TlvType::DIGEST) {
        let tlvs = [TlvType::DIGEST, TlvType::HMAC, TlvType::PAD, TlvType::END];
        frame.digest = is_measured(frame).then(|| sha256(&covered(frame, &tlvs)));
        if frame.digest.is_some_and(|digest| digest != *hash) {
            frame.find(at.saturating_add(1), ErrorKind::Digest);
        }
    } else if frame.tlv(TlvType::DIGEST).is_none() {
        let size = frame.payload_end.saturating_sub(4) as u64;
        let is_chunk = frame.config.is_some_and(|config| config.kind == Kind::LEDGER_CHUNK);
        if is_chunk || (frame.crc.is_some() && size > DIGEST_FREE_SIZE) {
            frame.find_missing(frame.place_of(TlvType::DIGEST), ErrorKind::DigestMissing);
        }
    }
    let hmac = frame.tlv(TlvType::HMAC).is_some();
    if (flags & 1 != 0) != hmac {
        find_flags(frame, flags_at, flags_there, ErrorKind::FlagsHmac { hmac });
    }
}

fn find_flags(frame: &mut Anatomy<'_>, at: usize, there: bool, kind: ErrorKind) {
    if there { frame.find(at, kind) } else { frame.find_missing(at, kind) }
}

/// `Frame::context`.
fn check_context(frame: &mut Anatomy<'_>) {
    let Some(piece) = frame.tlv(TlvType::CONTEXT) else { return };
    let (at, end) = (piece.value_at(), piece.end());
    match Context::parse(frame.value(piece)) {
        Ok(context) => {
            let dim = frame.config.map(|config| match config.kind {
                Kind::LEDGER_CHUNK | Kind::LEDGER_INDEX => 0,
                _ => config.dim,
            });
            if dim.is_some_and(|dim| dim != context.dim()) {
                frame.find(at, ErrorKind::Context { reason: "dim is not that of CONFIG_V1" });
            }
        }
        Err(error) => {
            let at = at.saturating_add(usize::try_from(error.offset()).unwrap_or(0));
            frame.find_before(end, at, error.kind());
        }
    }
}

/// Of 03 to 7F only those that the kind has.
pub(super) fn foreign_tlvs(frame: &mut Anatomy<'_>, kind: Kind, own: &[u8]) {
    let foreign: Vec<_> = frame
        .tlvs
        .iter()
        .filter(|piece| (0x03..=0x7F).contains(&piece.tlv_type) && !own.contains(&piece.tlv_type))
        .map(|piece| (piece.at, ErrorKind::ForeignTlv { tlv: piece.tlv_type, kind: kind.0 }))
        .collect();
    for (at, kind) in foreign {
        frame.find(at, kind);
    }
}

/// The value of a TLV that the kind requires; a breach where it is missing for certain.
pub(super) fn required<'a, T>(
    frame: &mut Anatomy<'a>,
    tlv: u8,
    value: fn(&Anatomy<'a>) -> Option<T>,
) -> Option<T> {
    let found = value(frame);
    if found.is_none() && frame.complete && frame.tlv(tlv).is_none() {
        frame.find_missing(frame.place_of(tlv), ErrorKind::TlvMissing { tlv });
    }
    found
}

/// `Beacon::from_frame`.
fn check_beacon(frame: &mut Anatomy<'_>, config: Config) {
    foreign_tlvs(frame, config.kind, &[TlvType::CALIB_STATS, TlvType::RESULTS]);
    let at = |field: usize| config.at.saturating_add(field);
    if config.element != Element::I16.code() {
        frame.find(at(1), ErrorKind::Code { field: "CONFIG_V1.element", found: config.element });
    }
    if config.rows == 0 {
        frame.find(at(4), ErrorKind::Shape { field: "CONFIG_V1.rows", needed: 1, found: 0 });
    }
    if config.dim == 0 {
        frame.find(at(8), ErrorKind::Shape { field: "CONFIG_V1.dim", needed: 1, found: 0 });
    }
    match size("payload", 0, &[u64::from(config.rows), u64::from(config.dim), 2]) {
        Ok(needed) if needed != config.payload_len => {
            let found = config.payload_len;
            frame.find(at(16), ErrorKind::Shape { field: "CONFIG_V1.payload_len", needed, found });
        }
        Ok(_) => {}
        Err(error) => frame.find(at(16), error.kind()),
    }
    check_calibration(frame, config.dim);

    let results = match frame.tlv(TlvType::RESULTS) {
        Some(piece) => match Results::parse(frame.value(piece)) {
            Ok(results) => Some(results),
            Err(error) => {
                let (end, place) = (piece.end(), usize::try_from(error.offset()).unwrap_or(0));
                let at = piece.value_at().saturating_add(place);
                frame.find_before(end, at, error.kind());
                return;
            }
        },
        None if !frame.complete => return,
        None => None,
    };
    let (flags, flags_at, there) = flags(frame);
    for (flag, set, due) in [
        ("ALERT", flags & 2 != 0, results.is_some_and(|results| results.alert())),
        ("BASELINE", flags & 4 != 0, results.is_some_and(|results| results.against_baseline())),
    ] {
        if set != due {
            find_flags(frame, flags_at, there, ErrorKind::FlagsResults { flag });
        }
    }
}

/// Where mu and Sigma are in a value of CALIB_STATS_V1, and the length it has to have.
pub(super) fn spread(value: &[u8]) -> Option<(Spread, u64)> {
    let (&[sigma_kind, has_mu, _, _, a, b, c, d], _) = value.split_first_chunk()?;
    let dim = u64::from(u32::from_be_bytes([a, b, c, d]));
    let sigma = Sigma::from_code(sigma_kind);
    let width: u64 = if sigma == Some(Sigma::Trace) { 8 } else { 4 };
    let mu = if has_mu == 1 { dim.saturating_mul(4) } else { 0 };
    // A count that overflows is in any case more than a TLV holds.
    let count = sigma.map_or(0, |sigma| sigma.values(dim).unwrap_or(u64::MAX));
    let needed = count.saturating_mul(width).saturating_add(mu).saturating_add(32);
    let mu_len = usize::try_from(mu).unwrap_or(usize::MAX);
    Some((Spread { mu_len, width: if width == 8 { 8 } else { 4 }, sigma }, needed))
}

fn check_calibration(frame: &mut Anatomy<'_>, config_dim: u32) {
    let Some((value, tlv_at)) = frame.tlv(TlvType::CALIB_STATS).map(|piece| (frame.value(piece), piece.at))
    else {
        return;
    };
    // Shorter values were found out by their length.
    let Some((head, rest)) = value.split_first_chunk::<32>() else { return };
    let &[sigma_kind, has_mu, r0, r1, a, b, c, d, ref numbers @ ..] = head;
    let value_at = tlv_at.saturating_add(3);
    let at = |field: usize| value_at.saturating_add(field);

    if Sigma::from_code(sigma_kind).is_none() {
        frame.find(at(0), ErrorKind::Code { field: "CALIB_STATS_V1.sigma_kind", found: sigma_kind });
    }
    if has_mu > 1 {
        frame.find(at(1), ErrorKind::Code { field: "CALIB_STATS_V1.has_mu", found: has_mu });
    }
    if [r0, r1] != [0, 0] {
        frame.find(at(2), ErrorKind::Reserved { field: "CALIB_STATS_V1.reserved" });
    }
    let dim = u32::from_be_bytes([a, b, c, d]);
    if dim != config_dim {
        let (needed, found) = (u64::from(config_dim), u64::from(dim));
        frame.find(at(4), ErrorKind::Shape { field: "CALIB_STATS_V1.dim", needed, found });
    }
    let mut numbers = numbers.as_chunks().0.iter().map(|&bytes| f64::from_be_bytes(bytes));
    let mut number = || numbers.next().unwrap_or(f64::NAN);
    let (w, t0, t1) = (number(), number(), number());
    if !(w.is_finite() && w >= 0.0) {
        frame.find(at(8), ErrorKind::Number { field: "CALIB_STATS_V1.w" });
    }
    if !t0.is_finite() {
        frame.find(at(16), ErrorKind::Number { field: "CALIB_STATS_V1.t0" });
    }
    // Against a t0 that is no number, t1 cannot be wrong.
    if !t1.is_finite() || t1 < t0 {
        frame.find(at(24), ErrorKind::Number { field: "CALIB_STATS_V1.t1" });
    }
    let Some((spread, needed)) = spread(value) else { return };
    let (Some(_), 0..=1) = (spread.sigma, has_mu) else { return };
    if needed != value.len() as u64 {
        let needed = u32::try_from(needed).unwrap_or(u32::MAX);
        let found = u32::try_from(value.len()).unwrap_or(u32::MAX);
        frame.find(
            tlv_at.saturating_add(1),
            ErrorKind::TlvLength { tlv: TlvType::CALIB_STATS, needed, found },
        );
        return;
    }
    let (mu, sigma) = rest.split_at_checked(spread.mu_len).unwrap_or_default();
    for (bytes, width, before, field) in [
        (mu, 4usize, 32usize, "CALIB_STATS_V1.mu"),
        (sigma, spread.width, spread.mu_len.saturating_add(32), "CALIB_STATS_V1.sigma"),
    ] {
        // The first of each; a value torn to pieces would fill the report.
        if let Some(i) = bytes.chunks(width).position(|number| !is_finite(number)) {
            frame.find(at(before.saturating_add(i.saturating_mul(width))), ErrorKind::Number { field });
        }
    }
}

/// Whether 4 or 8 big-endian bytes are a finite number.
fn is_finite(bytes: &[u8]) -> bool {
    match (bytes.first_chunk(), bytes.first_chunk()) {
        (Some(&double), _) => f64::from_be_bytes(double).is_finite(),
        (None, Some(&single)) => f32::from_be_bytes(single).is_finite(),
        (None, None) => false,
    }
}

/// `Frame::verify`.
fn check_mac(frame: &mut Anatomy<'_>, verify: Verify<'_>) {
    if let Some((_, tag, at)) = hash_at(frame, TlvType::HMAC) {
        let parts = covered(frame, &[TlvType::HMAC, TlvType::END]);
        if is_measured(frame) && !verify(&parts, tag) {
            frame.find(at.saturating_add(1), ErrorKind::Hmac);
        }
    } else if frame.complete && frame.tlv(TlvType::HMAC).is_none() {
        frame.find_missing(frame.place_of(TlvType::HMAC), ErrorKind::HmacMissing);
    }
}
