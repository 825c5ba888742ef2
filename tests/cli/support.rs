//! A folder to work in, the binary run there, and matrices to run it on.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const BITWIRE: &str = env!("CARGO_BIN_EXE_bitwire");
pub(crate) const KEY_VARIABLE: &str = "BITWIRE_HMAC_KEY_HEX";
pub(crate) const KEY_HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
pub(crate) const OTHER_KEY_HEX: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A folder of its own for each test, in which the binary runs, so that messages name files as the test does.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn put(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Every name in the folder, hidden ones too: a temporary file would show here.
    pub(crate) fn names(&self) -> Vec<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.unwrap().file_name().to_str().map_or("(not UTF-8)".to_owned(), str::to_owned)
        };
        let mut names: Vec<_> = fs::read_dir(self.0.path()).unwrap().map(name).collect();
        names.sort();
        names
    }

    /// `program` in this folder, without a key in its environment and with nothing on standard input.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.0.path()).env_remove(KEY_VARIABLE).stdin(Stdio::null());
        command
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        Run::of(self.command(BITWIRE).args(args).output().unwrap())
    }

    /// Words apart by spaces: for arguments that have none.
    pub(crate) fn bitwire(&self, line: &str) -> Run {
        self.run(line.split(' '))
    }

    pub(crate) fn with_key_variable(&self, hex: &str, line: &str) -> Run {
        Run::of(self.command(BITWIRE).args(line.split(' ')).env(KEY_VARIABLE, hex).output().unwrap())
    }

    pub(crate) fn with_stdin(&self, bytes: &[u8], line: &str) -> Run {
        let mut command = self.command(BITWIRE);
        command.args(line.split(' ')).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let bytes = bytes.to_vec();
        // On a thread, since the child may fill its own pipes first; it may also end before it has read all.
        let feed = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
        let output = child.wait_with_output().unwrap();
        feed.join().unwrap();
        Run::of(output)
    }

    /// A script with the binary as `$0`.
    pub(crate) fn sh(&self, script: &str) -> Run {
        Run::of(self.command("sh").args(["-c", script, BITWIRE]).output().unwrap())
    }
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Run {
    pub(crate) fn of(output: Output) -> Self {
        let err = String::from_utf8(output.stderr).expect("messages are UTF-8");
        assert!(!err.contains("panicked"), "{err}");
        Self { status: output.status.code(), out: output.stdout, err }
    }

    /// For what was not run.
    pub(crate) fn nothing() -> Self {
        Self { status: Some(0), out: Vec::new(), err: String::new() }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    /// Done, or valid, and no word on standard error.
    #[track_caller]
    pub(crate) fn good(self) -> Self {
        assert_eq!((self.status, self.err.as_str()), (Some(0), ""), "{}", String::from_utf8_lossy(&self.out));
        self
    }

    /// Status 1, and `found` as the whole of standard error.
    #[track_caller]
    pub(crate) fn invalid(self, found: &str) -> Self {
        assert_eq!((self.status, self.err.as_str()), (Some(1), found), "{self:?}");
        self
    }

    /// Status 2, nothing on standard output, and `message` as the whole of standard error.
    #[track_caller]
    pub(crate) fn refused(self, message: &str) -> Self {
        assert_eq!(self.err, format!("bitwire: {message}\n"));
        assert_eq!((self.status, self.out.as_slice()), (Some(2), &b""[..]));
        self
    }

    /// Status 2, nothing on standard output, and `part` on the first line of standard error.
    #[track_caller]
    pub(crate) fn usage(self, part: &str) -> Self {
        let first = self.err.lines().next().unwrap_or_default();
        assert!(first.contains(part), "{first:?} lacks {part:?}");
        assert_eq!((self.status, self.out.as_slice()), (Some(2), &b""[..]));
        self
    }

    /// The one JSON object on standard output, which names its schema first.
    #[track_caller]
    pub(crate) fn json(&self, verb: &str) -> Value {
        let start = format!("{{\"schema\":\"bitwire/{verb}/1\",");
        assert!(self.text().starts_with(&start), "{self:?}");
        assert!(self.text().ends_with("}\n") && self.text().lines().count() == 1);
        serde_json::from_slice(&self.out).unwrap()
    }
}

/// One of the real embeddings.
pub(crate) fn embeddings(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/embeddings", name].iter().collect()
}

/// One of the .npy files that NumPy wrote: see tests/data/npy/make.py.
pub(crate) fn numpy_file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/npy", name].iter().collect()
}

/// A folder with window.npy and baseline.npy, which have 384 columns.
pub(crate) fn with_embeddings() -> Folder {
    let folder = Folder::new();
    for name in ["window.npy", "baseline.npy"] {
        fs::copy(embeddings(name), folder.path(name)).unwrap();
    }
    folder
}

/// A folder with small.npy (5 rows, 3 columns) and other.npy (one row), both of f64.
pub(crate) fn with_small() -> Folder {
    let folder = Folder::new();
    folder.put("small.npy", npy("<f8", false, &[5, 3], &f64s((0..15).map(|i| f64::from(i * i % 7) / 4.0))));
    folder.put("other.npy", npy("<f8", false, &[1, 3], &f64s([0.5, -1.0, 0.25])));
    folder
}

/// A .npy file, by NumPy's description of the format.
pub(crate) fn npy(descr: &str, fortran: bool, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let fortran = if fortran { "True" } else { "False" };
    let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': ({shape}), }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

pub(crate) fn f64s(values: impl IntoIterator<Item = f64>) -> Vec<u8> {
    values.into_iter().flat_map(f64::to_le_bytes).collect()
}

/// The rows of one of the real embeddings, which are little-endian f32 in C order.
pub(crate) fn rows(name: &str) -> Vec<Vec<f64>> {
    let file = fs::read(embeddings(name)).unwrap();
    assert!(file[..128].windows(25).any(|part| part == b"'<f4', 'fortran_order': F"), "{name}");
    let values: Vec<f64> =
        file[128..].as_chunks::<4>().0.iter().map(|&x| f32::from_le_bytes(x).into()).collect();
    values.chunks(384).map(<[f64]>::to_vec).collect()
}

/// What NumPy says of them.
pub(crate) fn numpy_says(name: &str) -> Value {
    serde_json::from_slice(&fs::read(embeddings(name)).unwrap()).unwrap()
}

#[track_caller]
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

#[track_caller]
pub(crate) fn close(ours: impl Into<Value>, theirs: f64, relative: f64) {
    let ours = ours.into().as_f64().unwrap();
    assert!((ours - theirs).abs() <= relative * theirs.abs(), "{ours:e}, expected {theirs:e}");
}
