//! .npy files: those NumPy wrote (tests/data/npy, by make.py there), and those nobody should have written.
#![cfg(feature = "std")]
// Tests state expectations by panicking.

use bitwire::io::npy::{
    Dtype, Header, MAX_HEADER, MatrixReader, Order, Row, write_array_f32, write_array_f64, write_matrix_f32,
    write_matrix_f64,
};
use bitwire::io::{Cause, FileError};
use bitwire::{Error, ErrorKind};
use proptest::prelude::*;
use std::io::Read;
use std::path::{Path, PathBuf};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/npy").join(name)
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

/// Rows, dim and all values in row order, widened.
fn read(bytes: impl Read) -> Result<(u64, usize, Vec<f64>), Cause> {
    let mut reader = MatrixReader::new(bytes)?;
    let mut values = Vec::new();
    let mut rows = 0;
    while let Some(row) = reader.next_row()? {
        rows += 1;
        let before = values.len();
        match row {
            Row::F32(row) => values.extend(row.iter().map(|&v| f64::from(v))),
            Row::F64(row) => values.extend_from_slice(row),
        }
        assert_eq!(values.len() - before, reader.dim());
    }
    assert!(reader.next_row()?.is_none());
    assert!(rows == reader.rows() || reader.dim() == 0);
    Ok((reader.rows(), reader.dim(), values))
}

fn refusal(bytes: impl Read) -> Error {
    match read(bytes) {
        Err(Cause::Format(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// A file whose header has the given text.
fn with_text(version: u8, text: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    if version == 1 {
        bytes.extend((text.len() as u16).to_le_bytes());
    } else {
        bytes.extend((text.len() as u32).to_le_bytes());
    }
    bytes.extend(text.as_bytes());
    bytes.extend(data);
    bytes
}

fn reason(text: &str) -> (String, u64) {
    let error = refusal(&with_text(1, text, &[0; 64])[..]);
    (error.kind().to_string(), error.offset())
}

/// The matrix of make.py.
fn expected() -> Vec<f64> {
    (0..15).map(|i| f64::from(i - 7) / 4.0).collect()
}

/// Gives one byte at a time, and an interruption before each.
struct Trickle<'a>(&'a [u8], bool);

impl Read for Trickle<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let n = to.len().min(1);
        self.0.read(&mut to[..n])
    }
}

#[test]
fn every_float_type_byte_order_and_memory_order_gives_the_same_matrix() {
    for kind in ["f2", "f4", "f8"] {
        for order in ["le", "be"] {
            for layout in ["c", "fortran"] {
                let name = format!("{kind}_{order}_{layout}.npy");
                let bytes = file(&name);
                assert_eq!(read(&bytes[..]).unwrap(), (5, 3, expected()), "{name}");
                assert_eq!(read(Trickle(&bytes, false)).unwrap(), (5, 3, expected()), "{name}");
                let header = *MatrixReader::open(path(&name)).unwrap().header();
                assert_eq!(header.fortran_order(), layout == "fortran");
                assert_eq!(header.order(), if order == "le" { Order::Little } else { Order::Big });
                assert_eq!((header.shape(), header.data_offset()), (&[5, 3][..], 128));
                assert_eq!(header.data_len() + 128, bytes.len() as u64);
            }
        }
    }
    for name in ["version2.npy", "version3.npy"] {
        assert_eq!(read(&file(name)[..]).unwrap(), (5, 3, expected()), "{name}");
    }
    assert_eq!(read(&file("one_row_fortran.npy")[..]).unwrap(), (1, 3, expected()[..3].to_vec()));
}

#[test]
fn f16_and_f32_come_as_f32_and_f64_as_f64() {
    for (name, wide) in [("f2_le_c.npy", false), ("f4_be_c.npy", false), ("f8_be_fortran.npy", true)] {
        let mut reader = MatrixReader::open(path(name)).unwrap();
        let row = reader.next_row().unwrap().unwrap();
        assert_eq!(matches!(row, Row::F64(_)), wide, "{name}");
    }
}

#[test]
fn a_matrix_without_rows_or_columns_hands_out_nothing() {
    assert_eq!(read(&file("rows0.npy")[..]).unwrap(), (0, 5, vec![]));
    assert_eq!(read(&file("columns0.npy")[..]).unwrap(), (5, 0, vec![]));
    // Nor does it take time in proportion to rows that hold nothing.
    let text = "{'descr': '<f8', 'fortran_order': False, 'shape': (3000000000000000000, 0), }\n";
    assert_eq!(
        refusal(&with_text(1, text, b"")[..]).kind(),
        ErrorKind::Size { field: "the array" },
        "2.4e19 bytes"
    );
    let text = "{'descr': '<f8', 'fortran_order': True, 'shape': (2000000000000000000, 0), }\n";
    assert_eq!(read(&with_text(1, text, b"")[..]).unwrap().0, 2_000_000_000_000_000_000);
}

#[test]
fn other_arrays_are_refused_by_name() {
    for (name, message) in [
        ("refused_object", "the array's type is '|O', needed is f2, f4 or f8 (at byte 20)"),
        ("refused_int32", "the array's type is '<i4', needed is f2, f4 or f8 (at byte 20)"),
        ("refused_bool", "the array's type is '|b1', needed is f2, f4 or f8 (at byte 20)"),
        ("refused_complex64", "the array's type is '<c8', needed is f2, f4 or f8 (at byte 20)"),
        ("refused_longdouble", "the array's type is '<f16', needed is f2, f4 or f8 (at byte 20)"),
        ("refused_text", "the array's type is '<U1', needed is f2, f4 or f8 (at byte 20)"),
        ("refused_date", "the array's type is '<M8[ns]', needed is f2, f4 or f8 (at byte 20)"),
        (
            "refused_structured",
            "the array's type is 'structured', needed is one plain number type (at byte 20)",
        ),
        ("refused_0d", "the array has 0 dimensions, needed is a matrix (rows, dim) (at byte 60)"),
        ("refused_1d", "the array has 1 dimension, needed is a matrix (rows, dim) (at byte 60)"),
        ("refused_3d", "the array has 3 dimensions, needed is a matrix (rows, dim) (at byte 60)"),
        ("refused_5d", "the array has 5 dimensions, needed is a matrix (rows, dim) (at byte 60)"),
        ("refused_9d", "the array has 9 dimensions, needed is at most 8 (at byte 60)"),
    ] {
        let error: FileError = match MatrixReader::open(path(&format!("{name}.npy"))) {
            Err(error) => error,
            Ok(_) => panic!("{name}"),
        };
        assert_eq!(error.cause().to_string(), message, "{name}");
        assert!(error.to_string().ends_with(&format!("{name}.npy: {message}")));
        assert!(!error.is_io());
    }
    let missing = MatrixReader::open(path("none.npy")).unwrap_err();
    assert!(missing.is_io());
}

#[test]
fn a_header_serves_integers_too() {
    let bytes = file("refused_int32.npy");
    let header = Header::parse(&bytes).unwrap();
    assert_eq!((header.dtype(), header.dtype().size(), header.data_len()), (Dtype::I32, Some(4), 24));
    assert_eq!(header.shape(), [2, 3]);
    assert_eq!(header.descr().to_string(), "<i4");
    let mut rest = &bytes[..];
    assert_eq!(Header::read(&mut rest).unwrap(), header);
    assert_eq!(rest.len(), 24, "not one byte more than the header");
    let bytes = file("refused_0d.npy");
    assert_eq!(Header::parse(&bytes).unwrap().shape(), [0u64; 0]);
    for (code, dtype) in [("|u1", Dtype::U8), ("|i1", Dtype::I8), (">u2", Dtype::U16), ("<u8", Dtype::U64)] {
        let text = format!("{{'descr': '{code}', 'fortran_order': False, 'shape': (3,)}}");
        assert_eq!(Header::parse(&with_text(2, &text, b"")).unwrap().dtype(), dtype);
    }
}

#[test]
fn every_truncation_is_found_and_placed() {
    for name in ["f4_le_c.npy", "f8_be_fortran.npy", "f2_be_c.npy", "version2.npy", "version3.npy"] {
        let bytes = file(name);
        for len in 0..bytes.len() {
            let error = refusal(&bytes[..len]);
            let ErrorKind::Truncated { field, needed, available } = error.kind() else {
                panic!("{name} cut to {len}: {error}")
            };
            assert_eq!(error.offset() + available, len as u64, "{name} cut to {len}");
            assert!(needed > available);
            assert_eq!(field == "the array's data", len >= 128, "{name} cut to {len}");
            if len >= 128 {
                assert_eq!(128 + needed, bytes.len() as u64);
            }
            // Of a slice the answer is the same as of a stream.
            if len < 128 {
                assert_eq!(Header::parse(&bytes[..len]), Err(error));
            }
        }
    }
}

#[test]
fn bytes_after_the_data_are_refused() {
    for name in ["f4_le_c.npy", "f8_be_fortran.npy", "rows0.npy", "columns0.npy"] {
        let mut bytes = file(name);
        let end = bytes.len() as u64;
        bytes.push(0);
        assert_eq!(refusal(&bytes[..]), Error::new(ErrorKind::TrailingBytes { count: 1 }, end));
        bytes.extend([1; 99]);
        assert_eq!(refusal(&bytes[..]), Error::new(ErrorKind::TrailingBytes { count: 100 }, end));
        // An endless stream is not read to its end.
        let endless = bytes.chain(std::io::repeat(0));
        assert_eq!(refusal(endless), Error::new(ErrorKind::TrailingBytes { count: 128 << 10 }, end));
    }
}

#[test]
fn after_an_error_there_are_no_rows() {
    let bytes = file("f4_le_c.npy");
    let mut reader = MatrixReader::new(&bytes[..bytes.len() - 1]).unwrap();
    assert!(reader.next_row().is_err());
    assert_eq!(reader.next_row().unwrap(), None);
    assert_eq!(reader.next_row().unwrap(), None);
}

#[test]
fn python_2_and_free_spelling_are_read() {
    let data: Vec<u8> = [1f32, 2.0, 3.0, 4.0, 5.0, 6.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    for text in [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }          \n",
        "{'shape': (2, 3), 'fortran_order': False, 'descr': '<f4'}",
        "{\"shape\": (2, 3,), \"descr\": \"<f4\", 'fortran_order': False,}",
        "{'shape':(2,3),'descr':'<f4','fortran_order':False}",
        " \t{ 'shape' : ( 2 , 3 ) ,\n 'descr' : '<f4' , 'fortran_order' : False , } \r\n",
    ] {
        for version in 1..=3 {
            let bytes = with_text(version, text, &data);
            assert_eq!(read(&bytes[..]).unwrap(), (2, 3, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), "{text}");
        }
    }
    let native = "{'descr': '=f4', 'fortran_order': False, 'shape': (1, 1)}";
    let bytes = with_text(1, native, &2.5f32.to_ne_bytes());
    assert_eq!(read(&bytes[..]).unwrap(), (1, 1, vec![2.5]));
}

#[test]
fn malformed_headers_say_what_and_where() {
    let head = "{'descr': '<f4', 'fortran_order': False, 'shape': ";
    for (text, message, offset) in [
        ("", "the header's text does not start with {", 10),
        ("   ", "the header's text does not start with {", 13),
        ("{", "a string of the header is not in quotes on one line, without escapes", 11),
        ("{}", "the header lacks the key descr", 10),
        ("{'descr': '<f4', 'shape': (2, 3)}", "the header lacks the key fortran_order", 10),
        ("{'descr': '<f4', 'fortran_order': False}", "the header lacks the key shape", 10),
        ("{'descr': '<f4', 'descr': '<f4'}", "the header names a key twice", 27),
        ("{'what': 1}", "a key of the header is not descr, fortran_order or shape", 11),
        ("{'descr' '<f4'}", "a key of the header has no value", 19),
        ("{'descr': '<f4' 'shape': ()}", "an entry of the header is not followed by , or }", 26),
        ("{'descr': '<f\\x34'}", "a string of the header is not in quotes on one line, without escapes", 20),
        ("{'descr': 4}", "a string of the header is not in quotes on one line, without escapes", 20),
        ("{'descr': '<f4}", "a string of the header is not in quotes on one line, without escapes", 20),
        ("{'descr': '<f4\", }", "a string of the header is not in quotes on one line, without escapes", 20),
        ("{'fortran_order': 0}", "fortran_order is neither True nor False", 28),
        ("{'fortran_order': Falsehood}", "an entry of the header is not followed by , or }", 33),
        ("{'fortran_order': ", "fortran_order is neither True nor False", 28),
    ] {
        assert_eq!(reason(text), (format!(".npy: {message}"), offset), "{text}");
    }
    for (shape, message, offset) in [
        ("(2, 3)} x", "the header goes on after its dictionary", 68),
        ("(2, 3)}{}", "the header goes on after its dictionary", 67),
        ("[2, 3]}", "the shape is not a tuple", 60),
        ("6}", "the shape is not a tuple", 60),
        ("(6)}", "the shape is not a tuple: (3) instead of (3,)", 60),
        ("(2 3)}", "the dimensions of the shape are not separated by ,", 63),
        ("(2,, 3)}", "a dimension of the shape is not a number from 0 up", 63),
        ("(-2, 3)}", "a dimension of the shape is not a number from 0 up", 61),
        ("(,)}", "a dimension of the shape is not a number from 0 up", 61),
        ("(2, 3.0)}", "the dimensions of the shape are not separated by ,", 65),
        ("(2, 3e1)}", "the dimensions of the shape are not separated by ,", 65),
        ("(2, 03)}", "a dimension of the shape starts with 0", 64),
        ("(True, 3)}", "a dimension of the shape is not a number from 0 up", 61),
        ("(2, 3", "the dimensions of the shape are not separated by ,", 65),
        ("(2, __import__('os'))}", "a dimension of the shape is not a number from 0 up", 64),
    ] {
        assert_eq!(reason(&format!("{head}{shape}")), (format!(".npy: {message}"), offset), "{shape}");
    }
    for (bytes, message) in [
        (
            &b"\x93NUMPZ\x01\x00"[..],
            "not a NumPy file: the first six bytes are not 93 4E 55 4D 50 59 (at byte 0)",
        ),
        (b"1.5,2.5\n", "not a NumPy file: the first six bytes are not 93 4E 55 4D 50 59 (at byte 0)"),
        (
            b"PK\x03\x04",
            "this is a zip archive (.npz?), a single .npy array is needed; save it with numpy.save (at byte 0)",
        ),
        (b"\x93NUMPY\x04\x00\x00\x00", "the version is not 1.0, 2.0 or 3.0 (at byte 6)"),
        (b"\x93NUMPY\x00\x01\x00\x00", "the version is not 1.0, 2.0 or 3.0 (at byte 6)"),
    ] {
        assert_eq!(refusal(bytes).to_string(), format!(".npy: {message}"));
    }
}

#[test]
fn sizes_that_lie_cost_neither_memory_nor_time() {
    // A length of 4 GiB is refused before one byte of it is read, one within the bound once the stream ends.
    let mut bytes = b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec();
    let max = u64::from(MAX_HEADER);
    let error = refusal(bytes.clone().chain(std::io::repeat(b' ')));
    let field = "the length of the .npy header";
    assert_eq!(error.kind(), ErrorKind::TooLarge { field, max, found: 0xffff_ffff });
    bytes[8..].copy_from_slice(&[0, 0, 1, 0]);
    assert!(matches!(refusal(&bytes[..]).kind(), ErrorKind::TooLarge { found: 65_536, .. }));
    bytes[8..].copy_from_slice(&[0xff, 0xff, 0, 0]);
    let truncated = ErrorKind::Truncated { field: "the .npy header's text", needed: 65_535, available: 0 };
    assert_eq!(refusal(&bytes[..]), Error::new(truncated, 12));
    let blank = refusal(bytes.chain(std::io::repeat(b' ')));
    assert_eq!(blank.to_string(), ".npy: the header's text does not start with { (at byte 65547)");

    for (shape, needed) in [
        ("(1, 1099511627776)", 1u64 << 43),
        ("(1099511627776, 1)", 1 << 43),
        ("(2, 500000000000000000)", 8_000_000_000_000_000_000),
    ] {
        for fortran in ["True", "False"] {
            let text = format!("{{'descr': '<f8', 'fortran_order': {fortran}, 'shape': {shape}}}");
            let error = refusal(&with_text(1, &text, &[0; 20])[..]);
            let field = "the array's data";
            assert_eq!(error.kind(), ErrorKind::Truncated { field, needed, available: 20 }, "{text}");
        }
    }
    for shape in [
        "(4294967296, 4294967296)",
        "(18446744073709551615, 1)",
        "(2305843009213693952, 1)",
        "(4194305, 4194305, 211106198978564)",
        "(18446744073709551616, 1)",
        "(99999999999999999999999999, 0)",
    ] {
        let text = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}");
        assert!(
            matches!(refusal(&with_text(1, &text, &[0; 64])[..]).kind(), ErrorKind::Size { .. }),
            "{shape}"
        );
    }
    // A shape of ten thousand dimensions is counted, not stored.
    let text = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({})}}", "1,".repeat(10_000));
    let error = refusal(&with_text(1, &text, &[0; 8])[..]);
    assert_eq!(error.kind(), ErrorKind::NpyDims { needed: "at most 8", found: 10_000 });
}

/// The value of a binary16 by its definition (IEEE 754-2008, 3.4); the bits of NaN are widened in place.
fn f16_by_definition(bits: u16) -> Result<f64, u32> {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let exponent = i32::from(bits >> 10 & 31);
    let fraction = f64::from(bits & 0x3ff);
    match (exponent, bits & 0x3ff) {
        (0, _) => Ok(sign * fraction * 2f64.powi(-24)),
        (31, 0) => Ok(sign * f64::INFINITY),
        // Quiet as all hardware makes it, payload kept.
        (31, payload) => Err(u32::from(bits >> 15) << 31 | 0x7fc0_0000 | u32::from(payload) << 13),
        _ => Ok(sign * (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15)),
    }
}

#[test]
fn every_f16_is_widened_exactly() {
    let text = "{'descr': '>f2', 'fortran_order': False, 'shape': (256, 256)}";
    let data: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_be_bytes).collect();
    let bytes = with_text(1, text, &data);
    let mut reader = MatrixReader::new(&bytes[..]).unwrap();
    let mut bits = 0..=u16::MAX;
    while let Some(row) = reader.next_row().unwrap() {
        let Row::F32(row) = row else { panic!() };
        for value in row {
            let bits = bits.next().unwrap();
            match f16_by_definition(bits) {
                Ok(exact) => assert_eq!(f64::from(*value).to_bits(), exact.to_bits(), "{bits:04x}"),
                Err(nan) => assert_eq!(value.to_bits(), nan, "{bits:04x}"),
            }
        }
    }
    assert_eq!(bits.next(), None);
}

#[test]
fn not_a_number_passes_through_as_bits() {
    let f32_bits = [0x7fc0_1234u32, 0x7f80_0001, 0xffff_ffff, 0x7f80_0000, 0xff80_0000, 0x8000_0000, 1];
    for (order, swap) in [('<', false), ('>', true)] {
        let text = format!("{{'descr': '{order}f4', 'fortran_order': False, 'shape': (1, 7)}}");
        let data: Vec<u8> =
            f32_bits.iter().flat_map(|b| if swap { b.to_be_bytes() } else { b.to_le_bytes() }).collect();
        let bytes = with_text(1, &text, &data);
        let mut reader = MatrixReader::new(&bytes[..]).unwrap();
        let Some(Row::F32(row)) = reader.next_row().unwrap() else { panic!() };
        assert!(row.iter().map(|v| v.to_bits()).eq(f32_bits));

        let text = format!("{{'descr': '{order}f8', 'fortran_order': True, 'shape': (1, 7)}}");
        let wide = f32_bits.map(|b| u64::from(b) << 32 | 0x8000_0001);
        let data: Vec<u8> =
            wide.iter().flat_map(|b| if swap { b.to_be_bytes() } else { b.to_le_bytes() }).collect();
        let bytes = with_text(1, &text, &data);
        let mut reader = MatrixReader::new(&bytes[..]).unwrap();
        let Some(Row::F64(row)) = reader.next_row().unwrap() else { panic!() };
        assert!(row.iter().map(|v| v.to_bits()).eq(wide));
    }
}

#[test]
fn writers_write_what_numpy_writes() {
    let matrix = expected();
    let narrow: Vec<f32> = matrix.iter().map(|&v| v as f32).collect();
    let mut bytes = Vec::new();
    write_matrix_f32(&mut bytes, 5, 3, &narrow).unwrap();
    assert_eq!(bytes, file("f4_le_c.npy"));
    bytes.clear();
    write_matrix_f64(&mut bytes, 5, 3, &matrix).unwrap();
    assert_eq!(bytes, file("f8_le_c.npy"));
    bytes.clear();
    write_array_f64(&mut bytes, &[], &[2.5]).unwrap();
    assert_eq!(bytes, file("scalar_f8.npy"));
    bytes.clear();
    write_array_f32(&mut bytes, &[3], &[1.0, 2.0, 3.5]).unwrap();
    assert_eq!(bytes, file("vector_f4.npy"));

    let headers = file("headers.bin");
    let mut rest = &headers[..];
    let mut lengths = std::collections::BTreeSet::new();
    for line in std::fs::read_to_string(path("headers.txt")).unwrap().lines() {
        let (shape, len) = line.split_once(" : ").unwrap();
        let shape: Vec<u64> = shape.split(' ').map(|n| n.parse().unwrap()).collect();
        let (header, after) = rest.split_at(len.parse().unwrap());
        bytes.clear();
        match write_array_f64(&mut bytes, &shape, &[]) {
            Ok(()) => {
                assert_eq!(bytes, header, "{shape:?}");
                assert_eq!(Header::parse(header).unwrap().shape(), shape);
            }
            // A size that overflows 64 bits before the factor 0 is refused by reader and writer alike.
            Err(cause) => {
                assert!(matches!(cause.format().unwrap().kind(), ErrorKind::Size { .. }), "{shape:?}");
                assert_ne!(shape[0], 0);
                assert!(Header::parse(header).is_err());
            }
        }
        lengths.insert(header.len());
        rest = after;
    }
    assert!(rest.is_empty());
    assert!(lengths.len() > 1, "the headers cross a multiple of 64");
}

#[test]
fn writers_refuse_what_they_cannot_write() {
    let mut sink = Vec::new();
    for (shape, len) in [(&[2u64, 3][..], 5), (&[], 0), (&[1; 9], 1), (&[1 << 32, 1 << 32], 0)] {
        let error = write_array_f32(&mut sink, shape, &vec![0.0; len]).unwrap_err();
        assert!(!error.is_io(), "{error}");
    }
    assert!(sink.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(rows in 0usize..40, dim in 1usize..300, seed: u64) {
        // Any bits at all, by a multiplicative generator.
        let bits = |i: usize| (seed | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15u64.wrapping_mul(2 * i as u64 + 1));
        let wide: Vec<f64> = (0..rows * dim).map(|i| f64::from_bits(bits(i))).collect();
        let mut file = Vec::new();
        write_matrix_f64(&mut file, rows, dim, &wide).unwrap();
        prop_assert_eq!(file.len() % 64, rows * dim * 8 % 64);
        let (r, d, values) = read(&file[..]).unwrap();
        prop_assert_eq!((r, d), (rows as u64, dim));
        prop_assert!(values.iter().map(|v| v.to_bits()).eq(wide.iter().map(|v| v.to_bits())));
    }

    #[test]
    fn fortran_order_equals_c_order(rows in 1usize..3000, dim in 1usize..40) {
        let value = |r: usize, c: usize| (r * dim + c) as f32;
        let by_row = (0..rows).flat_map(|r| (0..dim).map(move |c| value(r, c)));
        let by_column = (0..dim).flat_map(|c| (0..rows).map(move |r| value(r, c)));
        let text = format!("{{'descr': '<f4', 'fortran_order': True, 'shape': ({rows}, {dim})}}");
        let data: Vec<u8> = by_column.flat_map(f32::to_le_bytes).collect();
        let (_, _, values) = read(&with_text(1, &text, &data)[..]).unwrap();
        prop_assert!(values.into_iter().eq(by_row.map(f64::from)));
    }

    #[test]
    fn any_change_of_a_byte_is_read_or_refused(at in 0usize..188, to: u8) {
        let mut bytes = file("f4_le_c.npy");
        bytes[at] = to;
        let _ = read(&bytes[..]);
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "[{}(),:'\"0-9LTFdescrfotan_shape <>|=]{0,80}") {
        let _ = Header::parse(&with_text(1, &text, b""));
    }
}
