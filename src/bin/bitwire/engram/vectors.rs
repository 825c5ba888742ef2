//! Vectors in NumPy arrays, and how fingerprints are stored.

use std::path::Path;

use bitwire::beacon::StepChoice;
use bitwire::beacon::mu16::Step;
use bitwire::engram::index::{VectorType, Vectors, encode_row};
use bitwire::io::npy::{Dtype, Header, NpyBlocks, Order};
use bitwire::mirror::{BlockSource, Scalar};
use bitwire::{Error, ErrorKind};
use clap::{Args, ValueEnum};

use crate::args::step;
use crate::exit::Problem;
use crate::input;

/// How components are stored.
#[derive(Args)]
pub(crate) struct StoreArgs {
    /// How components are stored [default: f32, centroids as bits]
    #[arg(long, value_enum)]
    pub(crate) store: Option<StoreArg>,
    /// With --store mu16: the step in units of 2^-16; auto is the smallest at which nothing saturates
    #[arg(long, value_name = "N|auto", default_value = "auto", value_parser = step, allow_negative_numbers = true)]
    pub(crate) delta_q16: StepChoice,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreArg {
    /// 4 bytes a component
    F32,
    /// 2 bytes
    F16,
    /// 2 bytes: integers times one step
    Mu16,
    /// 1 byte: integers times a scale of each vector's own
    I8,
    /// 1 bit: signs
    Bits,
}

impl StoreArgs {
    /// The type for these vectors.
    pub(super) fn vector_type(
        &self,
        default: StoreArg,
        values: &[f32],
        dim: usize,
    ) -> Result<VectorType, Error> {
        Ok(match self.store.unwrap_or(default) {
            StoreArg::F32 => VectorType::F32,
            StoreArg::F16 => VectorType::F16,
            StoreArg::Mu16 => VectorType::Mu16(match self.delta_q16 {
                StepChoice::Fixed(step) => step,
                StepChoice::Auto => Step::auto(values, dim)?,
            }),
            StoreArg::I8 => VectorType::I8,
            StoreArg::Bits => VectorType::Bits,
        })
    }
}

pub(super) fn type_name(kind: VectorType) -> &'static str {
    match kind {
        VectorType::F32 => "f32",
        VectorType::F16 => "f16",
        VectorType::Mu16(_) => "mu16",
        VectorType::I8 => "i8",
        VectorType::Bits => "bits",
    }
}

/// Vectors as they are stored.
pub(super) struct Stored {
    pub(super) dtype: Dtype,
    /// Bytes of a vector's components over the size of an element.
    pub(super) columns: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) scales: Vec<f32>,
    pub(super) saturated: u64,
}

/// Stores vectors of `dim` components each.
pub(super) fn store(kind: VectorType, dim: usize, values: &[f32]) -> Result<Stored, Error> {
    let (dtype, size) = match kind {
        VectorType::F32 => (Dtype::F32, 4),
        VectorType::F16 => (Dtype::F16, 2),
        VectorType::Mu16(_) => (Dtype::I16, 2),
        VectorType::I8 => (Dtype::I8, 1),
        VectorType::Bits => (Dtype::U8, 1),
    };
    let row_len = kind.row_len(u32::try_from(dim).unwrap_or(u32::MAX));
    let mut stored =
        Stored { dtype, columns: row_len / size, bytes: Vec::new(), scales: Vec::new(), saturated: 0 };
    for vector in values.chunks(dim.max(1)) {
        let start = stored.bytes.len();
        stored.bytes.resize(start + usize::try_from(row_len).unwrap_or(usize::MAX), 0);
        let row = encode_row(kind, vector, stored.bytes.get_mut(start..).unwrap_or_default())?;
        if kind == VectorType::I8 {
            stored.scales.push(row.scale);
        }
        stored.saturated += row.saturated;
    }
    Ok(stored)
}

/// An array of f32 or f16 in C order, widened.
pub(super) struct Array {
    pub(super) dims: Vec<u64>,
    pub(super) values: Vec<f32>,
}

impl Array {
    /// Reads a .npy file of one to eight dimensions.
    pub(super) fn read(path: &Path) -> Result<Self, Problem> {
        let bytes = input::map(path)?;
        Self::parse(bytes.as_ref()).map_err(|error| input::unfit(path, error))
    }

    fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let header = Header::parse(bytes)?;
        let kind = match header.dtype() {
            Dtype::F32 => VectorType::F32,
            Dtype::F16 => VectorType::F16,
            _ => return Err(header.unfit_type("f4 or f2")),
        };
        let dims = header.shape().to_vec();
        if dims.is_empty() {
            return Err(header.unfit_dims("1 or more"));
        }
        let data = if dims.len() == 1 {
            one_dimension(&header, bytes)?
        } else {
            let array = NpyBlocks::parse(bytes, None)?;
            let mut data = vec![0; array.shape().len()];
            debug_assert!(matches!(array.shape().scalar(), Scalar::F32 | Scalar::F16));
            array.copy_into(&mut data)?;
            data
        };
        let size = if kind == VectorType::F32 { 4 } else { 2 };
        let too_large = ErrorKind::TooLarge {
            field: "the number of components",
            max: u32::MAX.into(),
            found: (data.len() / size) as u64,
        };
        let count = u32::try_from(data.len() / size).map_err(|_| Error::caller(too_large))?;
        let mut values = vec![0.0; count as usize];
        if count > 0 {
            Vectors::new(kind, 1, count, &data, &[])?.row_into(0, &mut values)?;
        }
        Ok(Self { dims, values })
    }
}

fn one_dimension(header: &Header, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let start = usize::try_from(header.data_offset()).unwrap_or(usize::MAX);
    let mut data = bytes.get(start..).unwrap_or_default().to_vec();
    let (needed, available) = (header.data_len(), data.len() as u64);
    if available < needed {
        let kind = ErrorKind::Truncated { field: "the array's data", needed, available };
        return Err(Error::new(kind, header.data_offset()));
    }
    if available > needed {
        let kind = ErrorKind::TrailingBytes { count: available - needed };
        return Err(Error::new(kind, header.data_offset() + needed));
    }
    if header.order() == Order::Big {
        let size = if header.dtype() == Dtype::F32 { 4 } else { 2 };
        data.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    Ok(data)
}
