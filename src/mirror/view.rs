//! The view of a mirror (spec/mirror.md, "Checks of the mirror's view").
#![deny(clippy::arithmetic_side_effects)]

use zerocopy::FromBytes;
use zerocopy::byteorder::big_endian::{F64, U16, U32};
use zerocopy::byteorder::little_endian;

use super::diff::{DiffOptions, Mode};
use super::master::Master;
use super::shape::{Scalar, Shape};
use crate::arch::blocks as kernel;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Config, Element, Frame, Kind, TlvType};
use crate::wire::{check_len, layout, size};

layout! {
    pub(crate) struct MirrorRaw {
        total_blocks: U32,
        mode: u8,
        master_element: u8,
        reserved: U16,
        threshold: F64,
        master_digest: [u8; 32],
    }
}

/// A checked mirror over borrowed bytes: which blocks of an agent differ from its master, and by what. Needs no allocator.
#[derive(Clone, Copy, Debug)]
pub struct MirrorView<'a> {
    frame: Frame<'a>,
    raw: &'a MirrorRaw,
    mode: Mode,
    indices: &'a [little_endian::U32],
    values: &'a [u8],
    /// Bytes of a value: the payload holds `rows` of them.
    value_len: usize,
}

impl<'a> MirrorView<'a> {
    /// The mirror that `frame` carries.
    ///
    /// Cost: linear in the number of blocks that differ; of the values nothing is read.
    ///
    /// # Errors
    /// The first breach in the order of spec/mirror.md, with its offset from the frame's start.
    pub fn from_frame(frame: &Frame<'a>) -> Result<Self> {
        let tlv = frame.header().only_tlv(Kind::MIRROR, TlvType::MIRROR)?;
        let (config, config_at, value_at) = (frame.config(), frame.config_place(), tlv.value_offset());
        let at_config = |field: u64, kind| Error::new(kind, config_at.saturating_add(field));
        let at_value = |field: u64, kind| Error::new(kind, value_at.saturating_add(field));
        if config.dim == 0 {
            let kind = ErrorKind::Shape { field: "CONFIG_V1.dim", needed: 1, found: 0 };
            return Err(at_config(8, kind));
        }
        // The frame's reader held the type to its length.
        let raw = MirrorRaw::ref_from_bytes(tlv.value)
            .map_err(|_| at_value(0, ErrorKind::Size { field: "MIRROR_V1" }))?;
        let master_size = raw.check(value_at)?;
        let Some((mode, stored)) = raw.mode_of(config) else {
            let kind = ErrorKind::Code { field: "CONFIG_V1.element", found: config.element.code() };
            return Err(at_config(1, kind));
        };
        let (rows, dim) = (u64::from(config.rows), u64::from(config.dim));
        let total = raw.total_blocks.get();
        size("the master", value_at, &[u64::from(total), dim, master_size])?;
        if config.rows > total {
            let (end, found) = (u64::from(total), rows);
            return Err(at_config(4, ErrorKind::PastEnd { field: "CONFIG_V1.rows", end, found }));
        }
        let overflow = at_config(16, ErrorKind::Size { field: "payload" });
        let value_len = dim.checked_mul(stored.size() as u64).ok_or(overflow)?;
        let needed = value_len.checked_add(4).and_then(|row| row.checked_mul(rows)).ok_or(overflow)?;
        if needed != config.payload_len {
            let found = config.payload_len;
            let kind = ErrorKind::Shape { field: "CONFIG_V1.payload_len", needed, found };
            return Err(at_config(16, kind));
        }
        // As many as the payload in memory has room for.
        let count = usize::try_from(config.rows).unwrap_or(usize::MAX);
        let split = <[little_endian::U32]>::ref_from_prefix_with_elems(frame.payload(), count);
        let (indices, values) = split.map_err(|_| overflow)?;
        // Without rows nothing has this length, which may then be over what this machine addresses.
        let value_len = usize::try_from(value_len).unwrap_or(usize::MAX);
        let view = Self { frame: *frame, raw, mode, indices, values, value_len };
        view.check_indices()?;
        Ok(view)
    }

    fn check_indices(&self) -> Result<()> {
        let total = self.total_blocks();
        let (mut at, mut least) = (self.frame.payload_offset(), 0);
        for index in self.indices {
            let index = index.get();
            if index < least {
                return Err(Error::new(ErrorKind::Order { field: "the index of a block" }, at));
            }
            if index >= total {
                let (end, found) = (u64::from(total), u64::from(index).saturating_add(1));
                return Err(Error::new(ErrorKind::PastEnd { field: "the index of a block", end, found }, at));
            }
            // Below `total`, so there is a next number.
            least = index.saturating_add(1);
            at = at.saturating_add(4);
        }
        Ok(())
    }

    /// Parses the mirror that fills `bytes` exactly.
    ///
    /// # Errors
    /// As [`Frame::parse_exact`] and [`from_frame`](Self::from_frame).
    pub fn parse_exact(bytes: &'a [u8]) -> Result<Self> {
        Self::from_frame(&Frame::parse_exact(bytes)?)
    }

    /// The frame.
    #[must_use]
    pub const fn frame(&self) -> &Frame<'a> {
        &self.frame
    }

    /// How many blocks differ.
    #[must_use]
    pub fn difference_blocks(&self) -> u32 {
        self.frame.config().rows
    }

    /// Elements of a block.
    #[must_use]
    pub fn dim(&self) -> u32 {
        self.frame.config().dim
    }

    /// Blocks of the master, and of the agent.
    #[must_use]
    pub const fn total_blocks(&self) -> u32 {
        self.raw.total_blocks.get()
    }

    /// What is stored of a block that differs.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The L2 norm up to which differences were left out.
    #[must_use]
    pub const fn threshold(&self) -> f64 {
        self.raw.threshold.get()
    }

    /// How the mirror was made.
    #[must_use]
    pub const fn options(&self) -> DiffOptions {
        DiffOptions { mode: self.mode(), threshold: self.threshold() }
    }

    /// SHA-256 of the master's blocks.
    #[must_use]
    pub const fn master_digest(&self) -> &'a [u8; 32] {
        &self.raw.master_digest
    }

    /// The master's shape, which is the agent's.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] if this machine cannot address so much.
    pub fn master_shape(&self) -> Result<Shape> {
        Shape::new(self.master_scalar(), self.total_blocks(), self.dim())
    }

    fn master_scalar(&self) -> Scalar {
        let element = Element::from_code(self.raw.master_element);
        let step = self.frame.config().delta_q16;
        // The view was checked: MU16 masters have replacing mirrors with their step.
        element.and_then(|element| Scalar::of(element, step)).unwrap_or(Scalar::F32)
    }

    /// The blocks that differ: index, and value as stored.
    pub fn values(&self) -> impl ExactSizeIterator<Item = (u32, &'a [u8])> + Clone + use<'a> {
        let indices = self.indices.iter().map(|index| index.get());
        indices.zip(self.values.chunks_exact(self.value_len))
    }

    /// Checks that the mirror was made from `master`.
    ///
    /// # Errors
    /// [`ErrorKind::ContextDiffers`], [`ErrorKind::MasterDiffers`].
    pub fn check_master(&self, master: &Master<'_>) -> Result<()> {
        self.frame.compare_context(master.ctx(), master.context_json())?;
        // Field by field: the mirror may be of a master that this machine cannot address.
        let own = master.blocks().shape();
        own.check_parts(self.master_scalar(), self.dim(), self.total_blocks())?;
        if self.master_digest() != master.digest() {
            return Err(Error::caller(ErrorKind::MasterDiffers { field: "the digest (SHA-256)" }));
        }
        Ok(())
    }

    /// Writes the agent's blocks to `out`, which has exactly the bytes of the master's. Either all of it is written, or after
    /// an error nothing.
    ///
    /// Cost: a copy of the master, and the blocks that differ.
    ///
    /// # Errors
    /// As [`check_master`](Self::check_master); [`ErrorKind::BufferTooSmall`] or [`ErrorKind::Shape`] if `out` has another
    /// length.
    pub fn apply(&self, master: &Master<'_>, out: &mut [u8]) -> Result<()> {
        self.check_master(master)?;
        master.blocks().shape().check_out(out)?;
        out.copy_from_slice(master.blocks().as_bytes());
        for (index, value) in self.values() {
            let range = master.blocks().shape().range(index);
            let (old, new) = (master.blocks().block(index), range.and_then(|range| out.get_mut(range)));
            if let (Some(old), Some(new)) = (old, new) {
                make(self.mode, master.blocks().shape().scalar(), old, value, new);
            }
        }
        Ok(())
    }

    /// Writes block `index` of the agent to `out`: for a reader that has no room for all of them.
    ///
    /// Cost: O(log rows), and the block.
    ///
    /// # Errors
    /// As [`apply`](Self::apply); [`ErrorKind::PastEnd`] if there is no such block.
    pub fn block_into(&self, master: &Master<'_>, index: u32, out: &mut [u8]) -> Result<()> {
        self.check_master(master)?;
        let (end, found) = (u64::from(self.total_blocks()), u64::from(index).saturating_add(1));
        let past_end = ErrorKind::PastEnd { field: "the index of a block", end, found };
        let old = master.blocks().block(index).ok_or(Error::caller(past_end))?;
        check_len("the output", old.len() as u64, out.len() as u64)?;
        match self.indices.binary_search_by_key(&index, |index| index.get()) {
            Ok(row) => {
                let start = row.saturating_mul(self.value_len);
                let value = self.values.get(start..).and_then(|values| values.get(..self.value_len));
                make(self.mode, master.blocks().shape().scalar(), old, value.unwrap_or_default(), out);
            }
            Err(_) => out.copy_from_slice(old),
        }
        Ok(())
    }
}

/// Makes one block of the agent from the master's and the value stored.
pub(super) fn make(mode: Mode, scalar: Scalar, master: &[u8], value: &[u8], out: &mut [u8]) {
    match (mode, scalar.float()) {
        (Mode::Add, Some(float)) => kernel::add(float, master, value, out),
        (Mode::AddMu16(step), Some(float)) => kernel::add_mu16(float, master, value, step.get(), out),
        _ => out.copy_from_slice(value),
    }
}

impl MirrorRaw {
    /// Checks the fields, which start at `at`; the bytes of a master's element.
    fn check(&self, at: u64) -> Result<u64> {
        let at = |field: u64, kind| Error::new(kind, at.saturating_add(field));
        if self.total_blocks.get() == 0 {
            return Err(at(0, ErrorKind::Shape { field: "MIRROR_V1.total_blocks", needed: 1, found: 0 }));
        }
        if self.mode > 1 {
            return Err(at(4, ErrorKind::Code { field: "MIRROR_V1.mode", found: self.mode }));
        }
        let size = match Element::from_code(self.master_element) {
            Some(Element::F32) => 4,
            Some(Element::F16 | Element::Bf16) => 2,
            Some(Element::I16) if self.mode == 0 => 2,
            _ => {
                let kind = ErrorKind::Code { field: "MIRROR_V1.master_element", found: self.master_element };
                return Err(at(5, kind));
            }
        };
        if self.reserved.get() != 0 {
            return Err(at(6, ErrorKind::Reserved { field: "MIRROR_V1.reserved" }));
        }
        let threshold = self.threshold.get();
        if !threshold.is_finite() || threshold < 0.0 {
            return Err(at(8, ErrorKind::Number { field: "MIRROR_V1.threshold" }));
        }
        Ok(size)
    }

    /// The mode, and the type of the values, if they go together.
    fn mode_of(&self, config: &Config) -> Option<(Mode, Scalar)> {
        let is_masters = config.element.code() == self.master_element;
        let stored = Scalar::of(config.element, config.delta_q16)?;
        let mode = match stored {
            _ if self.mode == 0 && is_masters => Mode::Replace,
            _ if self.mode == 1 && is_masters => Mode::Add,
            Scalar::Mu16(step) if self.mode == 1 => Mode::AddMu16(step),
            _ => return None,
        };
        Some((mode, stored))
    }
}
