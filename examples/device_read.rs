//! What a device does with a beacon: checks it, looks at the alarm, dequantises the mean. No allocator, no std in what
//! it calls; the whole state is a frame in flash and a few hundred bytes of stack.
//!
//! ```console
//! $ cargo run --no-default-features --example device_read
//! ```

use bitwire::beacon::Beacon;
use bitwire::frame::Frame;

/// As it would lie in flash, or come off a wire.
static BEACON: &[u8] = include_bytes!("../tests/data/beacon.bit");

/// The beacon's alarm, SDS, and largest component of the mean with its place.
fn read(bytes: &[u8]) -> bitwire::Result<(bool, Option<f64>, (usize, f32))> {
    let frame = Frame::parse_exact(bytes)?;
    let beacon = Beacon::from_frame(&frame)?;
    let mut largest = (0, 0.0_f32);
    // Component by component: not even one vector has to fit the memory.
    for (i, q) in beacon.row(0).into_iter().flatten().enumerate() {
        let x = bitwire::beacon::mu16::dequantise(q, beacon.step()) as f32;
        if x.abs() > largest.1.abs() {
            largest = (i, x);
        }
    }
    let sds = beacon.results().and_then(|results| results.drift).map(|drift| drift.sds);
    Ok((beacon.alert(), sds, largest))
}

fn main() -> bitwire::Result<()> {
    let (alert, sds, (component, value)) = read(BEACON)?;
    println!("alert: {alert}, SDS {sds:?}, largest component {component}: {value}");
    Ok(())
}
