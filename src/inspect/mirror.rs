//! The checks of spec/mirror.md, each of which goes on after a breach: the views of blocks and of a mirror.
#![deny(clippy::arithmetic_side_effects)]

use super::checks::{MAX_BREACHES, foreign_tlvs, is_measured, required};
use super::tables::width;
use super::walk::{Anatomy, Config, le32};
use crate::error::ErrorKind;
use crate::frame::{Element, TlvType};

/// MIRROR_V1 with no rule applied.
#[derive(Clone, Copy)]
pub(super) struct MirrorValue {
    at: usize,
    pub(super) total_blocks: u32,
    mode: u8,
    master_element: u8,
    reserved: u16,
    threshold: f64,
}

impl MirrorValue {
    pub(super) fn of(frame: &Anatomy<'_>) -> Option<Self> {
        let piece = frame.tlv(TlvType::MIRROR)?;
        let &[a, b, c, d, mode, master_element, r0, r1, ref rest @ ..] =
            frame.value(piece).first_chunk::<48>()?;
        Some(Self {
            at: piece.value_at(),
            total_blocks: u32::from_be_bytes([a, b, c, d]),
            mode,
            master_element,
            reserved: u16::from_be_bytes([r0, r1]),
            threshold: f64::from_be_bytes(*rest.first_chunk()?),
        })
    }

    /// Bytes of an element of a master that this mode can have.
    fn master_size(&self) -> Option<u64> {
        element_size(self.master_element).filter(|_| (self.mode, self.master_element) != (1, 1))
    }

    /// Whether values of `element` go with mode and master; with an unknown mode or master any of blocks do.
    fn allows(&self, element: u8) -> bool {
        match (self.mode, self.master_size()) {
            (0, Some(_)) => element == self.master_element,
            (1, Some(_)) => element == self.master_element || element == Element::I16.code(),
            _ => element_size(element).is_some(),
        }
    }
}

/// Bytes of an element that blocks can have.
pub(super) fn element_size(code: u8) -> Option<u64> {
    use Element as E;
    let element = Element::from_code(code);
    element.filter(|element| matches!(element, E::I16 | E::F16 | E::Bf16 | E::F32)).map(|e| width(e) as u64)
}

/// Bytes of the values of `rows` blocks, and of their indices if each has one.
pub(super) fn payload_len(config: &Config, size: u64, has_indices: bool) -> Option<u64> {
    let value = u64::from(config.dim).checked_mul(size)?;
    value.checked_add(if has_indices { 4 } else { 0 })?.checked_mul(config.rows.into())
}

/// payload_len; whether it is as it has to be.
fn check_payload_len(frame: &mut Anatomy<'_>, config: Config, needed: Option<u64>) -> bool {
    let found = config.payload_len;
    let kind = match needed {
        Some(needed) if needed == found => return true,
        Some(needed) => ErrorKind::Shape { field: "CONFIG_V1.payload_len", needed, found },
        None => ErrorKind::Size { field: "payload" },
    };
    frame.find(config.at.saturating_add(16), kind);
    false
}

/// `Blocks::from_frame`.
pub(super) fn check_blocks(frame: &mut Anatomy<'_>, config: Config) {
    foreign_tlvs(frame, config.kind, &[]);
    let at = |field: usize| config.at.saturating_add(field);
    let size = element_size(config.element);
    if size.is_none() {
        frame.find(at(1), ErrorKind::Code { field: "CONFIG_V1.element", found: config.element });
    }
    for (place, field, found) in [(4, "CONFIG_V1.rows", config.rows), (8, "CONFIG_V1.dim", config.dim)] {
        if found == 0 {
            frame.find(at(place), ErrorKind::Shape { field, needed: 1, found: 0 });
        }
    }
    // An element that blocks cannot have says nothing about the length.
    if let Some(size) = size {
        check_payload_len(frame, config, payload_len(&config, size, false));
    }
}

/// `MirrorView::from_frame`.
pub(super) fn check_mirror(frame: &mut Anatomy<'_>, config: Config) {
    let mirror = required(frame, TlvType::MIRROR, MirrorValue::of);
    foreign_tlvs(frame, config.kind, &[TlvType::MIRROR]);
    let in_config = |field: usize| config.at.saturating_add(field);
    if config.dim == 0 {
        frame.find(in_config(8), ErrorKind::Shape { field: "CONFIG_V1.dim", needed: 1, found: 0 });
    }
    let element_goes = match &mirror {
        Some(mirror) => {
            check_value(frame, mirror);
            mirror.allows(config.element)
        }
        None => element_size(config.element).is_some(),
    };
    if !element_goes {
        let found = config.element;
        frame.find(in_config(1), ErrorKind::Code { field: "CONFIG_V1.element", found });
    }
    // Of no blocks at all nothing can be said but that.
    let total = mirror.map(|mirror| mirror.total_blocks).filter(|total| *total != 0);
    if let Some(mirror) = &mirror {
        let block = mirror.master_size().and_then(|size| u64::from(config.dim).checked_mul(size));
        let overflows = |block: u64| block.checked_mul(mirror.total_blocks.into()).is_none();
        if block.is_some_and(overflows) {
            frame.find(mirror.at, ErrorKind::Size { field: "the master" });
        }
    }
    if let Some(total) = total.filter(|total| config.rows > *total) {
        let (end, found) = (total.into(), config.rows.into());
        frame.find(in_config(4), ErrorKind::PastEnd { field: "CONFIG_V1.rows", end, found });
    }
    let Some(size) = element_size(config.element) else { return };
    let is_long_enough = check_payload_len(frame, config, payload_len(&config, size, true));
    if is_long_enough && is_measured(frame) {
        check_indices(frame, config.rows, total);
    }
}

/// Steps 5 to 9: MIRROR_V1 by itself.
fn check_value(frame: &mut Anatomy<'_>, mirror: &MirrorValue) {
    let at = |field: usize| mirror.at.saturating_add(field);
    if mirror.total_blocks == 0 {
        frame.find(at(0), ErrorKind::Shape { field: "MIRROR_V1.total_blocks", needed: 1, found: 0 });
    }
    if mirror.mode > 1 {
        frame.find(at(4), ErrorKind::Code { field: "MIRROR_V1.mode", found: mirror.mode });
    }
    if mirror.master_size().is_none() {
        let found = mirror.master_element;
        frame.find(at(5), ErrorKind::Code { field: "MIRROR_V1.master_element", found });
    }
    if mirror.reserved != 0 {
        frame.find(at(6), ErrorKind::Reserved { field: "MIRROR_V1.reserved" });
    }
    if !mirror.threshold.is_finite() || mirror.threshold < 0.0 {
        frame.find(at(8), ErrorKind::Number { field: "MIRROR_V1.threshold" });
    }
}

/// Step 14.
fn check_indices(frame: &mut Anatomy<'_>, rows: u32, total: Option<u32>) {
    let field = "the index of a block";
    let indices = frame.slice(frame.payload_at, frame.payload_end).chunks_exact(4).take(rows as usize);
    let (mut before, mut breaches) = (None, 0usize);
    for (i, index) in indices.enumerate() {
        let index = le32(index, 0);
        let past = total.filter(|total| index >= *total);
        let kind = if before.is_some_and(|before| index <= before) {
            Some(ErrorKind::Order { field })
        } else {
            past.map(|end| ErrorKind::PastEnd {
                field,
                end: end.into(),
                found: u64::from(index).saturating_add(1),
            })
        };
        // One that is too large would put all after it out of order.
        if past.is_none() {
            before = Some(index);
        }
        if let Some(kind) = kind {
            frame.find(frame.payload_at.saturating_add(i.saturating_mul(4)), kind);
            breaches = breaches.saturating_add(1);
            if breaches == MAX_BREACHES {
                return;
            }
        }
    }
}
