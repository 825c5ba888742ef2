//! SCL archives: NumPy .npz files with the arrays mu (dim,), Sigma (dim, dim), W, t0 and t1.
#![deny(clippy::arithmetic_side_effects)]

use super::{Cause, npy};
use crate::beacon::Scl;
use crate::error::{Error, ErrorKind, Result};
use std::cell::{Cell, RefCell};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::vec::Vec;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipReadOptions, ZipWriter};

/// The most bytes read to find an archive's members: the last 64 KiB and the directory. SCL has five members, and what
/// else a tool adds is skipped; a directory built to be endless is not walked.
const MAX_DIRECTORY: u64 = 4 << 20;

/// The most values of Sigma in an archive of `len` bytes: 8 MiB as f64, and 384 times the archive. Deflate packs zeros up to
/// 1,032 times, a diagonal of any numbers about 500 times, and a Sigma with numbers off the diagonal a few times.
const fn most_values(len: u64) -> u64 {
    (1u64 << 20).saturating_add(len.saturating_mul(48))
}

/// The arrays of SCL, in the order they are written and read, and their names in the archive.
const ARRAYS: [(&str, &str); 5] =
    [("mu", "mu.npy"), ("Sigma", "Sigma.npy"), ("W", "W.npy"), ("t0", "t0.npy"), ("t1", "t1.npy")];

/// Reads an SCL archive, as `numpy.savez` or `numpy.savez_compressed` writes it.
///
/// mu and Sigma may be of f16, f32 or f64, in C or Fortran order; W, t0 and t1 of these or of an integer type, in any
/// shape that holds one value. Other members are skipped; members named by a path are other members. What is returned
/// has passed [`Scl::check`].
///
/// A member is read as far as its own .npy header says and its data really comes, never by the size the archive claims;
/// Sigma's header has to say (dim, dim) before its data is read.
///
/// # Errors
/// [`ErrorKind::Npz`] if the archive is none, is damaged (each member's CRC-32 is checked), is encrypted, lacks an array,
/// names a member twice, has a directory of over 4 MiB, or a Sigma that takes over 8 MiB and 384 times the archive as f64; [`Cause::Member`] with the array's name for what is wrong within one; as [`Scl::check`]; or the
/// reader's own.
pub fn read_scl(mut reader: impl Read + Seek) -> Result<Scl, Cause> {
    let most = most_values(refuse_zip64(&mut reader)?);
    let budget = Cell::new(MAX_DIRECTORY);
    let mut archive = ZipArchive::new(Budgeted { reader, budget: &budget }).map_err(of_archive)?;
    if archive.has_duplicate_names() {
        return Err(npz("the archive has two members of the same name").into());
    }
    budget.set(u64::MAX);

    let archive = &mut archive;
    let mu = in_member(archive, 0, "the array mu is missing", |data| {
        let judge = |header: &npy::Header| match *header.shape() {
            [dim] => Scl::check_dim(dim),
            _ => Err(header.unfit_dims("a vector (dim,)")),
        };
        Ok(npy::read_floats(data, judge)?.1)
    })?;
    let dim = mu.len();
    let sigma = in_member(archive, 1, "the array Sigma is missing", |data| {
        let judge = |header: &npy::Header| match *header.shape() {
            [rows, _] if rows != dim as u64 => {
                Err(header.unfit_shape("the number of rows", dim as u64, rows))
            }
            [_, columns] if columns != dim as u64 => {
                Err(header.unfit_shape("the number of columns", dim as u64, columns))
            }
            [rows, columns] if rows.saturating_mul(columns) > most => Err(npz(
                "Sigma takes over 8 MiB and 384 times the archive: numpy.savez, which does not compress, would do",
            )),
            [_, _] => Ok(()),
            _ => Err(header.unfit_dims("a matrix (dim, dim)")),
        };
        let (header, values) = npy::read_floats(data, judge)?;
        Ok(if header.fortran_order() { transposed(values, dim)? } else { values })
    })?;
    let w = in_member(archive, 2, "the array W is missing", npy::read_scalar)?;
    let t0 = in_member(archive, 3, "the array t0 is missing", npy::read_scalar)?;
    let t1 = in_member(archive, 4, "the array t1 is missing", npy::read_scalar)?;
    let scl = Scl { mu, sigma, w, t0, t1 };
    scl.check()?;
    Ok(scl)
}

/// Writes an SCL archive that `numpy.load` reads without pickle: five f64 arrays, stored, W, t0 and t1 without
/// dimensions, all dated 1980-01-01, so that equal statistics give equal bytes.
///
/// Writes front to back, without seeking.
///
/// # Errors
/// As [`Scl::check`], before anything is written, or the writer's own.
pub fn write_scl(writer: impl Write, scl: &Scl) -> Result<(), Cause> {
    scl.check()?;
    let dim = scl.dim() as u64;
    let (w, t0, t1) = ([scl.w], [scl.t0], [scl.t1]);
    let arrays: [(&[u64], &[f64]); 5] =
        [(&[dim], &scl.mu), (&[dim, dim], &scl.sigma), (&[], &w), (&[], &t0), (&[], &t1)];
    // The platform default differs between systems; the bytes must not.
    let options = SimpleFileOptions::DEFAULT
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::DEFAULT)
        .unix_permissions(0o644)
        .system(zip::System::Unix);
    let failed = RefCell::new(None);
    let check = || failed.take().map_or(Ok(()), Err);
    let mut archive = ZipWriter::new_stream(Latched { writer, failed: &failed, dead: false });
    for ((_, name), (shape, values)) in ARRAYS.iter().zip(arrays) {
        archive.start_file(*name, options).map_err(of_archive)?;
        npy::write_array_f64(&mut archive, shape, values)?;
        check()?;
    }
    archive.finish().map_err(of_archive)?;
    Ok(check()?)
}

/// A writer that keeps its first error to itself and swallows what comes after it: told of an error, the zip writer
/// tries again when dropped, and complains on standard error.
struct Latched<'a, W> {
    writer: W,
    failed: &'a RefCell<Option<io::Error>>,
    dead: bool,
}

impl<W: Write> Latched<'_, W> {
    fn latch<T>(&mut self, result: io::Result<T>, otherwise: T) -> io::Result<T> {
        match result {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                self.dead = true;
                self.failed.replace(Some(error));
                Ok(otherwise)
            }
            other => other,
        }
    }
}

impl<W: Write> Write for Latched<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.dead {
            return Ok(bytes.len());
        }
        let result = match self.writer.write(bytes) {
            Ok(0) if !bytes.is_empty() => Err(io::ErrorKind::WriteZero.into()),
            other => other,
        };
        self.latch(result, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.dead {
            return Ok(());
        }
        let result = self.writer.flush();
        self.latch(result, ())
    }
}

/// Reads one of [`ARRAYS`] with `read`; whatever goes wrong in its bytes carries its name.
fn in_member<R: Read + Seek, T>(
    archive: &mut ZipArchive<R>,
    which: usize,
    missing: &'static str,
    read: impl FnOnce(&mut dyn Read) -> Result<T, Cause>,
) -> Result<T, Cause> {
    let (name, file) = ARRAYS.get(which).copied().unwrap_or_default();
    let index = archive.index_for_name_raw(file.as_bytes()).ok_or(npz(missing))?;
    let inner = || {
        let entry = archive.by_index_data(index).map_err(of_archive)?;
        if entry.encrypted() {
            return Err(npz("the array is encrypted").into());
        }
        if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
            return Err(npz("the array is compressed by another method than deflate").into());
        }
        // A member whose own header disagrees with the directory is two archives in one.
        let options = ZipReadOptions::new().enforce_header_consistency(true);
        let mut data = archive.by_index_with_options(index, options).map_err(of_archive)?;
        read(&mut data).map_err(|cause| match cause {
            Cause::Io(error) => of_io(error),
            other => other,
        })
    };
    inner().map_err(|cause| match cause {
        Cause::Format(error) => Cause::Member { name, error },
        other => other,
    })
}

/// Refuses an archive with a zip64 directory, at every place where the zip reader would look for one.
///
/// SCL needs none (its members add up to less than 4 GiB), and the reader would set memory aside for as many members as
/// such a directory claims, up to the file's size / 46, before it has seen one. Gives the archive's length.
fn refuse_zip64(reader: &mut (impl Read + Seek)) -> Result<u64, Cause> {
    /// The end record and the longest comment, and the 20 bytes before it.
    const TAIL: u64 = 22 + 4 + (1 << 16) + 20;
    let len = reader.seek(SeekFrom::End(0))?;
    reader.seek(SeekFrom::Start(len.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    reader.by_ref().take(TAIL).read_to_end(&mut tail)?;
    let zip64 = tail.windows(24).any(|w| matches!(w, [b'P', b'K', 6, 7, .., b'P', b'K', 5, 6]));
    reader.rewind()?;
    if zip64 {
        Err(npz("the archive has a zip64 directory, which SCL does not need").into())
    } else {
        Ok(len)
    }
}

/// A reader that gives up after a number of bytes.
struct Budgeted<'a, R> {
    reader: R,
    budget: &'a Cell<u64>,
}

impl<R: Read> Read for Budgeted<'_, R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(bytes)?;
        match self.budget.get().checked_sub(n as u64) {
            Some(left) => self.budget.set(left),
            None => return Err(io::Error::new(io::ErrorKind::InvalidInput, "the directory is too large")),
        }
        Ok(n)
    }
}

impl<R: Seek> Seek for Budgeted<'_, R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.reader.seek(to)
    }
}

fn transposed(values: Vec<f64>, dim: usize) -> Result<Vec<f64>, Cause> {
    let mut rows = Vec::new();
    rows.try_reserve_exact(values.len()).map_err(|_| Cause::out_of_memory())?;
    for i in 0..dim {
        rows.extend(values.iter().skip(i).step_by(dim));
    }
    Ok(rows)
}

const fn npz(reason: &'static str) -> Error {
    Error::caller(ErrorKind::Npz { reason })
}

fn of_archive(error: ZipError) -> Cause {
    let reason = match error {
        ZipError::Io(error) => return of_io(error),
        ZipError::UnsupportedArchive(_) => "the archive uses a feature this reader does not have",
        ZipError::CompressionMethodNotSupported(_) => {
            "the array is compressed by another method than deflate"
        }
        ZipError::InvalidPassword => "the array is encrypted",
        _ => "not a zip archive, or a damaged one",
    };
    npz(reason).into()
}

/// Tells a damaged archive, which the zip reader reports as an I/O error, from the reader's own errors.
fn of_io(error: io::Error) -> Cause {
    match error.kind() {
        _ if error.raw_os_error().is_some() => error.into(),
        io::ErrorKind::InvalidData => {
            npz("the data is damaged: it does not inflate, or not to its size and CRC-32").into()
        }
        // What `Budgeted` says.
        io::ErrorKind::InvalidInput => npz("the archive's directory is damaged or over 4 MiB").into(),
        io::ErrorKind::UnexpectedEof => npz("the archive ends too early").into(),
        _ => error.into(),
    }
}
