//! The library's readers and writers over files that do little at a time, are interrupted, fill up or fail at any byte.

use std::fs;
use std::io::{self, Cursor, ErrorKind, Read, Seek, SeekFrom, Write};

use bitwire::io::key::KeyBytes;
use bitwire::io::npy::{MatrixReader, NpyBlocks, write_array_f32, write_blocks, write_matrix_f64};
use bitwire::io::npz::{read_scl, write_scl};
use bitwire::io::safetensors::{NewTensor, TensorFile, write_tensors};
use bitwire::io::tokens::TokenReader;
use bitwire::io::{Cause, gist::Sidecar};
use bitwire::mirror::{BlockSource, Blocks, Scalar, Shape};

use crate::support::*;

/// Takes, or gives, a few bytes at a time, and every other call is interrupted; from byte `end` on it fails.
struct Poor<T> {
    inner: T,
    done: u64,
    calls: u64,
    end: u64,
    error: ErrorKind,
}

impl<T> Poor<T> {
    fn new(inner: T, end: u64, error: ErrorKind) -> Self {
        Self { inner, done: 0, calls: 0, end, error }
    }

    /// How many of `wanted` bytes go through.
    fn step(&mut self, wanted: usize) -> io::Result<usize> {
        self.calls += 1;
        if self.calls % 2 == 1 {
            return Err(ErrorKind::Interrupted.into());
        }
        let left = self.end - self.done;
        if left == 0 && wanted > 0 {
            return Err(self.error.into());
        }
        let most = 1 + self.calls / 2 % 7;
        Ok(wanted.min(left.min(most) as usize))
    }
}

impl<T: Read> Read for Poor<T> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let step = self.step(to.len())?;
        let read = self.inner.read(&mut to[..step])?;
        self.done += read as u64;
        Ok(read)
    }
}

impl<T: Write> Write for Poor<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let step = self.step(bytes.len())?;
        let written = self.inner.write(&bytes[..step])?;
        self.done += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Seek> Seek for Poor<T> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

#[track_caller]
fn is_io(cause: &Cause, kind: ErrorKind, what: &str) {
    match cause {
        Cause::Io(error) => assert_eq!(error.kind(), kind, "{what}"),
        other => panic!("{what}: {other}"),
    }
}

type Writer = Box<dyn Fn(&mut dyn Write) -> Result<(), Cause>>;

#[test]
fn writers_finish_or_say_what_the_system_said() {
    let scl = bitwire::beacon::Scl { mu: vec![1.0; 3], sigma: vec![0.5; 9], w: 7.0, t0: 0.0, t1: 1.0 };
    let tensor: Vec<u8> = (0..64).collect();
    let sample = {
        use bitwire::gist::niah::{Generator, Haystack, Language, Plan};
        let plan = Plan::grid(vec![0.5], vec![99], 1).unwrap();
        let text = Haystack::built_in(Language::English);
        Generator::new(&text, plan, Language::English, 7).next().unwrap().unwrap()
    };
    let (other, another) = (sample.clone(), sample.clone());
    let writers: Vec<(&str, Writer)> = vec![
        ("array", Box::new(|to| write_array_f32(to, &[2, 3, 4], &[1.5; 24]))),
        ("matrix", Box::new(|to| write_matrix_f64(to, 4, 3, &[1.5; 12]))),
        (
            "blocks",
            Box::new(|to| {
                let shape = Shape::from_dims(Scalar::F32, &[2, 4])?;
                write_blocks(to, &[2, 4], &Blocks::new(shape, &[7; 32])?)
            }),
        ),
        ("npz", Box::new(move |to| write_scl(to, &scl))),
        (
            "safetensors",
            Box::new(move |to| {
                let new = NewTensor {
                    name: "x".into(),
                    scalar: Scalar::F32,
                    dims: vec![4, 4].into(),
                    bytes: &tensor,
                };
                write_tensors(to, &[("a", "b")], &[new])
            }),
        ),
        ("sample", Box::new(move |to| Ok(sample.write(to)?))),
        ("answer", Box::new(move |to| Ok(other.write_answer("it is", to)?))),
        ("training", Box::new(move |to| Ok(another.write_training(3, to)?))),
    ];
    for (what, write) in &writers {
        let mut whole = Vec::new();
        write(&mut whole).unwrap();
        let mut poor = Poor::new(Vec::new(), u64::MAX, ErrorKind::Other);
        write(&mut poor).unwrap();
        assert_eq!(poor.inner, whole, "{what}");
        for end in 0..whole.len() as u64 {
            let mut poor = Poor::new(Vec::new(), end, ErrorKind::StorageFull);
            is_io(&write(&mut poor).unwrap_err(), ErrorKind::StorageFull, what);
            assert_eq!(poor.inner, whole[..end as usize], "{what}");
        }
    }
}

/// What was read, in a form to be compared.
type Reader = Box<dyn Fn(&mut Poor<Cursor<&[u8]>>) -> Result<Vec<u8>, Cause>>;

#[test]
fn readers_finish_or_say_what_the_system_said() {
    let mut zip = Vec::new();
    let scl = bitwire::beacon::Scl { mu: vec![1.0; 3], sigma: vec![0.5; 9], w: 7.0, t0: 0.0, t1: 1.0 };
    write_scl(&mut zip, &scl).unwrap();
    let mut tensors = Vec::new();
    let new = NewTensor { name: "x".into(), scalar: Scalar::F32, dims: vec![2, 2].into(), bytes: &[9; 16] };
    write_tensors(&mut tensors, &[("a", "b")], &[new]).unwrap();
    let data = [env!("CARGO_MANIFEST_DIR"), "tests/data/gist/f32.json"];
    let sidecar = fs::read(data.iter().collect::<std::path::PathBuf>()).unwrap();
    let matrix = npy("<f8", false, &[5, 3], &f64s((0..15).map(f64::from)));
    let blocks = npy("<f4", false, &[3, 2, 2], &[5; 48]);
    let tokens = npy("<u4", false, &[9], &[3; 36]);
    let readers: Vec<(&str, Vec<u8>, Reader)> = vec![
        (
            "key",
            KEY_HEX.into(),
            Box::new(|from| KeyBytes::read(from).map(|key| format!("{key:?}").into_bytes())),
        ),
        ("npz", zip, Box::new(|from| Ok(format!("{:?}", read_scl(from)?).into_bytes()))),
        (
            "safetensors",
            tensors,
            Box::new(|from| Ok(TensorFile::read(from)?.tensor("x")?.blocks(None)?.as_bytes().to_vec())),
        ),
        ("sidecar", sidecar, Box::new(|from| Ok(Sidecar::read(from)?.as_str().as_bytes().to_vec()))),
        (
            "matrix",
            matrix,
            Box::new(|from| {
                let mut matrix = MatrixReader::new(from)?;
                let mut all = Vec::new();
                while let Some(row) = matrix.next_row()? {
                    all.extend(format!("{row:?}").bytes());
                }
                Ok(all)
            }),
        ),
        (
            "blocks",
            blocks,
            Box::new(|from| {
                let blocks = NpyBlocks::read(from, None)?;
                let mut all = vec![0; 48];
                blocks.copy_into(&mut all)?;
                Ok(all)
            }),
        ),
        (
            "tokens",
            tokens,
            Box::new(|from| {
                let mut tokens = TokenReader::detect(from)?;
                let mut all = Vec::new();
                while let Some(block) = tokens.next_block()? {
                    all.extend(block.iter().flat_map(|token| token.to_le_bytes()));
                }
                Ok(all)
            }),
        ),
        (
            "tokens as text",
            b"12 345 6 7\n".repeat(20),
            Box::new(|from| {
                let mut tokens = TokenReader::detect(from)?;
                let mut all = Vec::new();
                while let Some(block) = tokens.next_block()? {
                    all.extend(block.iter().flat_map(|token| token.to_le_bytes()));
                }
                Ok(all)
            }),
        ),
    ];
    for (what, bytes, read) in &readers {
        // More at a time, and never interrupted, gives the same.
        let mut poor = Poor::new(Cursor::new(&bytes[..]), u64::MAX, ErrorKind::Other);
        let whole = read(&mut poor).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(!whole.is_empty());
        let needed = poor.done;
        // An archive is read from its end, and parts of it twice.
        for end in 0..needed {
            let mut poor = Poor::new(Cursor::new(&bytes[..]), end, ErrorKind::PermissionDenied);
            let error = read(&mut poor).expect_err(&format!("{what}, {end} of {needed}"));
            is_io(&error, ErrorKind::PermissionDenied, &format!("{what}, {end}: {error}"));
        }
    }
}
