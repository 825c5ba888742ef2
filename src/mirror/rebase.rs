//! A mirror on another master, and the step that suits a difference.
#![deny(clippy::arithmetic_side_effects)]

use super::blocks::Blocks;
#[cfg(feature = "alloc")]
use super::diff::Diff;
use super::diff::{CHUNK, DiffOptions, Mode, chunks, differences, non_finite};
use super::master::Master;
#[cfg(feature = "alloc")]
use super::memory::zeros;
#[cfg(feature = "alloc")]
use super::view::MirrorView;
use crate::arch::mu16;
use crate::beacon::mu16::Step;
use crate::error::Result;

#[cfg(feature = "alloc")]
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
        self.frame().compare_context(new.ctx(), new.context())?;
        let mut agent = zeros(old.blocks().shape().len())?;
        self.apply(old, &mut agent)?;
        new.diff_to_vec(&Blocks::new(*old.blocks().shape(), &agent)?, options, payload)
    }
}

impl Master<'_> {
    /// The smallest MU16 step at which no difference of `agent` saturates that `threshold` does not leave out.
    ///
    /// Cost: master and agent are read once, and the blocks that differ once more.
    ///
    /// # Errors
    /// As [`diff_into`](Self::diff_into) with [`Mode::AddMu16`], but for the buffer; [`ErrorKind::StepRange`] if even the
    /// largest step saturates.
    ///
    /// [`ErrorKind::StepRange`]: crate::error::ErrorKind::StepRange
    pub fn step_for(&self, agent: &Blocks<'_>, threshold: f64) -> Result<Step> {
        let scalar = self.blocks().shape().scalar();
        // Any step: what is kept does not depend on it.
        let rule = self.check_diff(agent, DiffOptions { mode: Mode::AddMu16(Step::MAX), threshold })?;
        let Some(float) = scalar.float() else { return Ok(Step::MAX) };
        let (mut least, mut most, mut wide) = (0.0f32, 0.0f32, [0.0; CHUNK]);
        for index in rule.kept(self.blocks(), agent) {
            let (Some(master), Some(agent)) = (self.blocks().block(index), agent.block(index)) else {
                continue;
            };
            for (first, master, agent) in chunks(scalar.size(), master, agent) {
                let wide = differences(float, scalar.size(), master, agent, &mut wide);
                let (min, max) = mu16::extremes(wide).ok_or_else(|| {
                    let place = wide.iter().position(|x| !x.is_finite()).unwrap_or(0);
                    non_finite(index, first, place)
                })?;
                (least, most) = (least.min(min), most.max(max));
            }
        }
        Step::for_range(least, most)
    }
}
