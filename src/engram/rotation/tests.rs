extern crate std;
use super::*;
use crate::engram::Keys;
use crate::engram::ggml::{Elements, GgmlType};
use std::format;
use std::vec::Vec;

macro_rules! data {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/engram/ggml/", $name)).as_slice()
    };
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn f32s(value: &serde_json::Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// NumPy's results in f64 (make.py beside them), which products in f32 come within 2^-21 of.
#[test]
fn rope_as_numpy() {
    let cases: serde_json::Value = serde_json::from_slice(data!("rope.json")).unwrap();
    let mut turned = 0;
    for case in cases.as_array().unwrap() {
        let number = |name: &str| case[name].as_f64().unwrap();
        let pairs = match case["pairs"].as_str().unwrap() {
            "interleaved" => Pairs::Interleaved,
            _ => Pairs::Halves,
        };
        let divisors = case["divisors"].as_array().map(|_| f32s(&case["divisors"]));
        let mut rope = Rope::new(number("base"), pairs, number("dims") as u32).unwrap();
        rope = rope.with_scale(number("scale")).unwrap().with_magnitude(number("magnitude")).unwrap();
        if let Some(divisors) = &divisors {
            rope = rope.with_divisors(divisors).unwrap();
        }
        let position = number("position") as i32;
        let (key, expected) = (f32s(&case["key"]), f32s(&case["rotated"]));

        let mut found = key.clone();
        rope.rotate(&mut found, position).unwrap();
        assert!(largest_difference(&found, &expected) < 2e-6, "{case}: {found:?}");
        let rest = number("dims") as usize..;
        assert_eq!(bits(&found[rest.clone()]), bits(&key[rest]), "{case}");
        turned += usize::from(largest_difference(&found, &key) > 0.1);
        // By a table: the same bits, of all positions and of one.
        let n = rope.pair_count() as usize;
        let mut table = std::vec![Angle::default(); 3 * n];
        rope.angles_into(&[7, position, 0], &mut table).unwrap();
        let mut by_table = key.clone();
        rope.rotate_by(&table[n..2 * n], &mut by_table).unwrap();
        assert_eq!(bits(&by_table), bits(&found), "{case}");
        assert!(table[2 * n..].iter().all(|angle| *angle == Angle { cos: 1.0, sin: 0.0 }));

        let mut back = expected.clone();
        rope.unrotate(&mut back, position).unwrap();
        assert!(largest_difference(&back, &key) < 2e-6, "{case}");
        let mut by_table = expected.clone();
        rope.unrotate_by(&table[n..2 * n], &mut by_table).unwrap();
        assert_eq!(bits(&by_table), bits(&back), "{case}");
    }
    assert!(turned >= 7);
}

/// The example of spec/engram.md.
#[test]
fn worked_example() {
    let mut key = [1.0, 0.0, 0.0, 1.0];
    Rope::new(10000.0, Pairs::Interleaved, 4).unwrap().rotate(&mut key, 3).unwrap();
    assert!(largest_difference(&key, &[-0.989_992_5, 0.141_120_01, -0.029_995_5, 0.999_550_03]) < 1e-7);
}

/// Two tokens of one text are the same: in layer 0, where keys are of nothing but the token, they differ by their
/// positions alone.
#[test]
fn equal_tokens_have_equal_keys() {
    let rows: Vec<f32> = Elements::new(GgmlType::F16, data!("hd64_n37_k.f16")).unwrap().collect();
    let row = |token: usize| rows[token * 128..][..128].to_vec();
    for (first, second) in [(26, 31), (28, 30)] {
        let distance = |rope: Rope<'_>| {
            let [a, b] = [first, second].map(|token| {
                let mut row = row(token);
                for key in row.chunks_exact_mut(64) {
                    rope.unrotate(key, token as i32).unwrap();
                }
                row
            });
            largest_difference(&a, &b)
        };
        // Components reach 4: this is f16's rounding.
        assert!(distance(Rope::new(10000.0, Pairs::Interleaved, 64).unwrap()) < 0.004);
        assert!(distance(Rope::new(10000.0, Pairs::Halves, 64).unwrap()) > 1.0);
        assert!(distance(Rope::new(500_000.0, Pairs::Interleaved, 64).unwrap()) > 0.5);
        assert!(largest_difference(&row(first), &row(second)) > 1.0);
    }
}

/// The definition: (-1) to the number of bits that row and column share.
fn product(block: usize, values: &[f32]) -> Vec<f32> {
    let mut out = Vec::new();
    for block_values in values.chunks_exact(block) {
        for row in 0..block {
            let terms = block_values.iter().enumerate().map(|(column, x)| {
                let odd = (row & column).count_ones() % 2 == 1;
                f64::from(if odd { -*x } else { *x })
            });
            out.push((terms.sum::<f64>() / (block as f64).sqrt()) as f32);
        }
    }
    out
}

#[test]
fn hadamard_is_its_matrix() {
    let values: Vec<f32> = (0..1024u32).map(|i| ((i * i * 31 + i * 7) % 1009) as f32 / 504.5 - 1.0).collect();
    for block in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] {
        let mut found = values.clone();
        hadamard(block, &mut found).unwrap();
        assert!(largest_difference(&found, &product(block as usize, &values)) < 4e-6, "{block}");
        hadamard(block, &mut found).unwrap();
        assert!(largest_difference(&found, &values) < 1e-6, "{block}");
    }
    let mut four = [1.0, 2.0, 3.0, 5.0];
    hadamard(4, &mut four).unwrap();
    assert_eq!(four, [5.5, -1.5, -2.5, 0.5]);

    let refused = |block, len| {
        let kind = hadamard(block, &mut [0.0; 96][..len]).unwrap_err().kind();
        assert!(matches!(kind, ErrorKind::Argument { .. }), "{block} {len}");
    };
    refused(0, 0);
    refused(48, 96);
    refused(64, 96);
    refused(1 << 31, 96);
    hadamard(1 << 31, &mut []).unwrap();
}

#[test]
fn blocks_by_head_dim() {
    let found = [0, 32, 64, 80, 96, 128, 192, 256, 320, 576].map(key_hadamard_block);
    let expected = [None, None, Some(64), None, None, Some(128), Some(64), Some(256), Some(64), Some(64)];
    assert_eq!(found, expected);
}

/// What llama.cpp stored rotated and quantised is, turned back, what it stored of the same tokens in f16.
#[test]
fn as_llama_rotates() {
    let read = |ty, bytes| Elements::new(ty, bytes).unwrap().collect::<Vec<f32>>();
    for (ty, rotated, plain, step) in [
        (GgmlType::Q8_0, data!("hd64_n37_k_rotated.q8_0"), data!("hd64_n37_k.f16"), 0.025),
        (GgmlType::Q4_0, data!("hd64_n37_v_rotated.q4_0"), data!("hd64_n37_v.f16"), 0.45),
    ] {
        let plain = read(GgmlType::F16, plain);
        let mut values = read(ty, rotated);
        assert!(largest_difference(&values, &plain) > 4.0);
        hadamard(VALUE_HADAMARD_BLOCK, &mut values).unwrap();
        assert!(largest_difference(&values, &plain) < step, "{ty}");
    }
}

/// Keys of a token are rotated one by one, and undone in the order in which they have to be.
#[test]
fn unrotated_source() {
    let shape = KeyShape { layers: 2, heads: 3, tokens: 4, head_dim: 16 };
    let positions = [5, 0, -3, 1000];
    let rope = Rope::new(10000.0, Pairs::Halves, 12).unwrap();
    let plain: Vec<f32> = (0..384u32).map(|i| ((i * 37) % 101) as f32 / 50.5 - 1.0).collect();
    let mut stored = plain.clone();
    for (row, key) in stored.chunks_exact_mut(16).enumerate() {
        rope.rotate(key, positions[row % 4]).unwrap();
        key.copy_from_slice(&product(8, key));
    }
    let bytes: Vec<u8> = stored.iter().flat_map(|x| x.to_le_bytes()).collect();
    let keys = Keys::from_f32(shape, &bytes).unwrap();
    let mut table = [Angle::default(); 24];
    let base = Unrotated::new(keys).with_hadamard(8).unwrap();
    let slow = base.with_rope(rope, &positions).unwrap();
    let fast = base.with_angles(rope, &positions, &mut table).unwrap();
    for (row, plain) in plain.chunks_exact(16).enumerate() {
        let [layer, head, token] = [row / 12, row / 4 % 3, row % 4].map(|x| x as u32);
        let [mut by_key, mut by_table] = [[0.0; 16]; 2];
        slow.key_into(layer, head, token, &mut by_key).unwrap();
        assert!(largest_difference(&by_key, plain) < 1e-6, "{row}");
        fast.key_into(layer, head, token, &mut by_table).unwrap();
        assert_eq!(bits(&by_table), bits(&by_key), "{row}");
        for source in [&slow, &fast] {
            let mut all = [0.0; 48];
            source.token_into(layer, token, &mut all).unwrap();
            assert_eq!(bits(&all[head as usize * 16..][..16]), bits(&by_key), "{row}");
        }
    }
    assert_eq!(slow.shape(), shape);
    let text = "Unrotated(2 layers x 3 heads x 4 tokens x 16, Hadamard 8, RoPE base 10000)";
    assert_eq!(format!("{slow:?}"), text);
    // Nothing asked for, nothing done.
    let mut key = [0.0; 16];
    Unrotated::new(keys).key_into(1, 2, 3, &mut key).unwrap();
    assert_eq!(bits(&key), bits(&stored[368..]));

    let past = ErrorKind::PastEnd { field: "the token", end: 4, found: 5 };
    assert_eq!(fast.key_into(0, 0, 4, &mut key).unwrap_err().kind(), past);
    assert_eq!(fast.token_into(0, 4, &mut [0.0; 48]).unwrap_err().kind(), past);
    assert!(matches!(base.with_hadamard(32).unwrap_err().kind(), ErrorKind::Argument { .. }));
    assert!(matches!(base.with_hadamard(6).unwrap_err().kind(), ErrorKind::Argument { .. }));
    let shape = ErrorKind::Shape { field: "the positions", needed: 4, found: 3 };
    assert_eq!(base.with_rope(rope, &positions[1..]).unwrap_err().kind(), shape);
    let wide = Rope::new(10000.0, Pairs::Halves, 18).unwrap();
    assert!(matches!(base.with_rope(wide, &positions).unwrap_err().kind(), ErrorKind::Argument { .. }));
    let small = ErrorKind::BufferTooSmall { needed: 24, available: 23 };
    let error = base.with_angles(rope, &positions, &mut [Angle::default(); 23]).unwrap_err();
    assert_eq!(error.kind(), small);
}

#[test]
fn what_rope_refuses() {
    let argument = |result: Result<Rope<'_>>| {
        assert!(matches!(result.unwrap_err().kind(), ErrorKind::Argument { .. }));
    };
    for x in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let rope = Rope::new(10000.0, Pairs::Halves, 4).unwrap();
        argument(Rope::new(x, Pairs::Halves, 4));
        argument(rope.with_scale(x));
        argument(rope.with_magnitude(x));
        argument(rope.with_divisors(&[1.0, x as f32]));
    }
    argument(Rope::new(10000.0, Pairs::Halves, 0));
    argument(Rope::new(10000.0, Pairs::Halves, 5));
    let rope = Rope::new(10000.0, Pairs::Interleaved, 4).unwrap();
    let shape = ErrorKind::Shape { field: "the divisors of RoPE", needed: 2, found: 3 };
    assert_eq!(rope.with_divisors(&[1.0; 3]).unwrap_err().kind(), shape);
    let small = ErrorKind::BufferTooSmall { needed: 4, available: 3 };
    assert_eq!(rope.rotate(&mut [0.0; 3], 1).unwrap_err().kind(), small);
    assert_eq!(rope.unrotate_by(&[Angle::default(); 2], &mut [0.0; 3]).unwrap_err().kind(), small);
    let small = ErrorKind::BufferTooSmall { needed: 2, available: 1 };
    assert_eq!(rope.rotate_by(&[Angle::default(); 1], &mut [0.0; 4]).unwrap_err().kind(), small);
    rope.angles_into(&[], &mut []).unwrap();
    // Only what is there is turned, and the rest is not looked at.
    let mut key = [1.0, 0.0, 1.0, 0.0, f32::NAN];
    rope.rotate(&mut key, 0).unwrap();
    assert_eq!(key[..4], [1.0, 0.0, 1.0, 0.0]);
    assert!(key[4].is_nan());
}
