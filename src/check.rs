//! All that can be checked of a frame, whatever its kind.

use crate::beacon::Beacon;
use crate::engram::index::Index as EngramIndex;
use crate::engram::whitening::Whitening;
use crate::error::Result;
use crate::frame::{Frame, Kind};
use crate::gist::GistView;
use crate::ledger::{Chunk, Index};
use crate::mirror::{Blocks, MirrorView};

impl Frame<'_> {
    /// Checks what [`Frame::parse`] leaves to others: that the context is canonical and agrees with the frame, and the
    /// typed view of the kinds that have one here. Kinds without one pass.
    ///
    /// A reader with a key verifies first, so that nothing of unknown origin is looked at further.
    ///
    /// # Errors
    /// Those of [`Frame::context`] and of the typed view, with offsets from the frame's start.
    pub fn check_content(&self) -> Result<()> {
        self.context()?;
        match self.kind() {
            Kind::BEACON => Beacon::from_frame(self).map(|_| ()),
            Kind::LEDGER_CHUNK => Chunk::from_frame(self).map(|_| ()),
            Kind::LEDGER_INDEX => Index::from_frame(self).map(|_| ()),
            Kind::MIRROR => MirrorView::from_frame(self).map(|_| ()),
            Kind::GIST => GistView::from_frame(self).map(|_| ()),
            Kind::BLOCKS => Blocks::from_frame(self).map(|_| ()),
            Kind::ENGRAM_INDEX => EngramIndex::from_frame(self).map(|_| ()),
            Kind::WHITENING => Whitening::from_frame(self).map(|_| ()),
            _ => Ok(()),
        }
    }
}
