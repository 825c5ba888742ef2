//! A window measured from a .npy matrix as it streams by.

use alloc::vec::Vec;
use std::io::Read;

use super::Cause;
use super::npy::{MatrixReader, Row};
use crate::beacon::stats::{Moments, Sigma};
use crate::beacon::{Against, Measured, Window, WindowOptions};
use crate::error::{Error, ErrorKind};

/// Measures the first `max_rows` rows of a matrix, or all, against `baseline`, or the second half against the
/// first where there is none.
///
/// Memory is that of a [`Window`] and of a block of rows (a matrix in Fortran order is read whole). `progress` is
/// called with the rows done and their number from time to time.
///
/// # Errors
/// Those of the reader and of the window.
pub fn measure<R: Read>(
    matrix: &mut MatrixReader<R>,
    baseline: Option<Vec<f64>>,
    options: WindowOptions,
    max_rows: Option<u64>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Measured, Cause> {
    let rows = max_rows.map_or(matrix.rows(), |max| max.min(matrix.rows()));
    let dim = checked_dim(matrix)?;
    // A header of 100 bytes can claim a row of gigabytes, of which a window keeps a few.
    matrix.fetch()?;
    let against = match baseline {
        Some(mean) => Against::Baseline { mean },
        None => Against::Halves { rows },
    };
    let mut window = Window::new(dim, against, options)?;
    each_row(matrix, rows, |row, done| {
        progress(done, rows);
        match row {
            Row::F32(row) => window.push_f32(row),
            Row::F64(row) => window.push_f64(row),
        }
    })?;
    Ok(window.finish()?)
}

/// The mean of a matrix's rows: a baseline.
///
/// # Errors
/// Those of the reader; [`ErrorKind::WindowRows`] if there is no row; [`ErrorKind::NonFinite`] with row and column.
pub fn mean<R: Read>(matrix: &mut MatrixReader<R>) -> Result<Vec<f64>, Cause> {
    let rows = matrix.rows();
    checked_dim(matrix)?;
    if rows == 0 {
        return Err(Error::caller(ErrorKind::WindowRows { needed: 1, found: 0 }).into());
    }
    matrix.fetch()?;
    let mut moments = Moments::new(matrix.dim(), Sigma::None)?;
    each_row(matrix, rows, |row, _| match row {
        Row::F32(row) => moments.push_f32(row),
        Row::F64(row) => moments.push_f64(row),
    })?;
    Ok(moments.summary()?.mean().to_vec())
}

fn checked_dim<R: Read>(matrix: &MatrixReader<R>) -> Result<u32, Error> {
    let (max, found) = (u64::from(u32::MAX), matrix.dim() as u64);
    match u32::try_from(matrix.dim()) {
        Ok(0) => Err(Error::caller(ErrorKind::Argument { expected: "the matrix needs at least one column" })),
        Ok(dim) => Ok(dim),
        Err(_) => Err(Error::caller(ErrorKind::TooLarge { field: "dim", max, found })),
    }
}

/// Hands out the first `rows` rows; where those are all, also sees that the file ends with them.
fn each_row<R: Read>(
    matrix: &mut MatrixReader<R>,
    rows: u64,
    mut each: impl FnMut(Row<'_>, u64) -> Result<(), Error>,
) -> Result<(), Cause> {
    let all = rows == matrix.rows();
    let mut done = 0;
    while all || done < rows {
        let Some(row) = matrix.next_row()? else { break };
        each(row, done)?;
        done = done.saturating_add(1);
    }
    Ok(())
}
