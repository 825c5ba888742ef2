//! What a device does to say how its vectors drift: it measures a window of them row by row in memory of a fixed size,
//! writes a beacon into a buffer, and sends that. No allocator, no std in what it calls. With the feature `hmac` the beacon is
//! signed.
//!
//! ```console
//! $ cargo run --no-default-features --example device_emit
//! $ cargo run --no-default-features --features hmac --example device_emit
//! ```

use bitwire::beacon::{Beacon, FixedWindow, StepChoice, WindowOptions};
use bitwire::frame::{ContextRef, Frame};

/// Components of a vector: what an accelerometer says on three axes, and a temperature.
const DIM: usize = 4;
/// Rows of a window.
const ROWS: i16 = 64;
/// What the numbers are. Its hash is in every frame, so that nobody compares them with those of another sensor.
const CONTEXT: &[u8] =
    br#"{"dim":4,"model_id":"lis3dh","pi_id":"raw","space_id":"pump 7","unit":"2^-10 g, 0.1 C"}"#;

/// Measures a window of what `sample` gives, and writes its beacon to `out`.
fn emit(
    window: &mut FixedWindow<DIM>,
    mut sample: impl FnMut(i16) -> [i16; DIM],
    out: &mut [u8],
) -> bitwire::Result<usize> {
    let options = WindowOptions { sds_threshold: Some(1000.0), t1: 6.4, ..WindowOptions::default() };
    // The second half is compared with the first; `start_against_beacon` takes an earlier beacon instead.
    window.start_in_halves(u64::from(ROWS.unsigned_abs()), options)?;
    for i in 0..ROWS {
        window.push_i16(&sample(i))?;
    }
    let measured = window.finish()?;
    let beacon = measured.to_beacon(ContextRef::parse(CONTEXT)?, StepChoice::Auto)?;
    #[cfg(feature = "hmac")]
    let key = bitwire::frame::Key::new(b"a secret of 16 to 64 bytes")?;
    #[cfg(feature = "hmac")]
    let beacon = beacon.sign(&key);
    beacon.encode_into(out)
}

/// What the receiver makes of it.
fn receive(bytes: &[u8]) -> bitwire::Result<()> {
    let frame = Frame::parse_exact(bytes)?;
    #[cfg(feature = "hmac")]
    let frame = frame.verify(&bitwire::frame::Key::new(b"a secret of 16 to 64 bytes")?)?;
    let beacon = Beacon::from_frame(&frame)?;
    let mut mean = [0.0; DIM];
    beacon.dequantise_row_into(0, &mut mean)?;
    let drift = beacon.results().and_then(|results| results.drift);
    let (sds, moved) = drift.map_or((0.0, 0.0), |drift| (drift.sds, drift.norm_dmu));
    println!("{} bytes from {}: mean {mean:?}", bytes.len(), frame.ctx());
    println!("SDS {sds:.1}, moved by {moved:.1}, alert: {}", beacon.alert());
    Ok(())
}

fn main() -> bitwire::Result<()> {
    let mut window = FixedWindow::<DIM>::new();
    let mut buffer = [0; 512];
    println!("the window takes {} bytes, the beacon up to {}", size_of_val(&window), buffer.len());
    // A pump that runs quietly, then one that shakes and warms up: the same memory twice.
    let quiet = |i: i16| [i % 3, -(i % 5), 1024 + i % 2, 215];
    let worn = |i: i16| [40 * (i % 3), -30 * (i % 5), 1024 + 9 * i, 215 + i];
    let len = emit(&mut window, quiet, &mut buffer)?;
    receive(buffer.get(..len).unwrap_or_default())?;
    let len = emit(&mut window, worn, &mut buffer)?;
    receive(buffer.get(..len).unwrap_or_default())
}
