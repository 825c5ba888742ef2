//! A mirror on another master.
#![deny(clippy::arithmetic_side_effects)]

use super::blocks::Blocks;
#[cfg(doc)]
use super::diff::Mode;
use super::diff::{Diff, DiffOptions};
use super::master::Master;
use super::view::MirrorView;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::memory::zeros;

impl MirrorView<'_> {
    /// The difference of the same agent from another master of the same shape: as `options` say (take
    /// [`self.options()`](Self::options) for the same as before). `payload` is emptied and filled.
    ///
    /// With [`Mode::Replace`] and threshold 0 the agent stays what it was, bit by bit. A threshold counts anew: what it leaves
    /// out adds to what was left out before.
    ///
    /// Cost: the agent is made once, in memory of the master's size.
    ///
    /// # Errors
    /// As [`apply`](Self::apply) on `old`; [`ErrorKind::ContextDiffers`] if `new` has another context; as
    /// [`Master::diff_to_vec`] on it.
    ///
    /// [`ErrorKind::ContextDiffers`]: crate::ErrorKind::ContextDiffers
    pub fn rebase<'p, 'new: 'p>(
        &self,
        old: &Master<'_>,
        new: &Master<'new>,
        options: DiffOptions,
        payload: &'p mut alloc::vec::Vec<u8>,
    ) -> Result<Diff<'p>> {
        self.check_master(old)?;
        self.frame().compare_context(new.ctx(), new.context_json())?;
        let mut agent = zeros(old.blocks().shape().len())?;
        self.apply(old, &mut agent)?;
        new.diff_to_vec(&Blocks::new(*old.blocks().shape(), &agent)?, options, payload)
    }
}
