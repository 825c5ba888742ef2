//! A mirror on another master, and the step that suits a difference.
#![deny(clippy::arithmetic_side_effects)]

#[cfg(feature = "alloc")]
use super::diff::Diff;
use super::diff::{DiffOptions, Mode};
use super::master::Master;
use super::view::MirrorView;
use crate::arch::{blocks as kernel, mu16};
use crate::beacon::mu16::Step;
use crate::error::{Error, ErrorKind, Result};

use super::blocks::Blocks;

/// Elements that are subtracted at once.
const CHUNK: usize = 256;

impl MirrorView<'_> {
    /// How the mirror was made.
    #[must_use]
    pub const fn options(&self) -> DiffOptions {
        DiffOptions { mode: self.mode(), threshold: self.threshold() }
    }

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
    /// [`Master::diff_into`] on it.
    #[cfg(feature = "alloc")]
    pub fn rebase<'p, 'new: 'p>(
        &self,
        old: &Master<'_>,
        new: &Master<'new>,
        options: DiffOptions,
        payload: &'p mut alloc::vec::Vec<u8>,
    ) -> Result<Diff<'p>> {
        self.check_master(old)?;
        self.frame().compare_context(new.ctx(), new.context())?;
        let mut agent = alloc::vec![0; old.blocks().shape().len()];
        self.apply(old, &mut agent)?;
        new.diff_to_vec(&Blocks::new(*old.blocks().shape(), &agent)?, options, payload)
    }
}

impl Master<'_> {
    /// The smallest MU16 step at which no difference of `agent` saturates that `threshold` does not leave out.
    ///
    /// # Errors
    /// As [`diff_into`](Self::diff_into); [`ErrorKind::StepRange`] if even the largest step saturates.
    pub fn step_for(&self, agent: &Blocks<'_>, threshold: f64) -> Result<Step> {
        let shape = *self.blocks().shape();
        // Any step: what is kept does not depend on it.
        let rule = self.check_diff(agent, DiffOptions { mode: Mode::AddMu16(Step::MAX), threshold })?;
        let Some(float) = shape.scalar().float() else { return Ok(Step::MAX) };
        let (mut least, mut most) = (0.0f32, 0.0f32);
        let chunk = CHUNK.saturating_mul(shape.scalar().size());
        for index in rule.kept(self.blocks(), agent) {
            let (Some(master), Some(agent)) = (self.blocks().block(index), agent.block(index)) else {
                continue;
            };
            let mut wide = [0.0; CHUNK];
            for (i, (master, agent)) in master.chunks(chunk).zip(agent.chunks(chunk)).enumerate() {
                let len = master.len().checked_div(shape.scalar().size()).unwrap_or(0);
                let wide = wide.get_mut(..len).unwrap_or_default();
                kernel::subtract_f32(float, agent, master, wide);
                let Some((min, max)) = mu16::extremes(wide) else {
                    let place = wide.iter().position(|x| !x.is_finite()).unwrap_or(0);
                    let column = i.saturating_mul(CHUNK).saturating_add(place) as u64;
                    let row = u64::from(index);
                    return Err(Error::caller(ErrorKind::NonFinite { row, column }));
                };
                (least, most) = (least.min(min), most.max(max));
            }
        }
        Step::for_range(least, most)
    }
}
