use crate::args::{Export, Import};
use crate::exit::{Outcome, Output, Problem};
pub fn export(_: &Export, _: &mut Output) -> Result<Outcome, Problem> {
    Ok(Outcome::Good)
}
pub fn import(_: &Import, _: &mut Output) -> Result<Outcome, Problem> {
    Ok(Outcome::Good)
}
