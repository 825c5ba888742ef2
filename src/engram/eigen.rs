//! Eigenvalues and eigenvectors, from faer.

use alloc::vec::Vec;

use faer::Par;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};

use crate::error::{Error, ErrorKind, Result};
use crate::memory::zeros;

/// Eigenvalues, rising, and eigenvectors, one after the other, of a symmetric matrix of `dim` columns without negative
/// eigenvalues, of which the lower triangle is read. What is decomposed is `field`.
///
/// # Errors
/// [`ErrorKind::Number`] if they are not to be found; [`ErrorKind::OutOfMemory`].
pub(super) fn self_adjoint(
    mut matrix: Vec<f64>,
    dim: usize,
    field: &'static str,
) -> Result<(Vec<f64>, Vec<f64>)> {
    // Brought near 1 by a power of two, which is exact: the decomposition squares, and its thresholds are made for that.
    let diagonal = matrix.iter().step_by(dim.saturating_add(1));
    let largest = diagonal.fold(0.0, |a: f64, b| a.max(*b));
    let exponent = if largest > 0.0 { libm::ilogb(largest) } else { 0 };
    let (down, up) = (libm::scalbn(1.0, exponent.wrapping_neg()), libm::scalbn(1.0, exponent));
    matrix.iter_mut().for_each(|x| *x *= down);

    let (mut vectors, mut values) = (zeros(matrix.len())?, zeros(dim)?);
    let params = Default::default();
    // One thread by name: what another crate sets for all of faer has no say in the bits.
    let scratch = self_adjoint_evd_scratch::<f64>(dim, ComputeEigenvectors::Yes, Par::Seq, params);
    let needed = scratch.unaligned_bytes_required() as u64;
    let mut memory =
        MemBuffer::try_new(scratch).map_err(|_| Error::caller(ErrorKind::OutOfMemory { needed }))?;
    self_adjoint_evd(
        faer::MatRef::from_column_major_slice(&matrix, dim, dim),
        faer::diag::DiagMut::from_slice_mut(&mut values),
        Some(faer::MatMut::from_column_major_slice_mut(&mut vectors, dim, dim)),
        Par::Seq,
        MemStack::new(&mut memory),
        params,
    )
    .map_err(|_| Error::caller(ErrorKind::Number { field }))?;
    values.iter_mut().for_each(|x| *x *= up);
    Ok((values, vectors))
}
