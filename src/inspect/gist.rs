//! The checks of spec/gist.md, each of which goes on after a breach.
#![deny(clippy::arithmetic_side_effects)]

use super::checks::{foreign_tlvs, required};
use super::mirror::{element_size, payload_len};
use super::walk::{Anatomy, Config};
use crate::error::ErrorKind;
use crate::frame::TlvType;

/// GIST_V1 with no rule applied.
#[derive(Clone, Copy)]
pub(super) struct GistValue {
    at: usize,
    pub(super) layers: u32,
    pub(super) heads: u32,
    pub(super) tokens: u32,
    pub(super) head_dim: u32,
    pub(super) source_tokens: u64,
}

impl GistValue {
    pub(super) fn of(frame: &Anatomy<'_>) -> Option<Self> {
        let piece = frame.tlv(TlvType::GIST)?;
        let (words, rest) = frame.value(piece).first_chunk::<56>()?.as_chunks::<4>();
        debug_assert!(rest.is_empty());
        let &[layers, heads, tokens, head_dim, high, low, ..] = words else { return None };
        let [layers, heads, tokens, head_dim] = [layers, heads, tokens, head_dim].map(u32::from_be_bytes);
        let source_tokens = u64::from(u32::from_be_bytes(high)) << 32 | u64::from(u32::from_be_bytes(low));
        Some(Self { at: piece.value_at(), layers, heads, tokens, head_dim, source_tokens })
    }

    /// The members of the shape, their places in the value and their names.
    const fn members(&self) -> [(usize, &'static str, u32); 4] {
        [
            (0, "GIST_V1.n_layers", self.layers),
            (4, "GIST_V1.n_kv_heads", self.heads),
            (8, "GIST_V1.n_gist", self.tokens),
            (12, "GIST_V1.head_dim", self.head_dim),
        ]
    }

    /// Rows of keys and values.
    pub(super) fn rows(&self) -> Option<u64> {
        let heads = u64::from(self.layers).checked_mul(2)?.checked_mul(self.heads.into())?;
        heads.checked_mul(self.tokens.into())
    }
}

/// `GistView::from_frame`.
pub(super) fn check_gist(frame: &mut Anatomy<'_>, config: Config) {
    let gist = required(frame, TlvType::GIST, GistValue::of);
    foreign_tlvs(frame, config.kind, &[TlvType::GIST]);
    let in_config = |field: usize| config.at.saturating_add(field);
    let size = element_size(config.element);
    if size.is_none() {
        let found = config.element;
        frame.find(in_config(1), ErrorKind::Code { field: "CONFIG_V1.element", found });
    }
    if let Some(gist) = &gist {
        check_shape(frame, &config, gist);
    }
    // An element that a gist cannot have says nothing about the length.
    let needed = size.map(|size| payload_len(&config, size, false));
    match needed {
        Some(Some(needed)) if needed != config.payload_len => {
            let found = config.payload_len;
            frame.find(in_config(16), ErrorKind::Shape { field: "CONFIG_V1.payload_len", needed, found });
        }
        Some(None) => frame.find(in_config(16), ErrorKind::Size { field: "payload" }),
        _ => {}
    }
    let metadata = frame.tlv(TlvType::GIST_METADATA).and_then(|piece| {
        let error = core::str::from_utf8(frame.value(piece)).err()?;
        Some(piece.value_at().saturating_add(error.valid_up_to()))
    });
    if let Some(at) = metadata {
        frame.find(at, ErrorKind::Utf8 { field: "GIST_METADATA_V1" });
    }
}

/// Steps 5 to 7.
fn check_shape(frame: &mut Anatomy<'_>, config: &Config, gist: &GistValue) {
    let in_config = |field: usize| config.at.saturating_add(field);
    let mut whole = true;
    for (place, field, found) in gist.members() {
        if found == 0 {
            whole = false;
            frame.find(gist.at.saturating_add(place), ErrorKind::Shape { field, needed: 1, found: 0 });
        }
    }
    // Of nothing at all nothing can be said but that.
    match gist.rows() {
        Some(needed) if whole && needed != u64::from(config.rows) => {
            let found = config.rows.into();
            frame.find(in_config(4), ErrorKind::Shape { field: "CONFIG_V1.rows", needed, found });
        }
        None if whole => frame.find(gist.at, ErrorKind::Size { field: "the rows of a gist" }),
        _ => {}
    }
    if gist.head_dim != 0 && gist.head_dim != config.dim {
        let (needed, found) = (gist.head_dim.into(), config.dim.into());
        frame.find(in_config(8), ErrorKind::Shape { field: "CONFIG_V1.dim", needed, found });
    }
}
