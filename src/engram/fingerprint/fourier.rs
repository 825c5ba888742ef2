//! Fourier fingerprints: the mean keys of the layers, transformed over the layers.
#![deny(clippy::arithmetic_side_effects)]

use alloc::vec::Vec;
use core::f64::consts::TAU;

use super::mean::sum_of_layer;
use super::{LayerRange, shape};
use crate::engram::KeySource;
use crate::engram::norm::norm;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{reserve, zeros};
use crate::wire::{check_len, size};

/// How the parts of a Fourier fingerprint are scaled, and what becomes of frequencies that are not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FourierScale {
    /// Layers as they are, each frequency to length 1: ENGRAM's v1. n frequencies have length √n together.
    Frequencies,
    /// Each layer to length 1, then each frequency: ENGRAM's v2.
    #[default]
    LayersAndFrequencies,
    /// Layers as they are, each frequency to length 1, then the whole; a frequency that is not there is zeros. ENGRAM's
    /// static variant.
    Whole,
}

/// Which frequencies, and how they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FourierOptions<'a> {
    /// The frequencies, in the order in which they are written: 0 (the sum over the layers) to `layers / 2`.
    pub frequencies: &'a [u32],
    /// How they are scaled.
    pub scale: FourierScale,
    /// Real parts, then imaginary parts, instead of amplitudes: twice as long, but for 0 and the half of an even number of
    /// layers, whose imaginary parts are 0 and left out. ENGRAM keeps amplitudes only.
    pub phase: bool,
}

impl Default for FourierOptions<'_> {
    /// ENGRAM's: frequencies 0 and 1, v2, amplitudes.
    fn default() -> Self {
        Self { frequencies: &[0, 1], scale: FourierScale::default(), phase: false }
    }
}

/// The mean keys of layers, heads side by side: what Fourier fingerprints are made of. 8 bytes a value.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerMeans {
    layers: u32,
    width: u32,
    values: Vec<f64>,
}

impl LayerMeans {
    /// Means over the tokens. ENGRAM takes [`LayerRange::All`]. Reads every key of these layers.
    ///
    /// # Errors
    /// As [`mean_pool`](super::mean_pool); [`ErrorKind::OutOfMemory`].
    pub fn measure<S: KeySource + ?Sized>(keys: &S, layers: LayerRange) -> Result<Self> {
        let shape = shape(keys)?;
        let range = layers.of(shape.layers)?;
        let (width, tokens) = (shape.width()?, f64::from(shape.tokens));
        let mut sums = zeros(width as usize)?;
        // Grows as layers really come.
        let mut values = Vec::new();
        let layers = range.end.saturating_sub(range.start);
        for layer in range {
            sum_of_layer(keys, layer, &mut sums)?;
            reserve(&mut values, sums.len())?;
            values.extend(sums.iter().map(|x| x / tokens));
            sums.fill(0.0);
        }
        Ok(Self { layers, width, values })
    }

    /// Means that are there already: `[layers][width]`.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] without layers or components; [`ErrorKind::BufferTooSmall`] or [`ErrorKind::Shape`] if there are
    /// not `layers * width` values; [`ErrorKind::NonFinite`] with layer and component.
    pub fn new(layers: u32, width: u32, means: &[f32]) -> Result<Self> {
        if layers == 0 || width == 0 {
            return Err(Error::caller(ErrorKind::Argument {
                expected: "at least one layer of one component",
            }));
        }
        let needed = size("the means", 0, &[u64::from(layers), u64::from(width)])?;
        check_len("the means", needed, means.len() as u64)?;
        if let Some(place) = means.iter().position(|x| !x.is_finite()) {
            let (place, width) = (place as u64, u64::from(width));
            let (row, column) = (place.checked_div(width), place.checked_rem(width));
            let kind = ErrorKind::NonFinite { row: row.unwrap_or(0), column: column.unwrap_or(0) };
            return Err(Error::caller(kind));
        }
        Ok(Self { layers, width, values: means.iter().map(|x| f64::from(*x)).collect() })
    }

    /// Layers, and components of each.
    #[must_use]
    pub fn shape(&self) -> (u32, u32) {
        (self.layers, self.width)
    }

    /// The mean keys of a layer, heads side by side.
    #[must_use]
    pub fn layer(&self, layer: u32) -> Option<&[f64]> {
        self.values.chunks(self.width as usize).nth(layer as usize)
    }

    /// The fingerprint: the discrete Fourier transform over the layers (not scaled), of which each frequency asked for becomes
    /// `width` amplitudes, divided by their length. All zeros stay zeros.
    ///
    /// Costs a product per frequency and value; nothing is kept of the frequencies not asked for.
    ///
    /// # Errors
    /// [`ErrorKind::Frequency`] beyond `layers / 2`, but for [`FourierScale::Whole`]; [`ErrorKind::Argument`] without
    /// frequencies; [`ErrorKind::OutOfMemory`].
    pub fn fourier(&self, options: &FourierOptions<'_>) -> Result<Vec<f32>> {
        let scales = match options.scale {
            FourierScale::LayersAndFrequencies => self.layer_scales(),
            FourierScale::Frequencies | FourierScale::Whole => alloc::vec![1.0; self.layers as usize],
        };
        if options.frequencies.is_empty() {
            return Err(Error::caller(ErrorKind::Argument { expected: "at least one frequency" }));
        }
        let width = self.width as usize;
        let (mut re, mut im) = (zeros(width)?, zeros(width)?);
        let mut out: Vec<f64> = Vec::new();
        for &frequency in options.frequencies {
            reserve(&mut out, width.saturating_mul(2))?;
            let real = frequency == 0 || frequency.checked_mul(2) == Some(self.layers);
            let start = out.len();
            if frequency <= self.layers / 2 {
                self.transform(frequency, &scales, &mut re, &mut im);
                if !options.phase {
                    out.extend(re.iter().zip(&im).map(|(re, im)| libm::hypot(*re, *im)));
                } else if real {
                    out.extend(&re);
                } else {
                    out.extend(re.iter().chain(&im));
                }
                let (least, added) = options.scale.limits();
                scale_to_one(out.get_mut(start..).unwrap_or_default(), least, added);
            } else if options.scale == FourierScale::Whole {
                let parts: usize = if options.phase { 2 } else { 1 };
                out.resize(start.saturating_add(parts.saturating_mul(width)), 0.0);
            } else {
                let kind = ErrorKind::Frequency { found: frequency, layers: self.layers };
                return Err(Error::caller(kind));
            }
        }
        if options.scale == FourierScale::Whole {
            let (least, added) = options.scale.limits();
            scale_to_one(&mut out, least, added);
        }
        Ok(out.iter().map(|x| *x as f32).collect())
    }

    /// How steady the fingerprint is against noise: the mean cosine over all pairs of the fingerprints of the means and of the
    /// means with `sigma` times each array of noise added. ENGRAM's eigenform score: sigma 0.001, two arrays of standard
    /// normal noise, v1.
    ///
    /// # Errors
    /// As [`fourier`](Self::fourier); [`ErrorKind::Argument`] without noise or if sigma is not finite;
    /// [`ErrorKind::BufferTooSmall`], [`ErrorKind::Shape`] or [`ErrorKind::NonFinite`] for noise unlike the means;
    /// [`ErrorKind::Number`] if a fingerprint is all zeros, and so has no cosine.
    pub fn eigenform_score(&self, noise: &[&[f32]], sigma: f64, options: &FourierOptions<'_>) -> Result<f64> {
        if noise.is_empty() || !sigma.is_finite() {
            let expected = "at least one array of noise, and a finite sigma";
            return Err(Error::caller(ErrorKind::Argument { expected }));
        }
        let mut prints = alloc::vec![self.fourier(options)?];
        for noise in noise {
            let mut noisy = Self::new(self.layers, self.width, noise)?;
            noisy.values.iter_mut().zip(&self.values).for_each(|(noise, x)| *noise = x + sigma * *noise);
            prints.push(noisy.fourier(options)?);
        }
        let (mut sum, mut pairs) = (0.0, 0.0);
        let mut rest = prints.as_slice();
        while let [first, others @ ..] = rest {
            for other in others {
                sum += cosine(first, other);
                pairs += 1.0;
            }
            rest = others;
        }
        let score = sum / pairs;
        if score.is_finite() {
            Ok(score)
        } else {
            Err(Error::caller(ErrorKind::Number { field: "the cosine of a fingerprint that is all zeros" }))
        }
    }

    /// One over the length of each layer.
    fn layer_scales(&self) -> Vec<f64> {
        let (least, _) = FourierScale::LayersAndFrequencies.limits();
        self.values.chunks(self.width as usize).map(|layer| 1.0 / length(layer).max(least)).collect()
    }

    /// One frequency of the transform.
    fn transform(&self, frequency: u32, scales: &[f64], re: &mut [f64], im: &mut [f64]) {
        re.fill(0.0);
        im.fill(0.0);
        let layers = u64::from(self.layers).max(1);
        for ((n, layer), scale) in (0u64..).zip(self.values.chunks(self.width as usize)).zip(scales) {
            // The angle by its place on the circle, so that it is as exact for the last layer as for the first.
            let place = n.wrapping_mul(u64::from(frequency)).checked_rem(layers).unwrap_or(0);
            let angle = -TAU * place as f64 / layers as f64;
            let (sin, cos) = libm::sincos(angle);
            for ((x, re), im) in layer.iter().zip(re.iter_mut()).zip(im.iter_mut()) {
                *re += x * scale * cos;
                *im += x * scale * sin;
            }
        }
    }
}

impl FourierScale {
    /// The least a length counts, and what is added to it: the original's guards against a division by zero.
    fn limits(self) -> (f64, f64) {
        match self {
            Self::Frequencies | Self::LayersAndFrequencies => (1e-12, 0.0),
            Self::Whole => (0.0, 1e-8),
        }
    }
}

/// The fingerprint of keys that stand in several sections, each with its own shape (interleaved sliding windows): the
/// fingerprints of the sections, one after the other. ENGRAM takes v2.
///
/// # Errors
/// As [`LayerMeans::measure`] and [`LayerMeans::fourier`]; [`ErrorKind::Argument`] without sections.
pub fn fourier_sections<S: KeySource + ?Sized>(
    sections: &[&S],
    layers: LayerRange,
    options: &FourierOptions<'_>,
) -> Result<Vec<f32>> {
    if sections.is_empty() {
        return Err(Error::caller(ErrorKind::Argument { expected: "at least one section of keys" }));
    }
    let mut out = Vec::new();
    for section in sections {
        out.append(&mut LayerMeans::measure(*section, layers)?.fourier(options)?);
    }
    Ok(out)
}

fn length(values: &[f64]) -> f64 {
    libm::sqrt(values.iter().map(|x| x * x).sum())
}

fn scale_to_one(values: &mut [f64], least: f64, added: f64) {
    let by = length(values).max(least) + added;
    values.iter_mut().for_each(|x| *x /= by);
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let product: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    product / (norm(a) * norm(b))
}
