//! An evaluation loop that feeds last-token logits, one row at a time: 128,256 components, and the memory of a few
//! rows however long it runs.
//!
//! ```console
//! $ cargo run --release --features simd --example streaming_eval
//! ```

use bitwire::beacon::stats::Sigma;
use bitwire::beacon::{Against, StepChoice, Window, WindowOptions};
use bitwire::frame::Context;

/// The vocabulary of a present-day model.
const VOCABULARY: u32 = 128_256;
/// Prompts in this evaluation. Known beforehand, so that the window's halves can be compared.
const PROMPTS: u64 = 200;

fn main() -> bitwire::Result<()> {
    // The trace alone: 128,256 variances would not fit a beacon, nor does anybody need them to see a drift.
    let options = WindowOptions { sigma: Some(Sigma::Trace), ..WindowOptions::default() };
    let mut window = Window::new(VOCABULARY, Against::Halves { rows: PROMPTS }, options)?;

    let mut model = StandIn { state: 1 };
    let mut logits = vec![0.0; VOCABULARY as usize];
    for prompt in 0..PROMPTS {
        model.last_token_logits(prompt, &mut logits);
        window.push_f32(&logits)?;
    }

    let context = Context::new("logits", "stand-in", "prompts-v1", VOCABULARY)?;
    let measured = window.finish()?;
    let beacon = measured.encode(&context, StepChoice::Auto)?;
    println!("{PROMPTS} rows of {VOCABULARY} logits -> {} bytes", beacon.frame.len());
    if let Some(drift) = measured.results.and_then(|results| results.drift) {
        println!("second half against first: norm_dmu {:.3}, cos_mu {:?}", drift.norm_dmu, drift.cos_mu);
    }
    Ok(())
}

/// Stands where your model stands: noise, whose mean moves after half of the prompts.
struct StandIn {
    state: u64,
}

impl StandIn {
    fn last_token_logits(&mut self, prompt: u64, logits: &mut [f32]) {
        let shift = if prompt < PROMPTS / 2 { 0.0 } else { 0.25 };
        for (token, logit) in logits.iter_mut().enumerate() {
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let noise = (self.state >> 40) as f32 / (1 << 24) as f32 - 0.5;
            *logit = noise + if token % 100 == 0 { shift } else { 0.0 };
        }
    }
}
