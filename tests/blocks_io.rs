//! Blocks from files: .npy arrays as NumPy and ml_dtypes wrote them (tests/data/npy, by make.py there;
//! blocks_4d_master.npy is from TokenDance's own code), and those nobody should have written.
#![cfg(feature = "std")]
// Tests state expectations by panicking.

#[allow(unreachable_pub)]
#[path = "common/largest.rs"]
mod largest;

use bitwire::beacon::mu16::Step;
use bitwire::io::Cause;
use bitwire::io::npy::{NpyBlocks, write_blocks};
use bitwire::mirror::{BlockSource, Blocks, Scalar, Shape};
use bitwire::{Error, ErrorKind};
use largest::largest;
use proptest::prelude::*;
use std::io::Read;
use std::path::{Path, PathBuf};

fn path(folder: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(folder).join(name)
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(path("npy", name)).unwrap()
}

fn mu16() -> Scalar {
    Scalar::Mu16(Step::new(1 << 14).unwrap())
}

/// A file whose header has the given text.
fn with_text(text: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.extend(data);
    bytes
}

fn with_shape(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let fortran = if fortran { "True" } else { "False" };
    with_text(&format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}}}"), data)
}

fn copied(source: &impl BlockSource) -> Vec<u8> {
    let mut out = vec![0xAA; source.shape().len()];
    source.copy_into(&mut out).unwrap();
    out
}

/// Read from memory and from a stream, which have to agree.
fn read(bytes: &[u8], scalar: Option<Scalar>) -> Result<NpyBlocks<Vec<u8>>, Error> {
    let parsed = NpyBlocks::parse(bytes, scalar);
    let read = NpyBlocks::read(bytes, scalar).map_err(|cause| match cause {
        Cause::Format(error) => error,
        other => panic!("{other:?}"),
    });
    match (&parsed, &read) {
        (Ok(parsed), Ok(read)) => {
            assert_eq!(copied(parsed), copied(read));
            assert_eq!(parsed.borrowed(), read.borrowed());
            assert_eq!((parsed.shape(), parsed.dims()), (read.shape(), read.dims()));
            // What is lent is what is copied, and stands where it was.
            if let Some(blocks) = parsed.borrowed() {
                assert_eq!(blocks.as_bytes(), copied(parsed));
                assert_eq!(blocks.as_bytes().as_ptr_range().end, bytes.as_ptr_range().end);
            }
        }
        (parsed, read) => assert_eq!(parsed.as_ref().err(), read.as_ref().err()),
    }
    read
}

/// Little-endian elements of the array of make.py, n / 4 for n from -60 to 59 or n itself.
fn expected(kind: &str) -> Vec<u8> {
    let quarters = (-60..60).map(|n: i16| (f32::from(n) / 4.0).to_bits());
    match kind {
        "i2" => (-60i16..60).flat_map(i16::to_le_bytes).collect(),
        "f4" => quarters.flat_map(u32::to_le_bytes).collect(),
        // These values need 6 bits of the fraction; bfloat16 keeps the upper 7, binary16 has another exponent
        // bias (15 instead of 127) before the upper 10.
        "bf16" => quarters.flat_map(|bits| ((bits >> 16) as u16).to_le_bytes()).collect(),
        "f2" => quarters
            .flat_map(|bits| {
                let rest = (bits & 0x7FFF_FFFF) >> 13;
                let rest = rest.saturating_sub((127 - 15) << 10) as u16;
                ((bits >> 16) as u16 & 0x8000 | rest).to_le_bytes()
            })
            .collect(),
        _ => unreachable!(),
    }
}

const KINDS: [(&str, &str); 4] = [("f2", "<f2"), ("f4", "<f4"), ("bf16", "<V2"), ("i2", "<i2")];

fn scalar(kind: &str) -> Scalar {
    match kind {
        "f2" => Scalar::F16,
        "f4" => Scalar::F32,
        "bf16" => Scalar::Bf16,
        _ => mu16(),
    }
}

#[test]
fn every_type_byte_order_and_memory_order_gives_the_same_blocks() {
    assert_eq!(expected("f2")[..2], [0x80, 0xCB], "-15 in binary16");
    for (kind, _) in KINDS {
        for order in ["le", "be"] {
            for layout in ["c", "fortran"] {
                let name = format!("blocks_{kind}_{order}_{layout}.npy");
                let bytes = file(&name);
                let array = read(&bytes, Some(scalar(kind))).unwrap();
                assert_eq!(array.dims(), [3, 2, 4, 5], "{name}");
                assert_eq!(array.shape(), Shape::new(scalar(kind), 3, 40).unwrap(), "{name}");
                assert_eq!(copied(&array), expected(kind), "{name}");
                assert_eq!(array.borrowed().is_some(), order == "le" && layout == "c", "{name}");
                // f32 and f16 need not be named; the others are not guessed.
                let named = read(&bytes, None);
                if kind.starts_with('f') {
                    assert_eq!(copied(&named.unwrap()), expected(kind), "{name}");
                } else {
                    assert!(matches!(named.unwrap_err().kind(), ErrorKind::NpyType { .. }), "{name}");
                }
            }
        }
    }
    let void = read(&file("blocks_void.npy"), Some(Scalar::Bf16)).unwrap();
    assert_eq!(copied(&void), expected("bf16"));
    let array = read(&file("blocks_8d_fortran.npy"), None).unwrap();
    assert_eq!(array.dims(), [3, 1, 2, 1, 2, 2, 1, 5]);
    assert_eq!((array.shape().rows(), array.shape().dim()), (3, 40));
    assert_eq!(copied(&array), expected("f4"));
}

#[test]
fn files_and_maps_are_read_as_memory_is() {
    let name = path("npy", "blocks_4d_master.npy");
    let bytes = std::fs::read(&name).unwrap();
    let array = NpyBlocks::open(&name, None).unwrap();
    assert_eq!(array.dims(), [6, 2, 3, 4]);
    assert_eq!(array.borrowed().unwrap().as_bytes(), &bytes[128..]);
    #[cfg(feature = "mmap")]
    {
        let map = NpyBlocks::map(&name, None).unwrap();
        assert_eq!(map.borrowed(), array.borrowed());
        let missing = NpyBlocks::map(path("npy", "none.npy"), None).unwrap_err();
        assert!(missing.is_io());
    }
    // Written again it is the same file.
    let mut again = Vec::new();
    write_blocks(&mut again, array.dims(), &array.borrowed().unwrap()).unwrap();
    assert_eq!(again, bytes);

    assert!(NpyBlocks::open(path("npy", "none.npy"), None).unwrap_err().is_io());
    let error = NpyBlocks::open(path("npy", "refused_1d.npy"), None).unwrap_err();
    let message = "refused_1d.npy: the array has 1 dimension; blocks need two or more, the first counting them \
                   (at byte 60)";
    assert!(error.to_string().ends_with(message), "{error}");
}

#[test]
fn any_alignment_is_lent() {
    let bytes = file("blocks_f4_le_c.npy");
    let mut buffer = vec![0; bytes.len() + 8];
    for shift in 0..8 {
        buffer[shift..][..bytes.len()].copy_from_slice(&bytes);
        let array = NpyBlocks::parse(&buffer[shift..][..bytes.len()], None).unwrap();
        assert_eq!(array.borrowed().unwrap().as_bytes(), expected("f4"));
    }
}

#[test]
fn one_dimension_that_counts_is_the_same_in_both_orders() {
    let data: Vec<u8> = (0..24).collect();
    for shape in ["(6, 1)", "(1, 6)", "(1, 6, 1, 1)", "(6, 1, 1)"] {
        let bytes = with_shape("<f4", true, shape, &data);
        assert_eq!(read(&bytes, None).unwrap().borrowed().unwrap().as_bytes(), data, "{shape}");
    }
    let bytes = with_shape("<f4", true, "(2, 3)", &data);
    let array = read(&bytes, None).unwrap();
    assert_eq!(array.borrowed(), None);
    // By hand: columns (0, 1), (2, 3), (4, 5) of four bytes each.
    let by_hand: Vec<u8> = [0, 2, 4, 1, 3, 5].into_iter().flat_map(|i: u8| i * 4..i * 4 + 4).collect();
    assert_eq!(copied(&array), by_hand);
}

#[test]
fn no_blocks_are_blocks_and_empty_ones_are_not() {
    let array = read(&file("blocks_none.npy"), None).unwrap();
    assert_eq!((array.shape().rows(), array.shape().dim()), (0, 24));
    assert!(array.borrowed().unwrap().as_bytes().is_empty());
    for fortran in [false, true] {
        let array = read(&with_shape(">f4", fortran, "(0, 3, 5)", b""), None).unwrap();
        assert!(copied(&array).is_empty());
    }
    for name in ["blocks_empty.npy", "columns0.npy"] {
        let error = read(&file(name), None).unwrap_err();
        assert_eq!(error.to_string(), "a block has at least one element (at byte 60)", "{name}");
    }
}

#[test]
fn other_arrays_are_refused_by_name() {
    let needed = "f4 or f2 (V2 if it is said to be bf16, i2 with a step)";
    for (name, found) in [
        ("refused_object", "|O"),
        ("refused_int32", "<i4"),
        ("f8_le_c", "<f8"),
        ("blocks_i2_le_c", "<i2"),
        ("blocks_bf16_be_c", ">V2"),
    ] {
        let error = read(&file(&format!("{name}.npy")), None).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the array's type is '{found}', needed is {needed} (at byte 20)"),
            "{name}"
        );
    }
    // A type that is stated has to be there.
    for (kind, _) in KINDS {
        let bytes = file(&format!("blocks_{kind}_le_c.npy"));
        for (other, _) in KINDS {
            let result = read(&bytes, Some(scalar(other)));
            assert_eq!(result.is_ok(), kind == other, "{kind} as {other}");
            if let Err(error) = result {
                assert!(matches!(error.kind(), ErrorKind::NpyType { .. }), "{error}");
                assert_eq!(error.offset(), 20);
            }
        }
    }
    for (name, kind) in [
        ("refused_1d", ErrorKind::BlockDims { found: 1 }),
        ("refused_9d", ErrorKind::NpyDims { needed: "at most 8", found: 9 }),
    ] {
        let error = read(&file(&format!("{name}.npy")), None).unwrap_err();
        assert_eq!(error, Error::new(kind, 60));
    }
    let error = read(&with_shape("<f4", false, "()", &[0; 4]), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BlockDims { found: 0 });
}

#[test]
fn every_truncation_and_every_byte_too_many_is_found() {
    for name in ["blocks_4d_master.npy", "blocks_f2_be_fortran.npy"] {
        let mut bytes = file(name);
        let end = bytes.len() as u64;
        for len in 0..bytes.len() {
            let error = read(&bytes[..len], None).unwrap_err();
            let ErrorKind::Truncated { field, needed, available } = error.kind() else {
                panic!("{name} cut to {len}: {error}")
            };
            assert_eq!(error.offset() + available, len as u64, "{name} cut to {len}");
            assert!(needed > available);
            assert_eq!(field == "the array's data", len >= 128, "{name} cut to {len}");
            assert!(len < 128 || needed == end - 128);
        }
        bytes.extend([0; 3]);
        let error = read(&bytes, None).unwrap_err();
        assert_eq!(error, Error::new(ErrorKind::TrailingBytes { count: 3 }, end));
        let endless = bytes.chain(std::io::repeat(0));
        let Err(Cause::Format(error)) = NpyBlocks::read(endless, None) else { panic!() };
        assert_eq!(error, Error::new(ErrorKind::TrailingBytes { count: 128 << 10 }, end));
    }
}

#[test]
fn shapes_that_lie_cost_neither_memory_nor_time() {
    for (shape, fit) in [
        // More blocks, or elements of a block, than 32 bits count.
        ("(4294967296, 1)", false),
        ("(1, 4294967296)", false),
        ("(1, 65536, 65536)", false),
        // 2^60 bytes and more.
        ("(4294967295, 67108864)", true),
        ("(268435456, 1024, 1024)", true),
        ("(65536, 4, 16384)", true),
        // 64 bits overflow.
        ("(4194305, 4194305, 211106198978564)", false),
        ("(4294967295, 4294967295)", false),
        ("(1, 18446744073709551615)", false),
        ("(18446744073709551616, 1)", false),
        ("(0, 4294967296, 4294967296, 4294967296)", false),
        ("(2, 4294967296, 4294967296, 4294967296, 4294967296, 4294967296, 4294967296, 4294967296)", false),
    ] {
        for fortran in [false, true] {
            let bytes = with_shape("<f4", fortran, shape, &[0; 40]);
            let mut error = None;
            let most = largest(|| error = NpyBlocks::read(&bytes[..], None).err());
            assert!(most <= 128 << 10, "{shape}: {most} bytes");
            let Some(Cause::Format(error)) = error else { panic!("{shape}") };
            assert_eq!(read(&bytes, None).unwrap_err(), error);
            match error.kind() {
                ErrorKind::Truncated { available: 40, .. } => assert!(fit, "{shape}"),
                ErrorKind::Size { .. } | ErrorKind::TooLarge { .. } => assert!(!fit, "{shape}: {error}"),
                _ => panic!("{shape}: {error}"),
            }
        }
    }
    // A type that does not serve is refused before any data is asked for.
    struct NoMore<'a>(&'a [u8]);
    impl Read for NoMore<'_> {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            assert!(to.is_empty() || !self.0.is_empty(), "read past the header");
            self.0.read(to)
        }
    }
    let bytes = with_shape("<i4", false, "(2, 3)", b"");
    assert!(NpyBlocks::read(NoMore(&bytes), None).is_err());
}

#[test]
fn output_of_another_length_is_refused() {
    let array = read(&file("blocks_f4_be_fortran.npy"), None).unwrap();
    for len in [0, 479, 481] {
        let error = array.copy_into(&mut vec![0; len]).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Shape { .. } | ErrorKind::BufferTooSmall { .. }));
    }
}

#[test]
fn blocks_are_written_as_numpy_and_ml_dtypes_write_them() {
    for (kind, descr) in KINDS {
        let data = expected(kind);
        let blocks = Blocks::new(Shape::new(scalar(kind), 3, 40).unwrap(), &data).unwrap();
        let mut bytes = Vec::new();
        write_blocks(&mut bytes, &[3, 2, 4, 5], &blocks).unwrap();
        assert_eq!(bytes, file(&format!("blocks_{kind}_le_c.npy")), "{descr}");
        let array = read(&bytes, Some(scalar(kind))).unwrap();
        assert_eq!(array.header().descr().to_string(), descr);
    }
    let none = Blocks::new(Shape::new(Scalar::F32, 0, 24).unwrap(), b"").unwrap();
    let mut bytes = Vec::new();
    write_blocks(&mut bytes, &[0, 2, 3, 4], &none).unwrap();
    assert_eq!(bytes, file("blocks_none.npy"));
}

#[test]
fn dimensions_of_other_blocks_are_not_written() {
    let data = [0; 48];
    let blocks = Blocks::new(Shape::new(Scalar::F32, 2, 6).unwrap(), &data).unwrap();
    let mut sink = Vec::new();
    for dims in [
        &[2u64, 5][..],
        &[6, 2],
        &[12],
        &[],
        &[2, 7],
        &[2, 1, 1, 1, 1, 1, 1, 1, 6],
        &[2, u64::MAX, 3],
        &[2, 0],
    ] {
        let error = write_blocks(&mut sink, dims, &blocks).unwrap_err();
        assert!(!error.is_io(), "{error}");
    }
    assert!(sink.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn fortran_order_is_c_order_reversed(
        dims in prop_oneof![
            prop::collection::vec(1usize..40, 2..=3),
            prop::collection::vec(1usize..6, 2..=6),
            prop::collection::vec(1usize..4, 8..=8),
        ],
        wide: bool,
        swap: bool,
    ) {
        // Element (i, j, ...) holds its place in C order; in Fortran order it lies at i + dims[0] * (j +
        // ...).
        let count: usize = dims.iter().product();
        let size = if wide { 4 } else { 2 };
        let (mut data, mut expected) = (vec![0; count * size], Vec::new());
        for place in 0..count {
            let (mut rest, mut at, mut stride) = (place, 0, count);
            for dim in dims.iter().rev() {
                stride /= dim;
                at += rest % dim * stride;
                rest /= dim;
            }
            let mut element = (place as u32).wrapping_mul(0x9E37_79B9).to_le_bytes()[..size].to_vec();
            expected.extend_from_slice(&element);
            if swap {
                element.reverse();
            }
            data[at * size..][..size].copy_from_slice(&element);
        }
        let descr = format!("{}{}", if swap { '>' } else { '<' }, if wide { "f4" } else { "f2" });
        let shape: Vec<String> = dims.iter().map(ToString::to_string).collect();
        let bytes = with_shape(&descr, true, &format!("({})", shape.join(", ")), &data);
        prop_assert_eq!(copied(&read(&bytes, None).unwrap()), expected);
    }

    #[test]
    fn any_change_of_a_byte_is_read_or_refused(at in 0usize..368, to: u8) {
        let mut bytes = file("blocks_f2_le_c.npy");
        bytes[at] = to;
        for scalar in [None, Some(Scalar::F16), Some(Scalar::Bf16), Some(mu16())] {
            let _ = read(&bytes, scalar);
        }
    }
}

/// safetensors files as PyTorch and the safetensors package wrote them (tests/data/safetensors, see make.py
/// there).
#[cfg(feature = "safetensors")]
mod tensors {
    use super::*;
    use bitwire::io::safetensors::{MAX_HEADER, TensorFile};

    fn file(name: &str) -> Vec<u8> {
        std::fs::read(path("safetensors", name)).unwrap()
    }

    fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn entry(name: &str, dtype: &str, shape: &str, start: u64, end: u64) -> String {
        format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}"#)
    }

    /// The refusal, the same of memory as of a stream.
    fn refusal(bytes: &[u8]) -> Error {
        let error = TensorFile::parse(bytes).map(|file| file.len()).unwrap_err();
        match TensorFile::read(bytes) {
            Err(Cause::Format(again)) => assert_eq!(again, error),
            other => panic!("{other:?}"),
        }
        error
    }

    #[test]
    fn types_shapes_and_texts_are_those_that_were_saved() {
        let bytes = file("types.safetensors");
        let tensors = TensorFile::parse(&bytes[..]).unwrap();
        let listed: Vec<_> = tensors
            .tensors()
            .map(|tensor| (tensor.name(), tensor.dtype().to_string(), tensor.dims(), tensor.as_bytes().len()))
            .collect();
        let key = "\u{43a}\u{43b}\u{44e}\u{447}";
        let odd_name = format!("{key}/\0\"\\");
        let expected: [(&str, &str, &[u64], usize); 13] = [
            ("f64", "F64", &[2, 3], 48),
            ("empty blocks", "F32", &[3, 0], 0),
            ("f32", "F32", &[3, 2, 4, 5], 480),
            ("no blocks", "F32", &[0, 2, 3], 0),
            ("scalar", "F32", &[], 4),
            ("vector", "F32", &[4], 16),
            ("bf16", "BF16", &[3, 2, 4, 5], 240),
            ("f16", "F16", &[3, 2, 4, 5], 240),
            (&odd_name, "F16", &[1, 1], 2),
            ("i16", "I16", &[3, 2, 4, 5], 240),
            ("f8", "F8_E4M3", &[2, 2], 4),
            ("u8", "U8", &[3], 3),
            ("bool", "BOOL", &[1, 2], 2),
        ];
        assert!(listed.iter().map(|(n, t, d, l)| (*n, t.as_str(), *d, *l)).eq(expected));
        assert!(tensors.names().eq(expected.map(|(name, ..)| name)));
        assert_eq!((tensors.len(), tensors.is_empty()), (13, false));
        assert!(tensors.metadata().iter().map(|(k, v)| (&k[..], &v[..])).eq([("note", key)]));
        assert_eq!(tensors.tensor("u8").unwrap().as_bytes(), [0, 1, 2]);
        assert_eq!(tensors.tensor(&odd_name).unwrap().as_bytes(), [0, 0x3C]);

        for (name, kind) in [("f32", "f4"), ("f16", "f2"), ("bf16", "bf16"), ("i16", "i2")] {
            let tensor = tensors.tensor(name).unwrap();
            let blocks = tensor.blocks(Some(scalar(kind))).unwrap();
            assert_eq!(blocks.as_bytes(), super::expected(kind), "{name}");
            assert_eq!(*blocks.shape(), Shape::new(scalar(kind), 3, 40).unwrap());
            assert!(bytes.as_ptr_range().contains(&blocks.as_bytes().as_ptr()), "not copied");
            if name == "i16" {
                let error = tensor.blocks(None).unwrap_err();
                let message = "the tensor's type is I16, needed is F32, F16 or BF16 (I16 with a step)";
                assert_eq!(error.to_string(), message);
            } else {
                assert_eq!(tensor.blocks(None), Ok(blocks));
            }
            for (other, _) in KINDS {
                assert_eq!(tensor.blocks(Some(scalar(other))).is_ok(), other == kind, "{name} as {other}");
            }
        }
        let none = TensorFile::parse(file("none.safetensors")).unwrap();
        assert!(none.is_empty() && none.metadata().is_empty() && none.tensors().next().is_none());
    }

    #[test]
    fn tensors_that_are_no_blocks_say_why() {
        let tensors = TensorFile::open(path("safetensors", "types.safetensors")).unwrap();
        for (name, message) in [
            ("f64", "the tensor's type is F64, needed is F32, F16 or BF16 (I16 with a step)"),
            ("f8", "the tensor's type is F8_E4M3, needed is F32, F16 or BF16 (I16 with a step)"),
            ("bool", "the tensor's type is BOOL, needed is F32, F16 or BF16 (I16 with a step)"),
            ("scalar", "the array has 0 dimensions; blocks need two or more, the first counting them"),
            ("vector", "the array has 1 dimension; blocks need two or more, the first counting them"),
            ("empty blocks", "a block has at least one element"),
        ] {
            let error = tensors.tensor(name).unwrap().blocks(None).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.place()), (message, None), "{name}");
        }
        assert_eq!(tensors.tensor("no blocks").unwrap().blocks(None).unwrap().shape().rows(), 0);
        for name in ["", "f3", "f322", "__metadata__", "F32"] {
            let error = tensors.tensor(name).map(|tensor| tensor.dtype()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnknownTensor);
            assert_eq!(error.to_string(), "the file has no tensor of that name");
        }
    }

    #[test]
    fn files_of_pytorch_are_read() {
        for (name, scalar, rows) in
            [("gist_f32", Scalar::F32, 1), ("gist_f16", Scalar::F16, 1), ("gist_bf16", Scalar::Bf16, 1)]
        {
            let name = path("safetensors", name);
            let tensors = TensorFile::open(name.with_extension("safetensors")).unwrap();
            let blocks = tensors.tensor("layer_0_key").unwrap().blocks(None).unwrap();
            assert_eq!((blocks.shape().scalar(), blocks.shape().rows()), (scalar, rows));
            // The header of a small array takes 128 bytes.
            assert_eq!(blocks.as_bytes(), &std::fs::read(name.with_extension("npy")).unwrap()[128..]);
            #[cfg(feature = "mmap")]
            {
                let map = TensorFile::map(name.with_extension("safetensors")).unwrap();
                assert_eq!(map.tensor("layer_0_key").unwrap().blocks(None), Ok(blocks));
            }
        }
        let tensors = TensorFile::open(path("safetensors", "gist_f16.safetensors")).unwrap();
        assert_eq!(tensors.metadata()["list"], "[1, 'a']");
        assert_eq!(tensors.metadata().len(), 7);
        let missing = TensorFile::open(path("safetensors", "none of that name")).unwrap_err();
        assert!(missing.is_io());
    }

    #[test]
    fn any_alignment_is_lent() {
        for pad in 0..8 {
            let header = format!("{{{}}}{}", entry("k", "F32", "[2,1,3]", 0, 24), " ".repeat(pad));
            let bytes = with_header(&header, &(0..24).collect::<Vec<u8>>());
            let tensors = TensorFile::parse(&bytes[..]).unwrap();
            let blocks = tensors.tensor("k").unwrap().blocks(None).unwrap();
            assert_eq!(blocks.as_bytes().as_ptr(), &raw const bytes[8 + header.len()]);
            assert!(blocks.as_bytes().iter().copied().eq(0..24));
        }
    }

    #[test]
    fn every_truncation_and_every_byte_too_many_is_found() {
        let mut bytes = file("gist_bf16.safetensors");
        let end = bytes.len() as u64;
        for len in 0..bytes.len() {
            let error = refusal(&bytes[..len]);
            let ErrorKind::Truncated { field, needed, available } = error.kind() else {
                panic!("cut to {len}: {error}")
            };
            assert_eq!(error.offset() + available, len as u64);
            assert!(needed > available);
            let expected = match len {
                0..8 => "the length of the safetensors header",
                8..192 => "the safetensors header",
                _ => "the tensors' data",
            };
            assert_eq!(field, expected, "cut to {len}");
        }
        bytes.extend([0; 3]);
        assert_eq!(refusal(&bytes), Error::new(ErrorKind::TrailingBytes { count: 3 }, end));
        let Err(Cause::Format(error)) = TensorFile::read(bytes.chain(std::io::repeat(0))) else { panic!() };
        assert_eq!(error, Error::new(ErrorKind::TrailingBytes { count: 128 << 10 }, end));
    }

    #[test]
    fn a_name_that_comes_twice_is_refused() {
        // Four bytes that one reader takes for a float, another for four integers.
        let one = entry("w", "U8", "[4]", 0, 4);
        for (two, reason) in [
            (entry("w", "F32", "[1]", 0, 4), "two tensors have the same name"),
            (entry("w", "F32", "[1]", 4, 8), "two tensors have the same name"),
            (entry(r"\u0077", "F32", "[1]", 0, 4), "two tensors have the same name"),
            (r#""__metadata__":{"a":"1","b":"2","a":"1"}"#.into(), "a key of __metadata__ comes twice"),
            (r#""__metadata__":{},"__metadata__":{}"#.into(), "__metadata__ comes twice"),
            (
                r#""v":{"dtype":"F32","dtype":"U8","shape":[0],"data_offsets":[4,4]}"#.into(),
                "a tensor is not an object of one known dtype, shape and data_offsets",
            ),
        ] {
            let header = format!("{{{one},{two}}}");
            for data in [4, 8] {
                let error = refusal(&with_header(&header, &vec![0; data]));
                assert_eq!(error.kind(), ErrorKind::Safetensors { reason }, "{header}");
                assert!(error.offset() > 8 + one.len() as u64 && error.offset() <= 8 + header.len() as u64);
            }
        }
    }

    #[test]
    fn data_without_an_owner_or_with_two_is_refused() {
        let hole = "the data of a tensor does not start where that before ends: a hole, or an overlap";
        let size = "a tensor has another number of bytes than its type and shape take";
        for (entries, reason) in [
            (vec![entry("a", "U8", "[4]", 4, 8)], hole),
            (vec![entry("a", "U8", "[2]", 0, 2), entry("b", "U8", "[4]", 4, 8)], hole),
            (vec![entry("a", "U8", "[8]", 0, 8), entry("b", "U8", "[8]", 0, 8)], hole),
            (vec![entry("a", "U8", "[6]", 0, 6), entry("b", "U8", "[4]", 4, 8)], hole),
            (vec![entry("a", "U8", "[8]", 8, 0)], hole),
            // An empty tensor within another.
            (vec![entry("a", "U8", "[8]", 0, 8), entry("b", "U8", "[0]", 4, 4)], hole),
            (vec![entry("a", "F32", "[1]", 0, 8)], size),
            (vec![entry("a", "F32", "[3]", 0, 8)], size),
            (vec![entry("a", "F32", "[0]", 0, 8)], size),
            (vec![entry("a", "F4", "[3]", 0, 8)], "a tensor does not end with a whole byte"),
        ] {
            let error = refusal(&with_header(&format!("{{{}}}", entries.join(",")), &[0; 8]));
            assert_eq!(error, Error::new(ErrorKind::Safetensors { reason }, 8), "{entries:?}");
        }
        // The order in the header is free, and so is the place of empty tensors at the edges.
        let entries =
            [entry("c", "U8", "[0]", 8, 8), entry("b", "U8", "[4]", 4, 8), entry("a", "F32", "[1]", 0, 4)];
        let more = [entry("d", "U8", "[0]", 0, 0), entry("e", "U8", "[0]", 4, 4)];
        let header = format!("{{{},{}}}", entries.join(","), more.join(","));
        let tensors = TensorFile::parse(with_header(&header, &[0; 8])).unwrap();
        assert!(tensors.names().eq(["d", "a", "e", "b", "c"]));
    }

    #[test]
    fn sizes_that_lie_cost_neither_memory_nor_time() {
        // 8 times 2^61 - 1 bytes: nothing overflows until the header's own length is added.
        let eight: Vec<_> = (0..8u64)
            .map(|i| {
                let len = (1 << 61) - 1;
                entry(&i.to_string(), "U8", "[2305843009213693951]", i * len, (i + 1) * len)
            })
            .collect();
        let large = 1 << 60;
        for (entries, truncated) in [
            (vec![entry("a", "U8", "[1152921504606846976]", 0, large)], true),
            (eight, true),
            (vec![entry("a", "F32", "[4194305,4194305,211106198978564]", 0, 16)], false),
            (vec![entry("a", "F32", "[4611686018427387905]", 0, 4)], false),
            (vec![entry("a", "U8", "[18446744073709551615]", 0, u64::MAX)], false),
        ] {
            let bytes = with_header(&format!("{{{}}}", entries.join(",")), &[0; 16]);
            let error = refusal(&bytes);
            match error.kind() {
                ErrorKind::Truncated { available: 16, needed, .. } => {
                    assert!(truncated && needed >= large, "{error}");
                }
                kind => assert!(!truncated && kind == ErrorKind::Size { field: "a tensor" }, "{error}"),
            }
            let most = largest(|| assert!(TensorFile::read(&bytes[..]).is_err()));
            assert!(most <= 64 << 10, "{most} bytes");
        }
        for (len, found) in [(u64::MAX, true), (MAX_HEADER + 1, true), (MAX_HEADER, false), (3, false)] {
            let mut bytes = with_header("{}", b"");
            bytes[..8].copy_from_slice(&len.to_le_bytes());
            let most = largest(|| {
                let field = "the length of the safetensors header";
                let too_large = ErrorKind::TooLarge { field, max: MAX_HEADER, found: len };
                let field = "the safetensors header";
                let truncated = ErrorKind::Truncated { field, needed: len, available: 2 };
                let expected = if found { Error::new(too_large, 0) } else { Error::new(truncated, 8) };
                assert_eq!(refusal(&bytes), expected);
            });
            assert!(most <= 64 << 10, "{most} bytes");
        }
    }

    #[test]
    fn malformed_headers_say_what_and_where() {
        const TENSOR: &str = "a tensor is not an object of one known dtype, shape and data_offsets";
        for (header, reason, offset) in [
            ("", "the header does not start with {", 8),
            (" {}", "the header does not start with {", 8),
            ("[]", "the header does not start with {", 8),
            ("{", "the header's JSON ends too early", 8),
            ("{}{}", "the header is no valid JSON", 10),
            ("{}\0", "the header is no valid JSON", 10),
            ("{\"a\":}", "the header is no valid JSON", 13),
            ("{\n\n\"a\"\n:}", "the header is no valid JSON", 16),
            ("{\"a\":1}", TENSOR, 13),
            // serde would take it for one.
            ("{\"a\":[\"U8\",[0],[0,0]]}", TENSOR, 13),
            ("{\"a\":{\"dtype\":\"F33\"}}", TENSOR, 26),
            ("{\"a\":{\"dtype\":\"U8\",\"shape\":[-1]}}", TENSOR, 38),
            ("{\"a\":{\"dtype\":\"U8\",\"shape\":[1.0]}}", TENSOR, 39),
            ("{\"a\":{\"dtype\":\"U8\",\"shape\":[18446744073709551616]}}", TENSOR, 56),
            ("{\"__metadata__\":{\"a\":1}}", "__metadata__ is not an object of strings", 30),
            ("{\"__metadata__\":[]}", "__metadata__ is not an object of strings", 24),
        ] {
            let error = refusal(&with_header(header, b""));
            assert_eq!(error.kind(), ErrorKind::Safetensors { reason }, "{header}");
            // serde_json says where it noticed; that is the place itself or the byte beside it.
            assert!(error.offset().abs_diff(offset) <= 1, "{header}: {error}, not {offset}");
        }
        assert!(TensorFile::parse(with_header("{\"__metadata__\":null}", b"")).unwrap().is_empty());
        // Not UTF-8, in a name and elsewhere.
        for header in [&b"{\"\xFF\":1}"[..], b"{\xFF}"] {
            let bytes = [&(header.len() as u64).to_le_bytes()[..], header].concat();
            assert!(matches!(refusal(&bytes).kind(), ErrorKind::Safetensors { .. }));
        }
        // Nor in a text that is skipped.
        let header = b"{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0],\"x\":\"y\xA4\"}}";
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header].concat();
        let reason = "the header is not UTF-8";
        let at = 8 + header.iter().position(|byte| *byte == 0xA4).unwrap() as u64;
        assert_eq!(refusal(&bytes), Error::new(ErrorKind::Safetensors { reason }, at));
        // A hundred thousand brackets, in a member nobody knows and where a tensor should be.
        let deep = "[".repeat(100_000);
        for header in [
            format!("{{\"a\":{{\"x\":{deep}"),
            format!("{{\"a\":{deep}"),
            format!("{{\"__metadata__\":{deep}"),
        ] {
            assert!(matches!(refusal(&with_header(&header, b"")).kind(), ErrorKind::Safetensors { .. }));
        }
    }

    #[test]
    fn bytes_that_shrink_after_they_were_parsed_are_noticed() {
        use std::cell::Cell;
        use std::rc::Rc;
        struct Shrinks(Vec<u8>, Rc<Cell<usize>>);
        impl AsRef<[u8]> for Shrinks {
            fn as_ref(&self) -> &[u8] {
                &self.0[..self.1.get().min(self.0.len())]
            }
        }
        let len = Rc::new(Cell::new(usize::MAX));
        let shrinks = |bytes| Shrinks(bytes, Rc::clone(&len));
        let tensors = TensorFile::parse(shrinks(file("gist_f32.safetensors"))).unwrap();
        let array = NpyBlocks::parse(shrinks(super::file("blocks_f4_le_c.npy")), None).unwrap();
        let mut out = vec![0; array.shape().len()];
        assert!(array.borrowed().is_some() && array.copy_into(&mut out).is_ok());
        assert!(tensors.tensor("layer_0_key").unwrap().blocks(None).is_ok());
        for cut in [0, 100, 500] {
            len.set(cut);
            assert!(array.borrowed().is_none() && array.copy_into(&mut out).is_err());
            assert!(tensors.tensor("layer_0_key").unwrap().blocks(None).is_err());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_change_of_a_byte_is_read_or_refused(at in 0usize..256, to: u8) {
            let mut bytes = file("gist_bf16.safetensors");
            bytes[at] = to;
            if let Ok(tensors) = TensorFile::parse(&bytes[..]) {
                for tensor in tensors.tensors() {
                    let _ = tensor.blocks(None);
                }
            }
        }
    }
}
