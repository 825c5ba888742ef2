//! Lengths of vectors.

/// `|x|^2`, summed in f64 in the order of the components.
pub(super) fn squared_norm(x: &[f32]) -> f64 {
    x.iter().fold(0.0, |sum, &x| sum + f64::from(x) * f64::from(x))
}

/// `|x|`, of the same sum: finite if all components are.
#[cfg(feature = "alloc")]
pub(super) fn norm(x: &[f32]) -> f64 {
    libm::sqrt(squared_norm(x))
}
