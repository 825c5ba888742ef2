//! Makes a signed beacon from vectors in memory, then reads it as a receiver would.
//!
//! ```console
//! $ cargo run --example emit_verify
//! ```

use bitwire::beacon::{Against, Beacon, StepChoice, Window, WindowOptions};
use bitwire::frame::{Context, Frame, Key};

fn main() -> bitwire::Result<()> {
    // The sender: four vectors, compared with the mean of a baseline.
    let vectors: [[f32; 3]; 4] = [[0.9, 0.1, 0.0], [0.7, 0.3, 0.1], [0.8, 0.2, 0.0], [0.6, 0.2, 0.1]];
    let baseline = Against::Baseline { mean: vec![0.9, 0.1, 0.0] };
    let options = WindowOptions { sds_threshold: Some(0.5), ..WindowOptions::default() };
    let mut window = Window::new(3, baseline, options)?;
    for vector in &vectors {
        window.push_f32(vector)?;
    }
    let key = Key::new(b"a secret of 16 to 64 bytes")?;
    let context = Context::new("docs", "minilm-l6", "en", 3)?;
    let sent = window.finish()?.encode_signed(&context, StepChoice::Auto, &key)?.frame;
    println!("sent {} bytes", sent.len());

    // The receiver: nothing is believed before the key says who wrote it.
    let frame = Frame::parse_exact(&sent)?.verify(&key)?;
    frame.check_context(&context)?;
    let beacon = Beacon::from_frame(&frame)?;
    let mut mean = [0.0; 3];
    beacon.dequantise_row_into(0, &mut mean)?;
    println!("mean {mean:?} in steps of {}", beacon.step().as_f64());
    if let Some(drift) = beacon.results().and_then(|results| results.drift) {
        println!("SDS {:.4}, moved by {:.4}, alert: {}", drift.sds, drift.norm_dmu, beacon.alert());
    }
    println!("shard {} of 8", frame.routing_key().shard(8.try_into().unwrap_or(std::num::NonZeroU64::MIN)));

    // One flipped bit, with the CRC made good again, is found out.
    let mut tampered = sent;
    let last = tampered.len() - 3;
    tampered[last] ^= 1;
    let crc = bitwire::frame::crc16(&tampered[4..last + 1]);
    tampered[last + 1..].copy_from_slice(&crc.to_be_bytes());
    let found = Frame::parse_exact(&tampered)?.verify(&key);
    println!("tampered: {}", found.expect_err("a flipped bit goes unnoticed"));
    Ok(())
}
