extern crate std;
use super::*;
use std::format;
use std::vec::Vec;

macro_rules! data {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/engram/ggml/", $name)).as_slice()
    };
}

fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// Bits, but for NaN.
#[track_caller]
fn assert_same(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (i, (x, y)) in found.iter().zip(expected).enumerate() {
        assert!(x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan(), "{i}: {x:e}, not {y:e}");
    }
}

/// Rows of every quantised type, and what llama.cpp's own Python package makes of them (make.py beside the files).
const BY_GGUF: [(GgmlType, &[u8], &[u8]); 6] = [
    (GgmlType::Q4_0, data!("q4_0.rows"), data!("q4_0.expected")),
    (GgmlType::Q4_1, data!("q4_1.rows"), data!("q4_1.expected")),
    (GgmlType::Q5_0, data!("q5_0.rows"), data!("q5_0.expected")),
    (GgmlType::Q5_1, data!("q5_1.rows"), data!("q5_1.expected")),
    (GgmlType::Q8_0, data!("q8_0.rows"), data!("q8_0.expected")),
    (GgmlType::Iq4Nl, data!("iq4_nl.rows"), data!("iq4_nl.expected")),
];

#[test]
fn as_gguf() {
    for (ty, rows, expected) in BY_GGUF {
        let expected = f32s(expected);
        assert_eq!(expected.len(), 4 * 96, "{ty}");
        let row_size = usize::try_from(ty.row_size(96).unwrap()).unwrap();
        assert_eq!(row_size, rows.len() / 4, "{ty}");
        for (row, expected) in rows.chunks_exact(row_size).zip(expected.chunks_exact(96)) {
            let mut out = [0.0; 96];
            dequantise_into(ty, row, 0, &mut out).unwrap();
            assert_same(&out, expected);
        }
        // Extreme scales are among them; only a sum is never -0.
        assert!(expected.iter().any(|x| x.abs() > 1e5), "{ty}");
        let sum = matches!(ty, GgmlType::Q4_1 | GgmlType::Q5_1);
        assert_eq!(expected.iter().any(|x| x.to_bits() == 1 << 31), !sum, "{ty}");
    }
}

#[test]
fn any_part_of_a_row() {
    let floats = [
        (GgmlType::F16, data!("hd64_n37_k.f16")),
        (GgmlType::Bf16, data!("hd64_n5_k.bf16")),
        (GgmlType::F32, data!("q4_0.expected")),
    ];
    for (ty, rows) in BY_GGUF.map(|(ty, rows, _)| (ty, rows)).into_iter().chain(floats) {
        let row = &rows[..usize::try_from(ty.row_size(96).unwrap()).unwrap()];
        let mut all = [0.0; 96];
        dequantise_into(ty, row, 0, &mut all).unwrap();
        for first in 0..=96 {
            for len in 0..=96 - first {
                let mut out = [0.0; 96];
                dequantise_into(ty, row, first as u64, &mut out[..len]).unwrap();
                assert_same(&out[..len], &all[first..first + len]);
            }
            let end = ErrorKind::PastEnd { field: "the elements", end: 96, found: 97 };
            let mut out = [0.0; 97];
            let error = dequantise_into(ty, row, first as u64, &mut out[first..]).unwrap_err();
            assert_eq!(error.kind(), end, "{ty} {first}");

            let mut elements = Elements::new(ty, row).unwrap();
            assert_eq!(elements.len(), 96);
            if first > 0 {
                assert_same(&[elements.nth(first - 1).unwrap()], &all[first - 1..first]);
            }
            assert_eq!(elements.len(), 96 - first);
            assert_same(&elements.clone().collect::<Vec<_>>(), &all[first..]);
            // In steps, which enter blocks anywhere.
            for step in [2, 3, 31, 32, 33, 64] {
                let found: Vec<f32> = elements.clone().step_by(step).collect();
                let expected: Vec<f32> = all[first..].iter().copied().step_by(step).collect();
                assert_same(&found, &expected);
            }
            assert_eq!(elements.nth(96), None);
            assert_eq!((elements.next(), elements.len()), (None, 0));
        }
        let error = dequantise_into(ty, row, u64::MAX, &mut [0.0]).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::PastEnd { .. }), "{ty}");
    }
}

#[test]
fn real_tensors() {
    for (ty, rows, expected) in [
        (GgmlType::Q8_0, data!("hd32_n37_k.q8_0"), data!("hd32_n37_k.expected")),
        (GgmlType::Bf16, data!("hd64_n5_k.bf16"), data!("hd64_n5_k.expected")),
    ] {
        let found: Vec<f32> = Elements::new(ty, rows).unwrap().collect();
        assert_same(&found, &f32s(expected));
    }
    for (ty, cells, bytes, expected) in [
        (GgmlType::F32, 5, data!("hd32_n5_v_transposed.f32"), data!("hd32_n5_v_transposed.expected")),
        (GgmlType::F16, 37, data!("hd32_n37_v_transposed.f16"), data!("hd32_n37_v_transposed.expected")),
    ] {
        let v = Transposed::new(ty, 64, cells, bytes).unwrap();
        let expected = f32s(expected);
        for (cell, expected) in (0..cells).zip(expected.chunks_exact(64)) {
            assert_same(&v.cell(cell).unwrap().collect::<Vec<_>>(), expected);
            let mut head = [0.0; 32];
            v.cell_into(cell, 32, &mut head).unwrap();
            assert_same(&head, &expected[32..]);
            assert_same(&[v.cell(cell).unwrap().nth(7).unwrap()], &expected[7..8]);
        }
        for element in 0..64 {
            let row = v.element_bytes(element).unwrap();
            let column: Vec<f32> = expected.iter().copied().skip(element as usize).step_by(64).collect();
            assert_same(&Elements::new(ty, row).unwrap().collect::<Vec<_>>(), &column);
        }
    }
}

#[test]
fn transposed_bounds() {
    let bytes = [0, 0x80, 0x80, 0x3F, 0, 0x40, 0x40, 0x40, 0x80, 0x40, 0xA0, 0x40];
    let v = Transposed::new(GgmlType::Bf16, 2, 3, &bytes).unwrap();
    let cells = [0, 1, 2].map(|cell| v.cell(cell).unwrap().collect::<Vec<_>>());
    assert_eq!(cells, [[-0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]);
    assert_eq!(v.cell(2).unwrap().len(), 2);
    assert_eq!(v.cell(2).unwrap().nth(2), None);
    assert_eq!(format!("{v:?}"), "Transposed(2 x 3 cells bf16)");

    let past = |field, end, found| ErrorKind::PastEnd { field, end, found };
    assert_eq!(v.cell(3).unwrap_err().kind(), past("the cell", 3, 4));
    assert_eq!(v.element_bytes(2).unwrap_err().kind(), past("the element", 2, 3));
    let error = |first, len| v.cell_into(0, first, &mut [0.0; 4][..len]).unwrap_err().kind();
    assert_eq!(error(1, 2), past("the elements", 2, 3));
    assert_eq!(error(u32::MAX, 1), past("the elements", 2, 1 << 32));
    v.cell_into(0, 2, &mut []).unwrap();

    let new = |ty, n, cells, bytes| Transposed::new(ty, n, cells, bytes).unwrap_err().kind();
    let shape = ErrorKind::Shape { field: "bytes of the tensor", needed: 12, found: 11 };
    assert_eq!(new(GgmlType::F16, 2, 3, &bytes[1..]), shape);
    assert!(matches!(new(GgmlType::Q8_0, 32, 1, &[0; 34]), ErrorKind::Argument { .. }));
    assert_eq!(new(GgmlType::F32, u32::MAX, u32::MAX, &[]), ErrorKind::Size { field: "the tensor" });
    // Nothing of much is nothing.
    assert_eq!(Transposed::new(GgmlType::F32, 0, u32::MAX, &[]).unwrap().cell(7).unwrap().next(), None);
}

/// Binary16 by hand; a NaN comes out quiet, with its payload.
#[test]
fn by_hand() {
    let mut out = [0.0; 3];
    dequantise_into(GgmlType::F16, &[0x00, 0x3C, 0x01, 0x80, 0x01, 0x7C], 0, &mut out).unwrap();
    assert_eq!(out.map(f32::to_bits), [0x3F80_0000, 0xB380_0000, 0x7FC0_2000]);
    let half = Transposed::new(GgmlType::F16, 1, 3, &[0x00, 0x3C, 0x01, 0x80, 0x01, 0x7C]).unwrap();
    let found = [0, 1, 2].map(|cell| half.cell(cell).unwrap().next().unwrap().to_bits());
    assert_eq!(found, [0x3F80_0000, 0xB380_0000, 0x7FC0_2000]);

    // The examples of spec/engram.md: scale 0.5 (00 38), least 2 (00 40), first code byte E1, bits 0 and 16 of the fifth.
    let expected = [
        (GgmlType::Q4_0, [0x00, 0x38].as_slice(), -3.5, 3.0),
        (GgmlType::Q4_1, &[0x00, 0x38, 0x00, 0x40], 2.5, 9.0),
        (GgmlType::Q5_0, &[0x00, 0x38, 1, 0, 1, 0], 0.5, 7.0),
        (GgmlType::Q5_1, &[0x00, 0x38, 0x00, 0x40, 1, 0, 1, 0], 10.5, 17.0),
        (GgmlType::Iq4Nl, &[0x00, 0x38], -52.0, 44.5),
    ];
    for (ty, head, first, seventeenth) in expected {
        let mut block = head.to_vec();
        block.extend([0xE1; 16]);
        let values: Vec<f32> = Elements::new(ty, &block).unwrap().collect();
        assert_eq!((values[0], values[16]), (first, seventeenth), "{ty}");
    }
    let mut block = [0xE1; 34];
    (block[0], block[1]) = (0x00, 0x38);
    assert_eq!(Elements::new(GgmlType::Q8_0, &block).unwrap().next(), Some(-15.5));
}

#[test]
fn ids_names_and_sizes() {
    // ggml.h, and type_traits of ggml.c.
    let expected = [
        (0, "f32", 1, 4),
        (1, "f16", 1, 2),
        (2, "q4_0", 32, 18),
        (3, "q4_1", 32, 20),
        (6, "q5_0", 32, 22),
        (7, "q5_1", 32, 24),
        (8, "q8_0", 32, 34),
        (20, "iq4_nl", 32, 18),
        (30, "bf16", 1, 2),
    ];
    let found = GgmlType::ALL.map(|ty| (ty.id(), ty.name(), ty.block_elements(), ty.block_bytes()));
    assert_eq!(found, expected);
    for ty in GgmlType::ALL {
        assert_eq!((GgmlType::from_id(ty.id()), GgmlType::from_name(ty.name())), (Some(ty), Some(ty)));
        assert_eq!(format!("{ty}"), ty.name());
        assert_eq!(ty.is_quantised(), ty.block_elements() == 32);
        assert_eq!(ty.row_elements(ty.row_size(128).unwrap()).unwrap(), 128);
        assert_eq!(ty.row_size(0).unwrap(), 0);
        if let Layout::Blocks(quant) = ty.layout() {
            assert_eq!(quant.block_bytes(), ty.block_bytes() as usize);
        }
    }
    assert!((-1..64).filter_map(GgmlType::from_id).eq(GgmlType::ALL));
    assert_eq!((GgmlType::from_id(i32::MIN), GgmlType::from_name("Q8_0")), (None, None));

    assert_eq!(GgmlType::Q8_0.row_size(1024).unwrap(), 1088);
    let whole =
        |result: Result<u64>| assert!(matches!(result.unwrap_err().kind(), ErrorKind::Argument { .. }));
    whole(GgmlType::Q8_0.row_size(1000));
    whole(GgmlType::Q8_0.row_elements(1000));
    whole(GgmlType::F32.row_elements(6));
    let size = ErrorKind::Size { field: "a row" };
    assert_eq!(GgmlType::F32.row_size(1 << 62).unwrap_err().kind(), size);
    assert_eq!(GgmlType::Q4_0.row_elements(u64::MAX / 18 * 18).unwrap_err().kind(), size);
    let short = dequantise_into(GgmlType::Q4_1, &[0; 19], 0, &mut []).unwrap_err();
    assert!(matches!(short.kind(), ErrorKind::Argument { .. }));
    assert!(Elements::new(GgmlType::Q5_1, &[0; 25]).is_err());
}
