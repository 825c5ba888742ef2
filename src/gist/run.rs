//! Where the gist tokens of a text are.
#![deny(clippy::arithmetic_side_effects)]

use core::ops::Range;

use crate::error::{Error, ErrorKind, Result};

/// The ids of a model's gist tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GistIds<'a> {
    ids: &'a [u32],
}

impl<'a> GistIds<'a> {
    /// The ids, in increasing order. None at all is allowed: then no token is a gist.
    ///
    /// # Errors
    /// [`ErrorKind::Order`] if they do not strictly increase: an id is looked up by halving.
    pub fn new(ids: &'a [u32]) -> Result<Self> {
        if !ids.is_sorted_by(|a, b| a < b) {
            return Err(Error::caller(ErrorKind::Order { field: "a gist token's id" }));
        }
        Ok(Self { ids })
    }

    /// Whether `token` is one of them.
    #[must_use]
    pub fn contains(&self, token: u32) -> bool {
        self.ids.binary_search(&token).is_ok()
    }

    /// The positions of the first gist token of `tokens` and of those that follow it without a gap, in whatever order: what
    /// the original's detection takes. `None` if there is no gist token.
    ///
    /// ```
    /// use bitwire::gist::GistIds;
    ///
    /// let ids = GistIds::new(&[900, 901, 902])?;
    /// assert_eq!(ids.first_run(&[1, 900, 7, 901, 902]), Some(1..2));
    /// assert_eq!(ids.only_run(&[1, 902, 900, 5])?, 1..3);
    /// assert!(ids.only_run(&[1, 900, 7, 901, 902]).is_err());
    /// # Ok::<(), bitwire::Error>(())
    /// ```
    #[must_use]
    pub fn first_run(&self, tokens: &[u32]) -> Option<Range<usize>> {
        let start = tokens.iter().position(|&token| self.contains(token))?;
        let run = tokens.iter().skip(start).take_while(|&&token| self.contains(token)).count();
        Some(start..start.saturating_add(run))
    }

    /// The same where gist tokens stand nowhere else.
    ///
    /// # Errors
    /// [`ErrorKind::NoGists`]; [`ErrorKind::SplitGists`] if another gist token comes after the run.
    pub fn only_run(&self, tokens: &[u32]) -> Result<Range<usize>> {
        let run = self.first_run(tokens).ok_or(Error::caller(ErrorKind::NoGists))?;
        match tokens.iter().skip(run.end).position(|&token| self.contains(token)) {
            None => Ok(run),
            Some(further) => {
                let next = run.end.saturating_add(further) as u64;
                Err(Error::caller(ErrorKind::SplitGists { end: run.end as u64, next }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The original's detection: `detect` of tests/data/gist/expected.json.
    #[test]
    fn the_originals_cases() {
        let ids = GistIds::new(&[900, 901, 902]).unwrap();
        assert_eq!(ids.first_run(&[1, 2, 900, 901, 902, 3]), Some(2..5));
        assert_eq!(ids.first_run(&[1, 2, 3]), None);
        assert_eq!(ids.first_run(&[1, 900, 7, 901, 902]), Some(1..2));
        assert_eq!(ids.first_run(&[1, 900, 901]), Some(1..3));
        assert_eq!(ids.first_run(&[902, 902, 5]), Some(0..2));
        assert_eq!(GistIds::new(&[]).unwrap().first_run(&[1, 900]), None);
    }

    #[test]
    fn a_split_run_is_named() {
        let ids = GistIds::new(&[900, 901, 902]).unwrap();
        assert_eq!(ids.only_run(&[1, 2, 900, 901, 902, 3]), Ok(2..5));
        let split = ids.only_run(&[1, 900, 7, 8, 901]).unwrap_err();
        assert_eq!(split.kind(), ErrorKind::SplitGists { end: 2, next: 4 });
        assert_eq!(ids.only_run(&[]).unwrap_err().kind(), ErrorKind::NoGists);
        for ids in [&[2, 1][..], &[1, 1]] {
            assert!(matches!(GistIds::new(ids).unwrap_err().kind(), ErrorKind::Order { .. }));
        }
    }
}
