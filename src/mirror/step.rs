//! The MU16 step that suits a difference.
#![deny(clippy::arithmetic_side_effects)]

use super::blocks::Blocks;
use super::diff::{CHUNK, DiffOptions, Mode, chunks, differences, non_finite};
use super::master::Master;
use crate::arch::mu16;
use crate::beacon::mu16::Step;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;

impl Master<'_> {
    /// The smallest MU16 step at which no difference of `agent` saturates that `threshold` does not leave out.
    ///
    /// Cost: master and agent are read once, and the blocks that differ once more.
    ///
    /// # Errors
    /// As [`diff_into`](Self::diff_into) with [`Mode::AddMu16`], but for the buffer; [`ErrorKind::StepRange`] if even the
    /// largest step saturates.
    pub fn step_for(&self, agent: &Blocks<'_>, threshold: f64) -> Result<Step> {
        let scalar = self.blocks().shape().scalar();
        // Any step: what is kept does not depend on it.
        let rule = self.check_diff(agent, DiffOptions { mode: Mode::AddMu16(Step::MAX), threshold })?;
        let Some(float) = scalar.float() else { return Ok(Step::MAX) };
        let (mut least, mut most, mut wide) = (0.0f32, 0.0f32, [0.0; CHUNK]);
        for index in rule.kept(self.blocks(), agent, self.is_finite()) {
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
