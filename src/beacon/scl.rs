//! temp
#![allow(missing_docs)]
use alloc::vec::Vec;
#[derive(Clone, Debug, PartialEq)]
pub struct Scl {
    pub mu: Vec<f64>,
    pub sigma: Vec<f64>,
    pub w: f64,
    pub t0: f64,
    pub t1: f64,
}
