//! Flat indexes of FAISS that compare by inner product (`IndexFlatIP`): what ENGRAM keeps its vectors in.
//!
//! | off | size | field |
//! |---|---|---|
//! | 0 | 4 | magic `IxFI` |
//! | 4 | 4 | d, i32: components of a vector |
//! | 8 | 8 | ntotal, i64: vectors |
//! | 16 | 16 | two i64 without a meaning |
//! | 32 | 1 | is_trained: 1 |
//! | 33 | 4 | metric_type, i32: 0, inner product |
//! | 37 | 8 | count, u64: d * ntotal |
//! | 45 | 4 count | f32, vector by vector |
//!
//! All little-endian (FAISS, `impl/index_write.cpp`). What the vectors stand for is in a file of ENGRAM's own.
#![deny(clippy::arithmetic_side_effects)]

use crate::engram::index::{VectorType, Vectors};
use crate::error::{Error, ErrorKind, Result};
use crate::wire::{Reader, size};

/// What such a file starts with.
pub const MAGIC: [u8; 4] = *b"IxFI";

/// A checked flat index over the bytes of its file.
#[derive(Clone, Copy, Debug)]
pub struct FlatIndex<'a> {
    vectors: Vectors<'a>,
}

impl<'a> FlatIndex<'a> {
    /// Reads the index that fills `bytes`. Looks at no vector.
    ///
    /// # Errors
    /// The first breach of the layout, with its offset: [`ErrorKind::FaissMagic`]; [`ErrorKind::Number`] for numbers below 0,
    /// [`ErrorKind::Shape`] for a d of 0, an index that is not trained, another metric, or a count that is not d * ntotal;
    /// [`ErrorKind::TooLarge`] for more than 2^32 - 1 vectors; [`ErrorKind::Size`]; [`ErrorKind::Truncated`],
    /// [`ErrorKind::TrailingBytes`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, 0);
        let magic = *reader.take_array("the magic")?;
        if magic != MAGIC {
            return Err(Error::new(ErrorKind::FaissMagic { found: magic }, 0));
        }
        let at = reader.offset();
        let dim = i32::from_le_bytes(*reader.take_array("d")?);
        let dim = u32::try_from(dim).map_err(|_| Error::new(ErrorKind::Number { field: "d" }, at))?;
        if dim == 0 {
            return Err(Error::new(ErrorKind::Shape { field: "d", needed: 1, found: 0 }, at));
        }
        let at = reader.offset();
        let rows = i64::from_le_bytes(*reader.take_array("ntotal")?);
        let found = u64::try_from(rows).map_err(|_| Error::new(ErrorKind::Number { field: "ntotal" }, at))?;
        let too_large = ErrorKind::TooLarge { field: "ntotal", max: u64::from(u32::MAX), found };
        let rows = u32::try_from(found).map_err(|_| Error::new(too_large, at))?;
        reader.take_array::<16>("two numbers without a meaning")?;
        let at = reader.offset();
        let [trained] = *reader.take_array("is_trained")?;
        if trained != 1 {
            let found = trained.into();
            return Err(Error::new(ErrorKind::Shape { field: "is_trained", needed: 1, found }, at));
        }
        let at = reader.offset();
        let metric = u32::from_le_bytes(*reader.take_array("metric_type")?);
        if metric != 0 {
            let found = metric.into();
            return Err(Error::new(ErrorKind::Shape { field: "metric_type", needed: 0, found }, at));
        }
        let at = reader.offset();
        let found = u64::from_le_bytes(*reader.take_array("the number of floats")?);
        let needed = size("the vectors", at, &[u64::from(rows), u64::from(dim)])?;
        if found != needed {
            return Err(Error::new(ErrorKind::Shape { field: "the number of floats", needed, found }, at));
        }
        let len = size("the vectors", at, &[needed, 4])?;
        let vectors = Vectors::new(VectorType::F32, rows, dim, reader.take("the vectors", len)?, &[])?;
        match reader.rest().len() as u64 {
            0 => Ok(Self { vectors }),
            count => Err(Error::new(ErrorKind::TrailingBytes { count }, reader.offset())),
        }
    }

    /// The vectors, in the order of adding.
    #[must_use]
    pub const fn vectors(&self) -> &Vectors<'a> {
        &self.vectors
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// What FAISS wrote for ENGRAM.
    const SAVED: &[u8] = include_bytes!("../../tests/data/engram/index/saved.faiss");

    fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut file = SAVED.to_vec();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    }

    #[track_caller]
    fn refused(file: &[u8], kind: ErrorKind, at: u64) {
        assert_eq!(FlatIndex::parse(file).unwrap_err(), Error::new(kind, at));
    }

    #[test]
    fn a_real_index() {
        let index = FlatIndex::parse(SAVED).unwrap();
        assert_eq!((index.vectors().rows(), index.vectors().dim()), (41, 16));
        let mut first = [0.0; 16];
        index.vectors().row_into(0, &mut first).unwrap();
        // The first two floats of the file: 837fdebf, 1c17abbf.
        assert_eq!(first[..2].iter().map(|x| x.to_bits()).collect::<Vec<_>>(), [0xbfde_7f83, 0xbfab_171c]);
    }

    #[test]
    fn cut_anywhere() {
        for len in 0..SAVED.len() {
            let error = FlatIndex::parse(&SAVED[..len]).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Truncated { .. }), "{len}: {error}");
        }
        refused(&[SAVED, b"xyz"].concat(), ErrorKind::TrailingBytes { count: 3 }, 2669);
    }

    #[test]
    fn fields_that_lie() {
        refused(&with(0, b"IxF2"), ErrorKind::FaissMagic { found: *b"IxF2" }, 0);
        refused(&with(4, &0i32.to_le_bytes()), ErrorKind::Shape { field: "d", needed: 1, found: 0 }, 4);
        refused(&with(4, &(-16i32).to_le_bytes()), ErrorKind::Number { field: "d" }, 4);
        refused(&with(8, &(-1i64).to_le_bytes()), ErrorKind::Number { field: "ntotal" }, 8);
        let too_large = ErrorKind::TooLarge { field: "ntotal", max: u32::MAX.into(), found: 1 << 32 };
        refused(&with(8, &(1i64 << 32).to_le_bytes()), too_large, 8);
        refused(&with(32, &[0]), ErrorKind::Shape { field: "is_trained", needed: 1, found: 0 }, 32);
        refused(&with(33, &[1]), ErrorKind::Shape { field: "metric_type", needed: 0, found: 1 }, 33);
        let count = ErrorKind::Shape { field: "the number of floats", needed: 656, found: 657 };
        refused(&with(37, &657u64.to_le_bytes()), count, 37);
        let count = ErrorKind::Shape { field: "the number of floats", needed: 42 * 16, found: 656 };
        refused(&with(8, &42i64.to_le_bytes()), count, 37);
        // The largest there can be: (2^31 - 1) * (2^32 - 1) floats.
        let mut file = with(4, &i32::MAX.to_le_bytes());
        file[8..16].copy_from_slice(&i64::from(u32::MAX).to_le_bytes());
        let floats = u64::from(u32::MAX) * u64::from(i32::MAX.unsigned_abs());
        file[37..45].copy_from_slice(&floats.to_le_bytes());
        let error = FlatIndex::parse(&file).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Size { field: "the vectors" }, 37));
    }
}
