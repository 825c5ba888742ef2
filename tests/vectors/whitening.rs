//! The typed view of the whitening, and its application to a key.

use bitwire::engram::whitening::Whitening;
use bitwire::frame::Frame;
use serde_json::{Value, json};

use super::{Held, each, f32_hex, from_hex, hex, hold, note};

pub(super) fn whitening_view(whitening: &Whitening<'_>) -> Value {
    let bytes =
        |values: &mut dyn Iterator<Item = f32>| hex(&values.flat_map(f32::to_le_bytes).collect::<Vec<u8>>());
    let directions: String =
        (0..whitening.outputs()).map(|i| bytes(&mut whitening.direction(i).unwrap())).collect();
    assert!(whitening.direction(whitening.outputs()).is_none());
    json!({
        "inputs": whitening.dim(),
        "outputs": whitening.outputs(),
        "mean": bytes(&mut whitening.mean()),
        "directions": directions,
    })
}

#[cfg_attr(test, test)]
pub(crate) fn whitenings() -> Held {
    each("whitening.json", 120, |case| {
        let bytes = from_hex(case["hex"].as_str().unwrap());
        let whitening = Frame::parse_exact(&bytes).and_then(|frame| Whitening::from_frame(&frame));
        match case["view"].as_str().unwrap() {
            "whitening" => hold(case, whitening.map(|whitening| whitening_view(&whitening))),
            "whiten" => {
                let words = |name: &str| case[name].as_array().unwrap().clone();
                let word = |word: &Value| from_hex(word.as_str().unwrap()).try_into().unwrap();
                let key: Vec<f32> = words("k").iter().map(word).map(f32::from_be_bytes).collect();
                let mut y = vec![0.0; case["components"].as_u64().unwrap() as usize];
                whitening.and_then(|whitening| whitening.apply_into(&key, &mut y)).unwrap();
                let y: Vec<Value> = y.into_iter().map(|y| json!(f32_hex(y))).collect();
                note(case, &Ok(json!({ "expect": y })));
                assert_eq!(y, words("expect"), "{}", case["id"]);
            }
            view => panic!("{view}"),
        }
    })
}
