//! Arrays of keys and values.

use bitwire::engram::KeyShape;
use bitwire::io::npy::{Dtype, Header, NpyBlocks};
use bitwire::mirror::{BlockSource, Scalar};
use bitwire::{Error, ErrorKind};

use crate::input::Bytes;

/// A .npy file of f32, f16 or bf16: [layers, heads, tokens, head_dim], or keys and values in one,
/// [layers, 2, heads, tokens, head_dim].
pub(crate) struct FloatArray {
    shape: KeyShape,
    /// The second of five dimensions.
    parts: Option<u32>,
    array: NpyBlocks<Bytes>,
    /// The elements in C order, where the file has them in another.
    turned: Vec<u8>,
}

impl FloatArray {
    /// The array that `bytes` are: of five dimensions only if `both` keys and values may be in it. No dimension may be 0.
    pub(crate) fn new(bytes: Bytes, both: bool) -> Result<Self, Error> {
        let header = Header::parse(bytes.as_ref())?;
        let scalar = match header.dtype() {
            Dtype::F16 | Dtype::F32 => None,
            // Two bytes of no meaning, of which keys and values can only be bf16.
            Dtype::V2 => Some(Scalar::Bf16),
            _ => return Err(header.unfit_type("f4 or f2 (V2 is taken for bf16)")),
        };
        let ([layers, heads, tokens, head_dim], parts) = match *header.shape() {
            [layers, heads, tokens, head_dim] => ([layers, heads, tokens, head_dim], None),
            [layers, parts, heads, tokens, head_dim] if both => {
                ([layers, heads, tokens, head_dim], Some(parts))
            }
            _ if both => {
                return Err(header.unfit_dims(
                    "4 (layers, heads, tokens, head_dim), or 5 with keys and values in one array \
                     (layers, 2, heads, tokens, head_dim)",
                ));
            }
            _ => return Err(header.unfit_dims("4 (layers, heads, tokens, head_dim)")),
        };
        // Before anything is made for each token: an array without elements may claim any number of them.
        let count = |field, found: u64| {
            let max = u32::MAX.into();
            match u32::try_from(found) {
                Ok(0) => Err(Error::caller(ErrorKind::Shape { field, needed: 1, found })),
                Ok(count) => Ok(count),
                Err(_) => Err(Error::caller(ErrorKind::TooLarge { field, max, found })),
            }
        };
        let shape = KeyShape {
            layers: count("layers", layers)?,
            heads: count("heads", heads)?,
            tokens: count("tokens", tokens)?,
            head_dim: count("head_dim", head_dim)?,
        };
        let parts = parts.map(|parts| count("the second dimension", parts)).transpose()?;
        let array = NpyBlocks::parse(bytes, scalar)?;
        let mut turned = Vec::new();
        if array.borrowed().is_none() {
            turned.resize(array.shape().len(), 0);
            array.copy_into(&mut turned)?;
        }
        Ok(Self { shape, parts, array, turned })
    }

    /// Layers, heads, tokens, components of a row.
    pub(crate) const fn shape(&self) -> KeyShape {
        self.shape
    }

    /// Of five dimensions the second, which is 2 if keys and values are there.
    pub(crate) const fn parts(&self) -> Option<u32> {
        self.parts
    }

    pub(crate) fn scalar(&self) -> Scalar {
        self.array.shape().scalar()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.array.borrowed().map_or(self.turned.as_slice(), |blocks| blocks.as_bytes())
    }

    /// `[1, 3, 12, 8] of f32`
    pub(crate) fn text(&self) -> String {
        format!("{:?} of {}", self.array.dims(), self.scalar().element().name())
    }
}
