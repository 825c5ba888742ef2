//! SCL archives: those NumPy wrote (tests/data/npz, by make.py there), and those nobody should have written.
#![cfg(feature = "npz")]
// Tests state expectations by panicking.

use bitwire::beacon::Scl;
use bitwire::io::Cause;
use bitwire::io::npz::{read_scl, write_scl};
use bitwire::io::output::write_whole;
use proptest::prelude::*;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::Path;

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/npz");
    std::fs::read(folder.join(format!("{name}.npz"))).unwrap()
}

fn read(bytes: &[u8]) -> Result<Scl, Cause> {
    read_scl(Cursor::new(bytes))
}

/// The statistics of make.py.
fn good() -> Scl {
    Scl {
        mu: vec![1.0, -2.5, 0.25],
        sigma: vec![4.0, 0.5, -0.25, 0.5, 1.0, 0.125, -0.25, 0.125, 2.0],
        w: 10.0,
        t0: -1.5,
        t1: 2.0,
    }
}

#[test]
fn what_numpy_writes_is_read() {
    for name in ["stored", "deflated", "f2_big_endian", "f4", "extra"] {
        assert_eq!(read(&file(name)).unwrap(), good(), "{name}");
    }
    assert_eq!(read(&file("integers")).unwrap(), Scl { t0: -1.0, ..good() });
    let mut skew = good();
    skew.sigma[1] += 1e-7;
    for name in ["c_order", "fortran"] {
        assert_eq!(read(&file(name)).unwrap(), skew, "{name}");
    }
}

#[test]
fn what_is_no_scl_is_refused_by_name() {
    for (name, message) in [
        ("no_mu", ".npz: the array mu is missing"),
        ("no_sigma", ".npz: the array Sigma is missing"),
        ("no_w", ".npz: the array W is missing"),
        ("no_t0", ".npz: the array t0 is missing"),
        ("no_t1", ".npz: the array t1 is missing"),
        ("path", ".npz: the array mu is missing"),
        ("empty", ".npz: the array mu is missing"),
        ("twice", ".npz: the archive has two members of the same name"),
        ("bzip2", "mu: .npz: the array is compressed by another method than deflate"),
        ("mu_2d", "mu: the array has 2 dimensions, needed is a vector (dim,) (at byte 60)"),
        ("mu_empty", "mu: mu has to have at least one value"),
        ("mu_nan", "every value of mu has to be finite"),
        ("mu_object", "mu: the array's type is '|O', needed is f2, f4 or f8 (at byte 20)"),
        ("mu_int", "mu: the array's type is '<i8', needed is f2, f4 or f8 (at byte 20)"),
        ("sigma_1d", "Sigma: the array has 1 dimension, needed is a matrix (dim, dim) (at byte 60)"),
        ("sigma_wide", "Sigma: the number of columns is 4, needed is 3 (at byte 60)"),
        ("sigma_other_dim", "Sigma: the number of rows is 4, needed is 3 (at byte 60)"),
        (
            "sigma_skew",
            "the covariance matrix is not symmetric: the values at row 0, column 1 and at row 1, column 0 differ",
        ),
        ("sigma_inf", "the value at row 1, column 1 is not finite"),
        ("w_two", "W: the number of values is 2, needed is 1 (at byte 60)"),
        ("w_negative", "W has to be finite and not negative"),
        ("w_text", "W: the array's type is '<U2', needed is a float or an integer (at byte 20)"),
        ("w_beyond_f64", "W: .npy: the integer is too large for f64 to hold it exactly (at byte 128)"),
        ("t_backwards", "t1 has to be finite and not before t0"),
        ("trailing", "mu: 1 bytes follow where the input should end (at byte 152)"),
        ("short", "mu: truncated: the array's data needs 24 bytes, 23 are there (at byte 128)"),
        ("bomb_after", "mu: 131072 bytes follow where the input should end (at byte 152)"),
        (
            "zeros",
            "Sigma: .npz: Sigma takes over 8 MiB and 384 times the archive: numpy.savez, which does not compress, would do",
        ),
        ("bomb_claimed", "mu: the length of mu is 1099511627776, the largest possible is 16384"),
    ] {
        let cause = read(&file(&format!("bad_{name}"))).unwrap_err();
        assert_eq!(cause.to_string(), message, "{name}");
        assert!(!cause.is_io());
    }
    for bytes in [&b""[..], b"x", b"\x93NUMPY", &[0; 100_000], b"PK\x05\x06"] {
        let cause = read(bytes).unwrap_err();
        assert_eq!(cause.to_string(), ".npz: not a zip archive, or a damaged one");
    }
}

/// Where the given bytes stand in the file, the n-th time.
fn find(bytes: &[u8], what: &[u8], n: usize) -> usize {
    bytes.windows(what.len()).enumerate().filter(|(_, w)| *w == what).nth(n).unwrap().0
}

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";

#[test]
fn damaged_data_is_found_by_its_crc() {
    for (name, at) in [("stored", -1i64), ("deflated", -1), ("stored", -20)] {
        let mut bytes = file(name);
        // The last bytes of Sigma's data, which end where the header of W starts.
        let end = find(&bytes, LOCAL, 2) as i64;
        bytes[(end + at) as usize] ^= 1;
        let cause = read(&bytes).unwrap_err();
        assert!(matches!(cause, Cause::Member { name: "Sigma", .. }), "{cause}");
        assert!(!cause.is_io());
    }
    // The CRC itself, in both headers.
    let mut bytes = file("extra");
    let local = find(&bytes, LOCAL, 5);
    let central = find(&bytes, CENTRAL, 5);
    bytes[local + 14] ^= 1;
    bytes[central + 16] ^= 1;
    assert_eq!(
        read(&bytes).unwrap_err().to_string(),
        "mu: .npz: the data is damaged: it does not inflate, or not to its size and CRC-32"
    );
}

#[test]
fn encrypted_members_are_refused() {
    let mut bytes = file("extra");
    let (local, central) = (find(&bytes, LOCAL, 5), find(&bytes, CENTRAL, 5));
    bytes[local + 6] |= 1;
    bytes[central + 8] |= 1;
    assert_eq!(read(&bytes).unwrap_err().to_string(), "mu: .npz: the array is encrypted");
}

#[test]
fn two_archives_in_one_are_refused() {
    // The member's own header names it otherwise than the directory does.
    let mut bytes = file("stored");
    let name = find(&bytes, b"mu.npy", 0);
    bytes[name] = b'n';
    assert!(matches!(read(&bytes).unwrap_err(), Cause::Member { name: "mu", .. }));
}

#[test]
fn a_directory_that_lies_costs_nothing() {
    // A zip64 directory of 2^40 members, in a file of a few bytes and in a sparse one of terabytes.
    let mut tail = b"PK\x06\x06".to_vec();
    tail.extend(44u64.to_le_bytes());
    tail.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    tail.extend((1u64 << 40).to_le_bytes());
    tail.extend((1u64 << 40).to_le_bytes());
    tail.extend((46u64 << 40).to_le_bytes());
    tail.extend((1u64 << 41).to_le_bytes());
    let end64 = |at: u64| {
        let mut tail = tail.clone();
        tail.extend(b"PK\x06\x07\0\0\0\0");
        tail.extend(at.to_le_bytes());
        tail.extend(1u32.to_le_bytes());
        tail.extend(END);
        tail.extend([0, 0, 0, 0]);
        tail.extend([0xff; 12]);
        tail.extend([0, 0]);
        tail
    };
    let message = ".npz: the archive has a zip64 directory, which SCL does not need";
    assert_eq!(read(&end64(0)).unwrap_err().to_string(), message);
    let zeros = 1u64 << 50;
    let sparse = Sparse { zeros, tail: end64(zeros), at: 0, read: 0 };
    assert_eq!(read_scl(sparse).unwrap_err().to_string(), message);

    // 65,535 members claimed, all of them the same first one.
    let mut bytes = file("stored");
    let end = find(&bytes, END, 0);
    bytes[end + 8..end + 12].copy_from_slice(&[0xff; 4]);
    assert!(!read(&bytes).unwrap_err().is_io());

    // A directory of 64 MiB is not read to its end.
    let entry = |i: u32| {
        let mut entry = b"PK\x01\x02\x14\0\x14\0".to_vec();
        entry.extend([0; 20]);
        entry.extend([4, 0, 0xf8, 0x03]);
        entry.extend([0; 14]);
        entry.extend(i.to_le_bytes());
        entry.extend([0x11, 0x22, 0xf4, 0x03]);
        entry.extend([0; 0x3f4]);
        entry
    };
    let mut bytes = vec![0; 1 << 20];
    let start = bytes.len() as u32;
    (0..65_000).for_each(|i| bytes.extend(entry(i)));
    let size = bytes.len() as u32 - start;
    bytes.extend(END);
    bytes.extend([0, 0, 0, 0]);
    bytes.extend([65_000u16.to_le_bytes(), 65_000u16.to_le_bytes()].concat());
    bytes.extend(size.to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0, 0]);
    let mut counted = Sparse { zeros: 0, tail: bytes, at: 0, read: 0 };
    let cause = read_scl(&mut counted).unwrap_err();
    assert_eq!(cause.to_string(), ".npz: the archive's directory is damaged or over 4 MiB");
    assert!(counted.read < 6 << 20, "{}", counted.read);
}

/// Zeros, then bytes; counts what is read.
struct Sparse {
    zeros: u64,
    tail: Vec<u8>,
    at: u64,
    read: u64,
}

impl Read for Sparse {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let n = match self.zeros.checked_sub(self.at) {
            Some(left @ 1..) => {
                let n = to.len().min(usize::try_from(left).unwrap());
                to[..n].fill(0);
                n
            }
            _ => {
                let from = usize::try_from(self.at - self.zeros).unwrap().min(self.tail.len());
                (&self.tail[from..]).read(to)?
            }
        };
        self.at += n as u64;
        self.read += n as u64;
        Ok(n)
    }
}

impl Seek for Sparse {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let len = self.zeros + self.tail.len() as u64;
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[test]
fn every_truncation_is_refused() {
    for name in ["stored", "deflated"] {
        let bytes = file(name);
        for len in 0..bytes.len() {
            let cause = read(&bytes[..len]).unwrap_err();
            assert!(!cause.is_io(), "{name} cut to {len}: {cause}");
        }
    }
}

#[test]
fn errors_of_the_reader_stay_its_own() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::from_raw_os_error(5))
        }
    }
    impl Seek for Broken {
        fn seek(&mut self, _: SeekFrom) -> std::io::Result<u64> {
            Ok(100)
        }
    }
    assert!(read_scl(Broken).unwrap_err().is_io());
}

#[test]
fn what_is_written_is_read_and_always_the_same() {
    let mut bytes = Vec::new();
    write_scl(&mut bytes, &good()).unwrap();
    assert_eq!(read(&bytes).unwrap(), good());
    let mut again = Vec::new();
    write_scl(&mut again, &good()).unwrap();
    assert_eq!(bytes, again);
    // Each member is, byte for byte, what numpy.save writes: `extra` holds those.
    let numpy = file("extra");
    for (name, len) in [("mu", 152), ("Sigma", 200), ("W", 136), ("t0", 136), ("t1", 136)] {
        let member = |bytes: &[u8], header: usize| {
            let name = format!("{name}.npy");
            let at = bytes
                .windows(4)
                .enumerate()
                .filter(|(at, w)| *w == LOCAL && bytes[at + 30..].starts_with(name.as_bytes()))
                .map(|(at, _)| at)
                .next()
                .unwrap();
            assert_eq!(usize::from(bytes[at + 28]), header, "the length of the extra field");
            bytes[at + 30 + name.len() + header..][..len].to_vec()
        };
        assert_eq!(member(&bytes, 0), member(&numpy, 0), "{name}");
    }
    // For `make.py check`, by hand.
    if let Ok(path) = std::env::var("BITWIRE_NPZ_OUT") {
        write_whole(path, |out| write_scl(out, &good())).unwrap();
    }
}

#[test]
fn the_writer_refuses_what_the_reader_would() {
    let mut sink = Vec::new();
    assert!(write_scl(&mut sink, &Scl { w: f64::NAN, ..good() }).is_err());
    assert!(write_scl(&mut sink, &Scl { sigma: vec![], ..good() }).is_err());
    assert!(sink.is_empty());

    // A writer that fails at any of its bytes: its own error comes back, and nothing is written after it.
    struct Full(usize, bool);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            assert!(!self.1);
            if self.0 == 0 {
                self.1 = true;
                return Err(std::io::Error::from_raw_os_error(28));
            }
            let n = bytes.len().min(self.0);
            self.0 -= n;
            Ok(n)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut whole = Vec::new();
    write_scl(&mut whole, &good()).unwrap();
    for room in 0..whole.len() {
        let error = write_scl(Full(room, false), &good()).unwrap_err();
        assert_eq!(error.to_string(), "No space left on device", "{room}");
    }
    write_scl(Full(whole.len(), false), &good()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_statistics_survive(
        mu in proptest::collection::vec(-1e300..1e300f64, 1..20), scale in -300i32..300, w in 0.0..1e300f64, t0 in -1e9..1e9f64, dt in 0.0..1e9f64,
    ) {
        let dim = mu.len();
        let value = |i: usize, j: usize| (i * j) as f64 / 7.0 * 10f64.powi(scale);
        let sigma = (0..dim * dim).map(|at| value(at / dim, at % dim)).collect();
        let scl = Scl { mu, sigma, w, t0, t1: t0 + dt };
        let mut bytes = Vec::new();
        write_scl(&mut bytes, &scl).unwrap();
        prop_assert_eq!(read(&bytes).unwrap(), scl);
    }

    #[test]
    fn any_change_of_a_byte_is_read_or_refused(which in 0usize..2, at: prop::sample::Index, to: u8) {
        let mut bytes = file(["stored", "deflated"][which]);
        let at = at.index(bytes.len());
        bytes[at] = to;
        match read(&bytes) {
            // Dates, attributes, versions and padding: nothing that matters to the statistics.
            Ok(scl) => prop_assert_eq!(scl, good()),
            Err(cause) => prop_assert!(!cause.is_io(), "{}", cause),
        }
    }
}
