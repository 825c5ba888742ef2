//! KV bytes of a full context beside those of gists.
//!
//! A model keeps a key and a value of `kv_heads * head_dim` elements for each token, in each layer; a gist
//! costs as much as a token. What a compression of 4,000 tokens into 10 gists saves is thus known from the
//! shape of the model: 400 times by tokens. What is claimed for gists, 26 times by the paper
//! (arXiv:2304.08467) and 100 to 400 times by the original (DNSity), is by tokens; the ratio by bytes is
//! the same only if gists are kept in the same types.
#![deny(clippy::arithmetic_side_effects)]

use crate::engram::KeyShape;
use crate::engram::ggml::GgmlType;
use crate::error::{Error, ErrorKind, Result};
use crate::mirror::Scalar;
use crate::wire::size;

/// The part of a model's shape that its KV cache depends on; every layer is alike.
///
/// For a model whose layers differ, such as those with sliding windows, add up a budget for each kind of
/// layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheShape {
    /// Layers that have a KV cache.
    pub layers: u32,
    /// KV heads of a layer: with grouped queries, fewer than heads of attention.
    pub kv_heads: u32,
    /// Components of a key, and of a value.
    pub head_dim: u32,
}

impl From<KeyShape> for CacheShape {
    /// Without its tokens.
    fn from(shape: KeyShape) -> Self {
        let KeyShape { layers, heads, head_dim, .. } = shape;
        Self { layers, kv_heads: heads, head_dim }
    }
}

/// What elements are kept as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KvType {
    /// A type of llama.cpp's caches.
    Ggml(GgmlType),
    /// 16-bit steps, as gist frames may hold (spec/beacon.md, "MU16"). The step itself, 4 bytes for all, is
    /// not counted.
    Mu16,
}

impl KvType {
    /// Every type.
    pub const ALL: [Self; 10] = {
        let mut all = [Self::Mu16; 10];
        let (mut from, mut to) = (GgmlType::ALL.as_slice(), all.as_mut_slice());
        while let ([ty, types @ ..], [place, places @ ..]) = (from, to) {
            *place = Self::Ggml(*ty);
            (from, to) = (types, places);
        }
        all
    };

    /// The type of that name: `f16`, `q8_0`, `mu16`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ty| ty.name() == name)
    }

    /// Its name, in small letters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ggml(ty) => ty.name(),
            Self::Mu16 => "mu16",
        }
    }

    /// Elements of a block: 32 for quantised types, else 1.
    #[must_use]
    pub const fn block_elements(self) -> u32 {
        match self {
            Self::Ggml(ty) => ty.block_elements(),
            Self::Mu16 => 1,
        }
    }

    /// Bytes of a row of `width` elements.
    ///
    /// # Errors
    /// As [`GgmlType::row_size`].
    pub fn row_size(self, width: u64) -> Result<u64> {
        match self {
            Self::Ggml(ty) => ty.row_size(width),
            Self::Mu16 => product("a row", &[width, 2]),
        }
    }
}

impl core::fmt::Display for KvType {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl From<GgmlType> for KvType {
    fn from(ty: GgmlType) -> Self {
        Self::Ggml(ty)
    }
}

impl From<Scalar> for KvType {
    fn from(scalar: Scalar) -> Self {
        match scalar {
            Scalar::F32 => GgmlType::F32.into(),
            Scalar::F16 => GgmlType::F16.into(),
            Scalar::Bf16 => GgmlType::Bf16.into(),
            Scalar::Mu16(_) => Self::Mu16,
        }
    }
}

/// How many tokens are kept, and as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kept {
    /// Tokens, or gists.
    pub tokens: u64,
    /// The type of their keys.
    pub keys: KvType,
    /// The type of their values.
    pub values: KvType,
}

impl Kept {
    /// Keys and values of the same type.
    pub fn new(tokens: u64, ty: impl Into<KvType>) -> Self {
        let ty = ty.into();
        Self { tokens, keys: ty, values: ty }
    }

    /// Bytes of one token: keys and values of all layers.
    fn token_bytes(&self, shape: &CacheShape) -> Result<u64> {
        let width = product("kv_heads * head_dim", &[shape.kv_heads.into(), shape.head_dim.into()])?;
        let (keys, values) = (self.keys.row_size(width)?, self.values.row_size(width)?);
        let row = keys.checked_add(values).ok_or(Error::caller(ErrorKind::Size { field: "a row" }))?;
        product("the bytes of a token", &[shape.layers.into(), row])
    }
}

/// What a full context takes, and what gists take in its place.
///
/// ```
/// use bitwire::engram::ggml::GgmlType;
/// use bitwire::gist::budget::{Budget, CacheShape, Kept};
///
/// // Llama 3 8B.
/// let shape = CacheShape { layers: 32, kv_heads: 8, head_dim: 128 };
/// let budget = Budget::new(&shape, Kept::new(4000, GgmlType::F16), Kept::new(10, GgmlType::F16))?;
/// assert_eq!(budget.token_bytes(), 131_072);
/// assert_eq!((budget.full_bytes(), budget.gist_bytes()), (524_288_000, 1_310_720));
/// assert_eq!(budget.token_ratio(), 400.0);
/// # Ok::<(), bitwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    context: Kept,
    gists: Kept,
    token_bytes: u64,
    one_gist_bytes: u64,
    full_bytes: u64,
    gist_bytes: u64,
}

impl Budget {
    /// The budget of `context` kept in full, and of `gists` that stand for it. More gists than tokens are
    /// allowed: the ratios are then below 1.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if a number is 0; [`ErrorKind::Argument`] if `kv_heads * head_dim` is no whole
    /// number of a quantised type's blocks; [`ErrorKind::Size`] over 64 bits.
    pub fn new(shape: &CacheShape, context: Kept, gists: Kept) -> Result<Self> {
        for (field, found) in [
            ("the number of layers", shape.layers.into()),
            ("the number of KV heads", shape.kv_heads.into()),
            ("head_dim", shape.head_dim.into()),
            ("the number of context tokens", context.tokens),
            ("the number of gists", gists.tokens),
        ] {
            if found == 0 {
                return Err(Error::caller(ErrorKind::Shape { field, needed: 1, found }));
            }
        }
        let (token_bytes, one_gist_bytes) = (context.token_bytes(shape)?, gists.token_bytes(shape)?);
        Ok(Self {
            context,
            gists,
            token_bytes,
            one_gist_bytes,
            full_bytes: product("the bytes of the context", &[context.tokens, token_bytes])?,
            gist_bytes: product("the bytes of the gists", &[gists.tokens, one_gist_bytes])?,
        })
    }

    /// The context, as it was given.
    #[must_use]
    pub const fn context(&self) -> &Kept {
        &self.context
    }

    /// The gists, as they were given.
    #[must_use]
    pub const fn gists(&self) -> &Kept {
        &self.gists
    }

    /// Bytes of a token of the context: its keys and values in all layers.
    #[must_use]
    pub const fn token_bytes(&self) -> u64 {
        self.token_bytes
    }

    /// Bytes of one gist.
    #[must_use]
    pub const fn one_gist_bytes(&self) -> u64 {
        self.one_gist_bytes
    }

    /// Bytes of the context.
    #[must_use]
    pub const fn full_bytes(&self) -> u64 {
        self.full_bytes
    }

    /// Bytes of all gists.
    #[must_use]
    pub const fn gist_bytes(&self) -> u64 {
        self.gist_bytes
    }

    /// Bytes that the gists save; below 0 if they take more than the context.
    #[must_use]
    pub const fn saved_bytes(&self) -> i128 {
        // Two numbers of 64 bits: their difference fits.
        (self.full_bytes as i128).saturating_sub(self.gist_bytes as i128)
    }

    /// Tokens of the context for each gist: the compression ratio of the literature.
    #[must_use]
    pub fn token_ratio(&self) -> f64 {
        self.context.tokens as f64 / self.gists.tokens as f64
    }

    /// Bytes of the context for each byte of the gists.
    #[must_use]
    pub fn byte_ratio(&self) -> f64 {
        self.full_bytes as f64 / self.gist_bytes as f64
    }
}

fn product(field: &'static str, factors: &[u64]) -> Result<u64> {
    size(field, 0, factors).map_err(|error| Error::caller(error.kind()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use std::string::ToString;

    const LLAMA3_8B: CacheShape = CacheShape { layers: 32, kv_heads: 8, head_dim: 128 };

    fn ty(name: &str) -> KvType {
        KvType::from_name(name).unwrap()
    }

    fn budget(shape: CacheShape, tokens: u64, keys: &str, values: &str, gists: Kept) -> Result<Budget> {
        Budget::new(&shape, Kept { tokens, keys: ty(keys), values: ty(values) }, gists)
    }

    /// By hand: 32 layers of 1,024 keys and 1,024 values; ggml's blocks of 32 are 34 bytes (q8_0) and 18
    /// (q4_0).
    #[test]
    fn bytes_are_those_worked_by_hand() {
        for (keys, values, token) in [
            ("f16", "f16", 131_072),
            ("bf16", "mu16", 131_072),
            ("f32", "f32", 262_144),
            ("q8_0", "q8_0", 69_632),
            ("q8_0", "q4_0", 32 * (32 * 34 + 32 * 18)),
            ("f16", "iq4_nl", 32 * (2048 + 576)),
        ] {
            let budget = budget(LLAMA3_8B, 4000, keys, values, Kept::new(10, GgmlType::F16)).unwrap();
            assert_eq!(budget.token_bytes(), token, "{keys} {values}");
            assert_eq!(budget.full_bytes(), 4000 * token);
            assert_eq!((budget.one_gist_bytes(), budget.gist_bytes()), (131_072, 1_310_720));
            assert_eq!(budget.saved_bytes(), 4000 * i128::from(token) - 1_310_720);
            assert_eq!(budget.token_ratio(), 400.0);
        }
        // 4,000 tokens at 69,632 bytes over 10 gists at 131,072: 212.5.
        let mixed = budget(LLAMA3_8B, 4000, "q8_0", "q8_0", Kept::new(10, KvType::Mu16)).unwrap();
        assert_eq!(mixed.byte_ratio(), 212.5);
        // Phi-3 mini: 32 layers, 32 heads of 96; 393,216 bytes a token in f16.
        let phi = CacheShape { layers: 32, kv_heads: 32, head_dim: 96 };
        assert_eq!(budget(phi, 1, "f16", "f16", Kept::new(1, GgmlType::F16)).unwrap().token_bytes(), 393_216);
        // More gists than tokens.
        let more = budget(LLAMA3_8B, 5, "f16", "f16", Kept::new(10, GgmlType::F16)).unwrap();
        assert_eq!((more.token_ratio(), more.byte_ratio()), (0.5, 0.5));
        assert_eq!(more.saved_bytes(), -5 * 131_072);
    }

    #[test]
    fn what_makes_no_budget_is_refused() {
        let one = Kept::new(1, GgmlType::F16);
        let zero =
            |shape, tokens, gists: Kept| budget(shape, tokens, "f16", "f16", gists).unwrap_err().to_string();
        let text = |what| std::format!("{what} is 0, needed is 1");
        assert_eq!(zero(CacheShape { layers: 0, ..LLAMA3_8B }, 1, one), text("the number of layers"));
        assert_eq!(zero(CacheShape { kv_heads: 0, ..LLAMA3_8B }, 1, one), text("the number of KV heads"));
        assert_eq!(zero(CacheShape { head_dim: 0, ..LLAMA3_8B }, 1, one), text("head_dim"));
        assert_eq!(zero(LLAMA3_8B, 0, one), text("the number of context tokens"));
        assert_eq!(zero(LLAMA3_8B, 1, Kept { tokens: 0, ..one }), text("the number of gists"));

        // 80 elements a row are two and a half blocks; it is the row that counts, not the head.
        let thin = CacheShape { layers: 1, kv_heads: 1, head_dim: 80 };
        for (keys, values) in [("q8_0", "f16"), ("f16", "q4_0")] {
            let error = budget(thin, 1, keys, values, one).unwrap_err();
            assert_eq!(error.to_string(), "a quantised row is made of blocks of 32 elements");
        }
        assert!(budget(thin, 1, "f16", "mu16", Kept::new(1, GgmlType::Q8_0)).is_err());
        let two = CacheShape { kv_heads: 2, ..thin };
        assert_eq!(budget(two, 1, "q8_0", "q8_0", one).unwrap().token_bytes(), 2 * 5 * 34);

        let max = u32::MAX;
        let huge = CacheShape { layers: max, kv_heads: max, head_dim: max };
        for (shape, tokens) in
            [(huge, 1), (CacheShape { layers: 1, ..huge }, 1), (LLAMA3_8B, u64::MAX / 131_072 + 1)]
        {
            let kind = budget(shape, tokens, "f16", "f16", one).unwrap_err().kind();
            assert!(matches!(kind, ErrorKind::Size { .. }), "{kind:?}");
        }
        assert!(budget(LLAMA3_8B, u64::MAX / 131_072, "f16", "f16", one).is_ok());
    }

    #[test]
    fn names_are_those_of_ggml_and_mu16() {
        let names = KvType::ALL.map(KvType::name);
        let expected = ["f32", "f16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "iq4_nl", "bf16", "mu16"];
        assert_eq!(names, expected);
        assert_eq!(KvType::from_name("F16"), None);
    }
}
