//! Beacons: what a window was, and how far it has drifted.

use core::mem::MaybeUninit;

use bitwire::beacon::{Beacon, Reference};
use bitwire::frame::Frame;
use bitwire::{Error, ErrorKind};

use crate::error::{Fault, bitwire_error, check_error, finish};
use crate::frame::{any_frame, authenticated_frame, bitwire_authenticated_frame, bitwire_frame};
use crate::memory::{Slot, check_output, check_struct, pack, unpack, zeroed};
use crate::status::bitwire_status;

/// `sigma_kind`: the beacon carries nothing of the covariance.
pub const BITWIRE_SIGMA_NONE: u8 = 0;

/// `sigma_kind`: its trace.
pub const BITWIRE_SIGMA_TRACE: u8 = 1;

/// `sigma_kind`: its diagonal, `dim` variances.
pub const BITWIRE_SIGMA_DIAGONAL: u8 = 2;

/// `sigma_kind`: its upper triangle, row by row.
pub const BITWIRE_SIGMA_FULL: u8 = 3;

/// A beacon that passed every check of spec/beacon.md: a mean vector (or a quantised matrix), with the window's statistics and
/// drift where it carries them.
///
/// A view like the frame it was made from, and no longer-lived. It may be copied. The fields are for reading; the functions
/// take what they need from the private ones. A double that the beacon does not carry is NaN, so that it cannot pass for a
/// small number: compare only what its `has_` says is there. After a call that failed, everything is false, 0 or NaN.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bitwire_beacon {
    /// SDS: norm_dmu and tr_sigma, weighted and added. With `has_drift`.
    pub sds: f64,
    /// The SDS at which `alert` is set. With `has_sds_threshold`.
    pub sds_threshold: f64,
    /// Cosine of the angle between the mean and that of the reference. With `has_cos_mu`.
    pub cos_mu: f64,
    /// L2 norm of the difference of the two. With `has_drift`.
    pub norm_dmu: f64,
    /// Trace of the window's sample covariance. With `has_results`.
    pub tr_sigma: f64,
    /// The weight of norm_dmu in SDS. With `has_results`.
    pub weight_mu: f64,
    /// The weight of tr_sigma in SDS. With `has_results`.
    pub weight_tr_sigma: f64,
    /// W: the number of vectors in the window. With `has_calibration`.
    pub w: f64,
    /// The window's first time, in seconds. With `has_calibration`.
    pub t0: f64,
    /// The window's last time, in seconds. With `has_calibration`.
    pub t1: f64,
    /// The step of the payload's integers, in the units of the vectors.
    pub step: f64,
    /// Rows of the payload: 1 for the beacon of a window.
    pub rows: u32,
    /// Components of a vector.
    pub dim: u32,
    /// How much of the covariance the beacon carries: one of `BITWIRE_SIGMA_...`. With `has_calibration`.
    pub sigma_kind: u8,
    /// The MAC of its frame was verified. Only `bitwire_beacon_open` sets it.
    pub authenticated: bool,
    /// SDS is at or over its threshold.
    pub alert: bool,
    /// The drift is from an outside baseline, not between the halves of the window.
    pub baseline: bool,
    /// The beacon carries RESULTS_V1.
    pub has_results: bool,
    /// There was a reference to drift from.
    pub has_drift: bool,
    /// Neither of the two means is zero.
    pub has_cos_mu: bool,
    /// A threshold was set.
    pub has_sds_threshold: bool,
    /// The beacon carries CALIB_STATS_V1.
    pub has_calibration: bool,
    /// CALIB_STATS_V1 has the mean in float, which `bitwire_beacon_mean` then takes.
    pub has_mu: bool,
    /// Private.
    private_state: u32,
    /// Private.
    private_words: MaybeUninit<[u64; 32]>,
}

/// In `private_state`: the words hold a [`Beacon`].
const FILLED: u32 = 0xB17E_0004;

impl bitwire_beacon {
    const EMPTY: Self = Self {
        sds: f64::NAN,
        sds_threshold: f64::NAN,
        cos_mu: f64::NAN,
        norm_dmu: f64::NAN,
        tr_sigma: f64::NAN,
        weight_mu: f64::NAN,
        weight_tr_sigma: f64::NAN,
        w: f64::NAN,
        t0: f64::NAN,
        t1: f64::NAN,
        step: f64::NAN,
        rows: 0,
        dim: 0,
        sigma_kind: 0,
        authenticated: false,
        alert: false,
        baseline: false,
        has_results: false,
        has_drift: false,
        has_cos_mu: false,
        has_sds_threshold: false,
        has_calibration: false,
        has_mu: false,
        private_state: 0,
        private_words: MaybeUninit::zeroed(),
    };

    fn of(beacon: &Beacon<'static>, authenticated: bool) -> Self {
        let mut this = Self {
            step: beacon.step().as_f64(),
            rows: beacon.rows(),
            dim: beacon.dim(),
            authenticated,
            alert: beacon.alert(),
            private_state: FILLED,
            private_words: pack(*beacon),
            ..Self::EMPTY
        };
        if let Some(results) = beacon.results() {
            this.has_results = true;
            this.tr_sigma = results.tr_sigma;
            this.weight_mu = results.weights.mu;
            this.weight_tr_sigma = results.weights.tr_sigma;
            if let Some(threshold) = results.sds_threshold {
                (this.has_sds_threshold, this.sds_threshold) = (true, threshold);
            }
            if let Some(drift) = results.drift {
                (this.has_drift, this.sds, this.norm_dmu) = (true, drift.sds, drift.norm_dmu);
                this.baseline = drift.reference == Reference::Baseline;
                if let Some(cos_mu) = drift.cos_mu {
                    (this.has_cos_mu, this.cos_mu) = (true, cos_mu);
                }
            }
        }
        if let Some(calibration) = beacon.calibration() {
            this.has_calibration = true;
            this.w = calibration.w();
            (this.t0, this.t1) = calibration.times();
            this.sigma_kind = calibration.sigma().code();
            this.has_mu = calibration.mu().is_some();
        }
        this
    }
}

/// What both ways to open have in common.
///
/// # Safety
/// As [`bitwire_beacon_open`].
unsafe fn open(
    frame: Result<Frame<'static>, Fault>,
    authenticated: bool,
    beacon: *mut bitwire_beacon,
    error: *mut bitwire_error,
) -> bitwire_status {
    // SAFETY: as the caller promises.
    let slot = unsafe { Slot::emptied("beacon", beacon, bitwire_beacon::EMPTY) };
    let result = check_error(error).and(slot).and_then(|slot| {
        slot.fill(bitwire_beacon::of(&Beacon::from_frame(&frame?)?, authenticated));
        Ok(())
    });
    // SAFETY: as the caller promises.
    unsafe { finish(error, result) }
}

/// Checks that a verified frame is a beacon, and reads it. `beacon` is filled, or emptied on failure.
///
/// A frame that was parsed but not verified is `BITWIRE_ERR_NOT_AUTHENTICATED`, also if it stands in a struct that held a verified one
/// before. Time: linear in the statistics and the drift; the payload is not touched.
///
/// # Safety
/// `frame` points to a `bitwire_authenticated_frame`, and the bytes it was parsed from are there, unchanged for as long as the beacon
/// is used. `beacon` can be written, `error` is NULL or can be written; neither lies in the bytes.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitwire_beacon_open(
    frame: *const bitwire_authenticated_frame,
    beacon: *mut bitwire_beacon,
    error: *mut bitwire_error,
) -> bitwire_status {
    // SAFETY: as the caller promises.
    let frame = unsafe { authenticated_frame(frame) };
    // SAFETY: as the caller promises.
    unsafe { open(frame, true, beacon, error) }
}

/// The same for a frame of which nobody knows who wrote it: for those who have no key. `beacon->authenticated` is false.
///
/// # Safety
/// As `bitwire_beacon_open`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitwire_beacon_open_unverified(
    frame: *const bitwire_frame,
    beacon: *mut bitwire_beacon,
    error: *mut bitwire_error,
) -> bitwire_status {
    // SAFETY: as the caller promises.
    let frame = unsafe { any_frame(frame) };
    // SAFETY: as the caller promises.
    unsafe { open(frame, false, beacon, error) }
}

/// Reads a beacon of the caller's back.
///
/// # Safety
/// `ptr` is NULL, or points to a `bitwire_beacon` whose private fields are as a call left them, or anything but that state; the
/// bytes parsed are still there, unchanged.
unsafe fn read(ptr: *const bitwire_beacon) -> Result<Beacon<'static>, Fault> {
    check_struct("beacon", ptr)?;
    // SAFETY: not NULL and aligned, as checked; readable, as the caller promises. Only a number is read.
    let state = unsafe { (&raw const (*ptr).private_state).read() };
    if state != FILLED {
        return Err(Fault::NotFilled("beacon"));
    }
    // SAFETY: as above; words may hold anything.
    let words = unsafe { (&raw const (*ptr).private_words).read() };
    // SAFETY: `bitwire_beacon::of` wrote them with that state.
    Ok(unsafe { unpack(&words) })
}

/// Calls `read_into` with room for the beacon's `dim` values, if it has that row.
///
/// # Safety
/// As [`bitwire_beacon_row`].
unsafe fn values<T: Copy>(
    beacon: *const bitwire_beacon,
    row: u32,
    out: *mut T,
    capacity: usize,
    error: *mut bitwire_error,
    read_into: impl FnOnce(&Beacon<'static>, &mut [T]) -> bitwire::Result<()>,
) -> bitwire_status {
    // SAFETY: as the caller promises.
    let beacon = unsafe { read(beacon) };
    // Nothing is written before all that can fail has been checked.
    let result = check_error(error).and(beacon).and_then(|beacon| {
        check_output("out", out, capacity)?;
        let (needed, available) = (u64::from(beacon.dim()), capacity as u64);
        let too_small = Error::caller(ErrorKind::BufferTooSmall { needed, available });
        let len = usize::try_from(needed).ok().filter(|&len| len <= capacity).ok_or(too_small)?;
        if row >= beacon.rows() {
            let expected = "row has to be below the beacon's rows";
            return Err(Error::caller(ErrorKind::Argument { expected }).into());
        }
        // SAFETY: as the caller promises: `len` is not over `capacity`.
        let out = unsafe { zeroed("out", out, len) }?;
        Ok(read_into(&beacon, out)?)
    });
    // SAFETY: as the caller promises.
    unsafe { finish(error, result) }
}

/// One row of the payload in float: the first `beacon->dim` of the `capacity` values at `out`. A row past the last is
/// `BITWIRE_ERR_ARGUMENT`, too little room `BITWIRE_ERR_BUFFER_TOO_SMALL`; on failure nothing is written.
///
/// # Safety
/// `beacon` points to a `bitwire_beacon`, and the bytes of its frame are there, unchanged. `capacity` values at `out` can be written,
/// and lie outside the bytes. `error` is NULL or can be written.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitwire_beacon_row(
    beacon: *const bitwire_beacon,
    row: u32,
    out: *mut f32,
    capacity: usize,
    error: *mut bitwire_error,
) -> bitwire_status {
    // SAFETY: as the caller promises.
    unsafe { values(beacon, row, out, capacity, error, |beacon, out| beacon.dequantise_row_into(row, out)) }
}

/// One row of the payload as it is stored: integers in units of `beacon->step`. Otherwise as `bitwire_beacon_row`.
///
/// # Safety
/// As `bitwire_beacon_row`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitwire_beacon_q(
    beacon: *const bitwire_beacon,
    row: u32,
    out: *mut i16,
    capacity: usize,
    error: *mut bitwire_error,
) -> bitwire_status {
    let read_into = |beacon: &Beacon<'static>, out: &mut [i16]| {
        out.iter_mut().zip(beacon.row(row).into_iter().flatten()).for_each(|(out, q)| *out = q);
        Ok(())
    };
    // SAFETY: as the caller promises.
    unsafe { values(beacon, row, out, capacity, error, read_into) }
}

/// The beacon's mean vector: that of CALIB_STATS_V1 where it has one (`has_mu`), else the mean of the rows. Otherwise as
/// `bitwire_beacon_row`. Time: one pass over the payload.
///
/// # Safety
/// As `bitwire_beacon_row`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitwire_beacon_mean(
    beacon: *const bitwire_beacon,
    out: *mut f64,
    capacity: usize,
    error: *mut bitwire_error,
) -> bitwire_status {
    // SAFETY: as the caller promises.
    unsafe { values(beacon, 0, out, capacity, error, |beacon, out| beacon.mean_into(out)) }
}
