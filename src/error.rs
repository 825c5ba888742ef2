//! One error type for everything: what went wrong, and where in the caller's input.

use core::fmt;

use crate::engram::state::LayoutSet;

/// The result of every fallible function of this crate that does no I/O.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// What went wrong ([`kind`](Error::kind)) and where ([`offset`](Error::offset)).
///
/// The offset counts bytes from the start of the input the caller handed in and names the first byte of the
/// offending field (spec/frame.md, "Order of checks"). Mistakes that concern no byte, such as a window with no rows, have
/// no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    place: Option<u64>,
}

impl Error {
    /// An error at `offset` bytes from the start of the input.
    pub const fn new(kind: ErrorKind, offset: u64) -> Self {
        Self { kind, place: Some(offset) }
    }

    /// A mistake that has no place in a byte string: a bad argument, or a property of values handed in.
    pub const fn caller(kind: ErrorKind) -> Self {
        Self { kind, place: None }
    }

    /// What went wrong.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Where: bytes from the start of the input handed in; 0 for errors without a place.
    pub const fn offset(&self) -> u64 {
        match self.place {
            Some(offset) => offset,
            None => 0,
        }
    }

    /// The same, `None` for errors without a place: mistakes in arguments or in values.
    pub const fn place(&self) -> Option<u64> {
        self.place
    }

    /// The same error seen from an enclosing input in which this one starts at `base`.
    #[must_use]
    pub const fn nested(self, base: u64) -> Self {
        let place = match self.place {
            Some(offset) => Some(offset.saturating_add(base)),
            None => None,
        };
        Self { kind: self.kind, place }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(offset) => write!(f, "{} (at byte {offset})", self.kind),
            None => self.kind.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

/// A few characters of the input, quoted in an error: a type name, say. Cut to 14 bytes, printed with anything
/// that is not printable ASCII escaped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Snippet {
    bytes: [u8; 14],
    len: u8,
    cut: bool,
}

impl Snippet {
    /// The first bytes of `text`.
    #[must_use]
    pub fn new(text: &[u8]) -> Self {
        let mut bytes = [0; 14];
        let len = bytes.iter_mut().zip(text).map(|(to, &from)| *to = from).count();
        Self { bytes, len: u8::try_from(len).unwrap_or(0), cut: text.len() > len }
    }

    /// The bytes quoted.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    #[cfg(feature = "defmt")]
    pub(crate) const fn is_cut(&self) -> bool {
        self.cut
    }
}

impl fmt::Display for Snippet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.as_bytes().escape_ascii(), if self.cut { "..." } else { "" })
    }
}

impl fmt::Debug for Snippet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

macro_rules! kinds {
    ($( $(#[$doc:meta])* $name:ident $({ $( $(#[$fdoc:meta])* $field:ident: $ty:ty ),+ $(,)? })? ;)+) => {
        /// Every way in which bytes, values or arguments can be refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub enum ErrorKind {
            $( $(#[$doc])* $name $({ $( $(#[$fdoc])* $field: $ty ),+ })?, )+
        }

        impl ErrorKind {
            /// The kind's name, as the vectors in spec/vectors write it.
            pub const fn name(&self) -> &'static str {
                match self { $( Self::$name { .. } => stringify!($name), )+ }
            }
        }
    };
}

kinds! {
    // -- bytes that end too early, or sizes that cannot be
    /// A field claims more bytes than there are.
    Truncated {
        /// Which field.
        field: &'static str,
        /// Bytes it needs.
        needed: u64,
        /// Bytes that are there.
        available: u64,
    };
    /// A size computed from the input overflows 64 bits.
    Size {
        /// Which size.
        field: &'static str,
    };
    /// Bytes follow where the input should end.
    TrailingBytes {
        /// How many.
        count: u64,
    };

    // -- frame (spec/frame.md)
    /// The first four bytes are not `BIT\x01`: another file, or another version of the frame.
    Magic {
        /// The bytes found.
        found: [u8; 4],
    };
    /// A TLV type does not increase: out of order, or twice.
    TlvOrder {
        /// The type found.
        found: u8,
        /// The type before it.
        after: u8,
    };
    /// The first TLV is not CONFIG_V1.
    ConfigNotFirst {
        /// The type found.
        found: u8,
    };
    /// A critical TLV (02 to 7F) this version does not know.
    CriticalTlv {
        /// The type found.
        found: u8,
    };
    /// A TLV type in the part of the envelope that is reserved (F2 to FD).
    ReservedTlv {
        /// The type found.
        found: u8,
    };
    /// A TLV's length is not the one its type has, or is below its type's least.
    TlvLength {
        /// The TLV's type.
        tlv: u8,
        /// The length it has to have, or the least.
        needed: u32,
        /// The length found.
        found: u32,
    };
    /// The CRC-16 does not match.
    Crc {
        /// The value in the frame.
        stored: u16,
        /// The value of its bytes.
        computed: u16,
    };
    /// A reserved field is not zero.
    Reserved {
        /// Which field.
        field: &'static str,
    };
    /// CONFIG_V1 names an element code above 9.
    Element {
        /// The code found.
        found: u8,
    };
    /// delta_q16 has to be not 0 if, and only if, the element is i16.
    DeltaQ16 {
        /// The element code.
        element: u8,
        /// The value found.
        found: u32,
    };
    /// FLAGS_V1 sets a bit of 3 to 15.
    FlagBits {
        /// The flags found.
        found: u32,
    };
    /// A versioned value does not start with 01.
    ValueVersion {
        /// The TLV's type.
        tlv: u8,
        /// The version found.
        found: u8,
    };
    /// PAD_V1 has a byte that is not zero.
    Padding;
    /// CONTEXT_V1 does not hash to the frame's ctx.
    ContextHash;
    /// DIGEST_V1 is missing where it is mandatory.
    DigestMissing;
    /// DIGEST_V1 does not match the frame.
    Digest;
    /// The AUTHENTICATED flag and the presence of HMAC_V1 disagree.
    FlagsHmac {
        /// Whether HMAC_V1 is there.
        hmac: bool,
    };
    /// A key was given and the frame carries no HMAC_V1.
    HmacMissing;
    /// HMAC_V1 does not match under the key given.
    Hmac;

    // -- typed views
    /// The frame is of another kind.
    Kind {
        /// The kind asked for.
        needed: u8,
        /// The kind found.
        found: u8,
    };
    /// A TLV that the kind requires is missing.
    TlvMissing {
        /// The TLV's type.
        tlv: u8,
    };
    /// A TLV of 03 to 7F does not belong to the kind.
    ForeignTlv {
        /// The TLV's type.
        tlv: u8,
        /// The frame's kind.
        kind: u8,
    };
    /// A field does not have the value that the other fields require.
    Shape {
        /// Which field.
        field: &'static str,
        /// The value required (or the least).
        needed: u64,
        /// The value found.
        found: u64,
    };
    /// A code outside its table.
    Code {
        /// Which field.
        field: &'static str,
        /// The code found.
        found: u8,
    };
    /// A number that has to be finite is not, or one that has to be in a range is outside.
    Number {
        /// Which field.
        field: &'static str,
    };
    /// RESULTS_V1 is not the JSON of spec/beacon.md, to the letter.
    Results {
        /// What was expected.
        expected: &'static str,
    };
    /// ALERT or BASELINE does not agree with RESULTS_V1.
    FlagsResults {
        /// Which flag.
        flag: &'static str,
    };

    // -- context (spec/frame.md, "Context")
    /// A context is not what RFC 8785 and the spec ask for.
    Context {
        /// What is wrong.
        reason: &'static str,
    };
    /// Two artefacts come from different contexts.
    ContextDiffers;

    // -- ledger (spec/ledger.md)
    /// A token does not fit the width it is to be packed in.
    TokenWidth {
        /// Its place in the tokens given, from 0.
        index: u64,
        /// The token.
        token: u32,
        /// The width.
        bits: u8,
    };
    /// The first four bytes are not `BIP\x01`: no proof file, or another version of it.
    ProofMagic {
        /// The bytes found.
        found: [u8; 4],
    };
    /// A proof of inclusion is for a chunk that a tree of its size does not have.
    ProofChunk {
        /// The chunk, from 0.
        chunk_id: u64,
        /// Chunks in the tree.
        tree_size: u64,
    };
    /// A proof of consistency from a tree without chunks, or to a smaller tree.
    ProofSizes {
        /// Chunks in the old tree.
        old_size: u64,
        /// Chunks in the new tree.
        new_size: u64,
    };
    /// A proof does not lead to the root given.
    ProofRoot {
        /// Which root.
        place: &'static str,
    };
    /// Bits after the last token of a bit-packed payload, or after a vector of signs, are not 0.
    SpareBits;
    /// A list that has to increase strictly does not.
    Order {
        /// What is listed.
        field: &'static str,
    };
    /// Something reaches past the end of what it belongs to.
    PastEnd {
        /// What does.
        field: &'static str,
        /// Where the other ends.
        end: u64,
        /// How far it reaches.
        found: u64,
    };
    /// A name is not UTF-8.
    Utf8 {
        /// Which.
        field: &'static str,
    };
    /// A position or a name is marked twice in a ledger.
    Duplicate {
        /// Which of the two.
        field: &'static str,
    };
    /// Some frames of a ledger carry HMAC_V1 and some do not.
    MixedHmac;
    /// The token at a passkey's position is another one.
    PasskeyToken {
        /// The position.
        position: u64,
        /// The token expected there.
        expected: u32,
        /// The token that is there.
        found: u32,
    };
    /// An index does not belong to the ledger it was found with, or lies about it.
    ForeignIndex {
        /// The first thing that does not agree.
        field: &'static str,
    };
    /// The ledger is shorter than its index says it was.
    LedgerCut {
        /// Bytes that the index covers.
        covered: u64,
        /// Bytes that are there.
        found: u64,
    };
    /// Nothing is known under that position or name.
    Unknown {
        /// What was asked for.
        field: &'static str,
    };
    /// Text that is not the JSON of a TinyMind ledger.
    TinyMindJson {
        /// What is wrong.
        reason: &'static str,
    };
    /// A token of a TinyMind ledger that a ledger here cannot hold.
    TinyMindToken {
        /// Which token of its chunk, from 0.
        index: u64,
    };
    /// A hash of a TinyMind ledger that does not match.
    TinyMindHash {
        /// Where the hash stands.
        place: &'static str,
    };

    // -- mirror (spec/mirror.md)
    /// An array with fewer than two dimensions: there is none to count the blocks, or none for their elements.
    BlockDims {
        /// How many it has.
        found: u32,
    };
    /// A mirror, or the blocks of an agent, do not go with the master at hand.
    MasterDiffers {
        /// In what they differ from it.
        field: &'static str,
    };
    /// No master is registered.
    NoMaster;
    /// No agent is registered under the name.
    UnknownAgent;
    /// An agent whose blocks are not at the places of the master's.
    NotAligned;
    /// Memory that the values at hand need is not to be had.
    OutOfMemory {
        /// Bytes asked for.
        needed: u64,
    };

    // -- engram (spec/engram.md)
    /// A state file of a version not known here.
    StateVersion {
        /// The version found.
        found: u32,
    };
    /// The name of a model's architecture that is none, or not the one stated.
    StateArch {
        /// The name found.
        found: Snippet,
    };
    /// A model whose memory cannot be walked without the model: attention and a recurrent state, or records of its own.
    StateMemory {
        /// The model's architecture.
        found: Snippet,
    };
    /// More than one layout fits a state blob.
    Ambiguous {
        /// Those that do.
        layouts: LayoutSet,
    };
    /// A number that stands for yes or no is neither.
    Bool {
        /// Which.
        field: &'static str,
        /// The number found.
        found: u32,
    };
    /// The type of a tensor that is unknown, or that it cannot have.
    GgmlType {
        /// ggml's number of the type.
        found: i32,
        /// Whether the tensor is transposed, which quantised ones cannot be.
        transposed: bool,
    };
    /// The row of a tensor is not a whole number of its type's blocks.
    RowSize {
        /// Bytes of the row.
        found: u64,
        /// Bytes of a block.
        block_size: u64,
    };
    /// Streams of a cache, or layers of a stream, are not alike.
    StreamsDiffer {
        /// In what.
        field: &'static str,
    };
    /// A blob has the headers of its tensors alone.
    NoTensorData;
    /// The keys of a token are not a whole number of heads.
    HeadDim {
        /// Components of all heads.
        width: u32,
        /// Components of a head, as stated.
        head_dim: u32,
    };
    /// The first four bytes are not `EGR1`: no EIGENGRAM certificate.
    CertificateMagic {
        /// The bytes found.
        found: [u8; 4],
        /// Whether it looks like a safetensors file, which may be named .eng as well.
        safetensors: bool,
    };
    /// A certificate of a version that is not known.
    CertificateVersion {
        /// The version found.
        found: u8,
    };
    /// A certificate has neither of the lengths that its own fields give.
    CertificateLength {
        /// Its length.
        found: u64,
        /// The length with the header of 99 bytes.
        header_99: u64,
        /// The length with the header of 107 bytes.
        header_107: u64,
    };
    /// A short text of a certificate is not ASCII followed by nothing but zero bytes.
    CertificateText {
        /// Which.
        field: &'static str,
    };
    /// The first four bytes are not `IxFI`: no flat index of FAISS that compares by inner product.
    FaissMagic {
        /// The bytes found.
        found: [u8; 4],
    };
    /// A range of layers that takes in none of those there are.
    NoLayers {
        /// Where the range starts.
        start: u32,
        /// Where it ends.
        end: u32,
        /// Layers there are.
        layers: u32,
    };
    /// A key with a value that is NaN or infinite.
    NonFiniteKey {
        /// Its layer, from 0.
        layer: u32,
        /// Its head.
        head: u32,
        /// Its token.
        token: u32,
        /// The component.
        component: u32,
    };
    /// A frequency over the layers that is not there.
    Frequency {
        /// Which one.
        found: u32,
        /// Layers there are; their frequencies are 0 to half of that.
        layers: u32,
    };

    // -- gist (spec/gist.md)
    /// One side of a comparison carries no context (CONTEXT_V1), so that whether they belong together cannot be told.
    NoContext {
        /// Which side.
        field: &'static str,
    };
    /// A gist was not made from the ledger it is held against.
    ForeignSource {
        /// What does not agree.
        field: &'static str,
    };
    /// Gist tokens stand in more than one place of a text.
    SplitGists {
        /// Where the first run of them ends.
        end: u64,
        /// Where the next gist token stands.
        next: u64,
    };
    /// A text has no gist token.
    NoGists;
    /// A line of a file of samples, or of answers to them, that cannot be scored.
    SampleLine {
        /// Its line, from 1.
        line: u64,
        /// What is wrong.
        reason: &'static str,
    };
    /// A token that is no part of a text.
    TextToken {
        /// Its position, from 0.
        position: u64,
        /// The token.
        token: u32,
        /// What it is not.
        unit: &'static str,
    };
    /// A tensor that is neither keys nor values of a layer.
    ForeignTensor {
        /// Its name.
        name: Snippet,
    };
    /// Keys or values of a layer that are missing, or that are no part of a KV.
    LayerTensor {
        /// The layer, from 0.
        layer: u32,
        /// `key` or `value`.
        part: &'static str,
        /// What is wrong.
        reason: &'static str,
    };
    /// Keys or values of a layer that have another shape than the keys of layer 0.
    LayerShape {
        /// The layer, from 0.
        layer: u32,
        /// `key` or `value`.
        part: &'static str,
        /// Which dimension.
        field: &'static str,
        /// The keys of layer 0 have this.
        needed: u64,
        /// This tensor has this.
        found: u64,
    };
    /// Tensors hold more than one sequence, and nobody has said which is meant.
    BatchOpen {
        /// How many they hold.
        count: u64,
    };
    /// The JSON beside a gist's tensors is of no use.
    Sidecar {
        /// What is wrong.
        reason: &'static str,
    };
    /// The JSON beside a gist's tensors contradicts them.
    SidecarDiffers {
        /// The member.
        field: &'static str,
        /// What it says.
        sidecar: u64,
        /// What the tensors have.
        tensors: u64,
    };
    /// A position of a state blob that not exactly one cell holds.
    CellsOfPosition {
        /// The position.
        position: u32,
        /// How many cells hold it.
        cells: u64,
    };

    // -- safetensors files
    /// A safetensors file that is none.
    Safetensors {
        /// What is wrong.
        reason: &'static str,
    };
    /// A safetensors file has no tensor of the name asked for.
    UnknownTensor;
    /// A tensor of a safetensors file has another element type.
    TensorType {
        /// The types that would do.
        needed: &'static str,
        /// The type found, as the file spells it.
        found: Snippet,
    };

    // -- stream (spec/stream.md)
    /// A frame in a stream is longer than its reader takes, or says so.
    FrameTooLong {
        /// Bytes that it needs, or at least as many.
        needed: u64,
        /// Bytes that the reader takes.
        max: u64,
    };
    /// A frame in COBS ends within a run of bytes.
    Cobs;

    // -- token files
    /// A word of a text of tokens that is none.
    TokenText {
        /// Its line, from 1.
        line: u64,
        /// How many tokens came before it.
        position: u64,
        /// The word.
        found: Snippet,
    };
    /// A value of an array of tokens that is none.
    TokenValue {
        /// Its place, from 0.
        position: u64,
        /// The value, in digits.
        found: Snippet,
    };

    // -- writers and callers
    /// The caller's buffer is too small.
    BufferTooSmall {
        /// Bytes (or elements) needed.
        needed: u64,
        /// Bytes (or elements) there.
        available: u64,
    };
    /// An HMAC key outside 16 to 64 bytes.
    KeyLength {
        /// The length given, in bytes.
        found: u64,
    };
    /// An argument or a count over what the format can carry.
    TooLarge {
        /// Which one.
        field: &'static str,
        /// The most there can be.
        max: u64,
        /// The value given.
        found: u64,
    };
    /// An argument that makes no sense.
    Argument {
        /// Which one, and what it has to be.
        expected: &'static str,
    };
    /// A value of a matrix is NaN or infinite.
    NonFinite {
        /// Its row, from 0.
        row: u64,
        /// Its column, from 0.
        column: u64,
    };
    /// A row has another number of columns.
    RowLength {
        /// The row, from 0.
        row: u64,
        /// Columns needed.
        needed: u64,
        /// Columns given.
        found: u64,
    };
    /// The window has too few rows.
    WindowRows {
        /// The least it needs.
        needed: u64,
        /// The rows given.
        found: u64,
    };
    /// A window has another number of rows than was stated beforehand.
    RowCount {
        /// The number stated.
        stated: u64,
        /// The number given.
        found: u64,
    };
    /// Even the largest step, 2^32 - 1, saturates.
    StepRange;

    // -- NumPy files
    /// A .npy file that is none, or that holds something other than what was asked for.
    Npy {
        /// What is wrong.
        reason: &'static str,
    };
    /// The array has another element type.
    NpyType {
        /// The types that would do.
        needed: &'static str,
        /// The type found, as the file spells it.
        found: Snippet,
    };
    /// The array has another number of dimensions.
    NpyDims {
        /// What is needed.
        needed: &'static str,
        /// How many it has.
        found: u32,
    };
    /// A .npz archive that is none, or lacks what was asked for.
    Npz {
        /// What is wrong.
        reason: &'static str,
    };
    /// A covariance matrix whose halves differ by more than rounding explains.
    Asymmetric {
        /// The row of the upper of the two values, from 0.
        row: u64,
        /// Its column, from 0.
        column: u64,
    };
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { field, needed, available } => {
                write!(f, "truncated: {field} needs {needed} bytes, {available} are there")
            }
            Self::Size { field } => write!(f, "the size of {field} overflows 64 bits"),
            Self::TrailingBytes { count } => write!(f, "{count} bytes follow where the input should end"),
            Self::Magic { found: [b'B', b'I', b'T', version @ 0..=31] } => {
                write!(f, "a BIT frame of version {version}; known is version 1")
            }
            Self::Magic { .. } => write!(f, "not a BIT frame: the magic is not 42 49 54 01"),
            Self::TlvOrder { found, after } if found == after => write!(f, "TLV {found:02X} appears twice"),
            Self::TlvOrder { found, after } => {
                write!(f, "TLV {found:02X} after TLV {after:02X}: types must increase")
            }
            Self::ConfigNotFirst { found } => write!(f, "the first TLV is {found:02X}, not CONFIG_V1 (01)"),
            Self::CriticalTlv { found } => {
                write!(f, "unknown critical TLV {found:02X}: written by a newer version?")
            }
            Self::ReservedTlv { found } => write!(f, "TLV type {found:02X} is reserved"),
            Self::TlvLength { tlv, needed, found } => {
                write!(f, "TLV {tlv:02X} has {found} bytes where {needed} are needed")
            }
            Self::Crc { stored, computed } => {
                write!(f, "CRC-16 mismatch: the frame says {stored:04X}, its bytes give {computed:04X}")
            }
            Self::Reserved { field } => write!(f, "reserved field {field} is not zero"),
            Self::Element { found } => write!(f, "unknown element code {found}"),
            Self::DeltaQ16 { element: 1, .. } => write!(f, "delta_q16 is 0 with element i16"),
            Self::DeltaQ16 { element, found } => {
                write!(f, "delta_q16 is {found} with element code {element}, which has none")
            }
            Self::FlagBits { found } => {
                write!(f, "flags {found:08X} set a bit of 3 to 15, which are reserved")
            }
            Self::ValueVersion { tlv, found } => {
                write!(f, "TLV {tlv:02X} has value version {found:02X}, known is 01")
            }
            Self::Padding => write!(f, "PAD_V1 holds a byte that is not zero"),
            Self::ContextHash => write!(f, "CONTEXT_V1 does not hash to the frame's ctx"),
            Self::DigestMissing => write!(f, "DIGEST_V1 is missing, and mandatory for this frame"),
            Self::Digest => write!(f, "DIGEST_V1 does not match the frame"),
            Self::FlagsHmac { hmac: true } => write!(f, "HMAC_V1 is there but flag AUTHENTICATED is not set"),
            Self::FlagsHmac { hmac: false } => write!(f, "flag AUTHENTICATED is set but HMAC_V1 is missing"),
            Self::HmacMissing => write!(f, "a key was given, but the frame carries no HMAC_V1"),
            Self::Hmac => write!(f, "HMAC_V1 does not match: another key, or an altered frame"),
            Self::Kind { needed, found } => {
                write!(f, "the frame is of kind {found}, needed is kind {needed}")
            }
            Self::TlvMissing { tlv } => write!(f, "TLV {tlv:02X} is missing"),
            Self::ForeignTlv { tlv, kind } => write!(f, "TLV {tlv:02X} does not belong to kind {kind}"),
            Self::Shape { field, needed, found } => write!(f, "{field} is {found}, needed is {needed}"),
            Self::Code { field, found } => {
                write!(f, "{field} has the code {found}, which cannot stand there")
            }
            Self::Number { field } => write!(f, "{field} is not finite or out of range"),
            Self::Results { expected } => write!(f, "RESULTS_V1: expected {expected}"),
            Self::FlagsResults { flag } => write!(f, "flag {flag} does not agree with RESULTS_V1"),
            Self::Context { reason } => write!(f, "context: {reason}"),
            Self::TokenWidth { index, token, bits } => {
                write!(f, "token {token} (number {index}) does not fit {bits} bits")
            }
            Self::ProofMagic { found: [b'B', b'I', b'P', version @ 0..=31] } => {
                write!(f, "a proof file of version {version}; known is version 1")
            }
            Self::ProofMagic { .. } => write!(f, "not a proof file: the magic is not 42 49 50 01"),
            Self::ProofChunk { chunk_id, tree_size } => {
                write!(f, "the proof is for chunk {chunk_id} of {tree_size}; chunks count from 0")
            }
            Self::ProofSizes { old_size: 0, .. } => {
                write!(f, "the proof is from a ledger without chunks, which every ledger begins with")
            }
            Self::ProofSizes { old_size, new_size } => {
                write!(f, "the proof is from {old_size} chunks to {new_size}: a ledger does not shrink")
            }
            Self::ProofRoot { place } => {
                write!(f, "the proof does not lead to {place}: another tree, another chunk, or altered bytes")
            }
            Self::SpareBits => write!(f, "the spare bits after the last value are not 0"),
            Self::Order { field } => write!(f, "{field} is not over the one before"),
            Self::PastEnd { field, end, found } => {
                write!(f, "{field} reaches to {found}, past the end at {end}")
            }
            Self::Utf8 { field } => write!(f, "{field} is not UTF-8"),
            Self::Duplicate { field } => write!(f, "{field} is marked twice"),
            Self::MixedHmac => write!(f, "some chunks of the ledger are signed and some are not"),
            Self::PasskeyToken { position, expected, found } => {
                write!(f, "the token at position {position} is {found}, not {expected}")
            }
            Self::ForeignIndex { field } => {
                write!(f, "the index is not this ledger's: {field} does not agree")
            }
            Self::LedgerCut { covered, found } => write!(
                f,
                "the index covers {covered} bytes, the ledger has {found}: committed chunks are gone, or it is \
                 another ledger's index"
            ),
            Self::Unknown { field } => write!(f, "there is no {field} of that kind"),
            Self::ContextDiffers => write!(f, "the artefacts come from different contexts"),
            Self::TinyMindJson { reason } => write!(f, "not as TinyMind writes it: {reason}"),
            Self::TinyMindToken { index } => {
                write!(f, "token {index} of the chunk is not a whole number from 0 to 4294967295")
            }
            Self::TinyMindHash { place } => write!(f, "the SHA-256 in {place} does not match"),
            Self::StateVersion { found } => {
                write!(
                    f,
                    "version {found} of a state file is not known (9 and 10 are for sessions, 2 and 3 for sequences)"
                )
            }
            Self::StateArch { found } => write!(f, "\"{found}\" is not the name of the model's architecture"),
            Self::StateMemory { found } => {
                write!(
                    f,
                    "the memory of \"{found}\" cannot be walked without the model: it is not of keys and values alone"
                )
            }
            Self::Ambiguous { layouts } => {
                write!(
                    f,
                    "more than one layout fits ({layouts}): state the model's architecture or the layout"
                )
            }
            Self::Bool { field, found } => write!(f, "{field} is {found}, needed is 0 or 1"),
            Self::GgmlType { found, transposed } => {
                let which = if transposed { "transposed " } else { "" };
                write!(f, "a {which}tensor cannot have ggml type {found}")
            }
            Self::RowSize { found, block_size } => {
                write!(f, "a row of {found} bytes is not made of blocks of {block_size}")
            }
            Self::StreamsDiffer { field } => write!(f, "{field} is not that of the one before"),
            Self::NoTensorData => f.write_str("the blob has the headers of its tensors alone"),
            Self::HeadDim { width, head_dim } => {
                write!(f, "keys of {width} components are not made of heads of {head_dim}")
            }
            Self::BlockDims { found } => {
                let s = if found == 1 { "" } else { "s" };
                write!(
                    f,
                    "the array has {found} dimension{s}; blocks need two or more, the first counting them"
                )
            }
            Self::MasterDiffers { field } => {
                write!(f, "not for the master at hand: {field} differs")
            }
            Self::NoMaster => write!(f, "no master is registered"),
            Self::UnknownAgent => write!(f, "no agent is registered under that name"),
            Self::NotAligned => write!(
                f,
                "the agent has blocks of its own, or has missed a step; only one whose blocks stand where the master's do \
                 has a mirror"
            ),
            Self::OutOfMemory { needed } => write!(f, "{needed} bytes of memory are not to be had"),
            Self::FaissMagic { found } => {
                let found = Snippet::new(&found);
                write!(f, "not a flat FAISS index by inner product: it starts with {found}, not with IxFI")
            }
            Self::CertificateMagic { safetensors: true, .. } => {
                write!(f, "a safetensors file, not a certificate: engrams of both kinds are named .eng")
            }
            Self::CertificateMagic { .. } => {
                write!(f, "not an EIGENGRAM certificate: the magic is not 45 47 52 31")
            }
            Self::CertificateVersion { found } => {
                write!(f, "a certificate of version {found}; known is version 1")
            }
            Self::CertificateLength { found, header_99, header_107 } => write!(
                f,
                "the certificate has {found} bytes; its fields give {header_107} with a header of 107 bytes, and \
                 {header_99} with one of 99: cut, or followed by something"
            ),
            Self::CertificateText { field } => {
                write!(f, "{field} is not ASCII followed by nothing but zero bytes")
            }
            Self::NoLayers { start, end, layers } => {
                write!(f, "layers {start} to {end} (exclusive) are none of the {layers} layers there are")
            }
            Self::NonFiniteKey { layer, head, token, component } => write!(
                f,
                "layer {layer}, head {head}, token {token}: component {component} of the key is not finite"
            ),
            Self::Frequency { found, layers } => write!(
                f,
                "frequency {found} is not there: {layers} layers have the frequencies 0 to {}",
                layers / 2
            ),
            Self::NoContext { field } => {
                write!(
                    f,
                    "{field} carries no context (CONTEXT_V1), so nothing says that the model is the same"
                )
            }
            Self::ForeignSource { field } => {
                write!(f, "the gist was not made from this ledger: {field} does not agree")
            }
            Self::SplitGists { end, next } => write!(
                f,
                "the gist tokens do not stand together: the first run ends at position {end}, and at {next} is another"
            ),
            Self::NoGists => write!(f, "there is no gist token in the text"),
            Self::SampleLine { line, reason } => write!(f, "line {line}: {reason}"),
            Self::TextToken { position, token, unit } => {
                write!(
                    f,
                    "the token at position {position} is {token}, which is no {unit}: the tokens are no such text"
                )
            }
            Self::ForeignTensor { name } => write!(
                f,
                "the tensor '{name}' is none of a KV's, which are layer_0_key, layer_0_value, layer_1_key and so on"
            ),
            Self::LayerTensor { layer, part, reason } => write!(f, "layer_{layer}_{part} {reason}"),
            Self::LayerShape { layer, part, field, needed, found } => {
                write!(f, "layer_{layer}_{part} has {field} {found}, and layer_0_key has {needed}")
            }
            Self::BatchOpen { count } => {
                write!(f, "the tensors hold a batch of {count} sequences, and it is not said which to take")
            }
            Self::Sidecar { reason } => write!(f, "sidecar: {reason}"),
            Self::SidecarDiffers { field, sidecar, tensors } => {
                write!(f, "the sidecar says {field} {sidecar}, and the tensors have {tensors}")
            }
            Self::CellsOfPosition { position, cells: 0 } => write!(f, "no cell holds position {position}"),
            Self::CellsOfPosition { position, cells } => {
                write!(
                    f,
                    "position {position} is held by {cells} cells: of more than one sequence, or of an image"
                )
            }
            Self::Safetensors { reason } => write!(f, "safetensors: {reason}"),
            Self::UnknownTensor => write!(f, "the file has no tensor of that name"),
            Self::TensorType { needed, found } => {
                write!(f, "the tensor's type is {found}, needed is {needed}")
            }
            Self::TokenText { line, position, found } => {
                write!(
                    f,
                    "line {line}: token {position} is '{found}'; a whole number from 0 to 4294967295 is needed"
                )
            }
            Self::TokenValue { position, found } => {
                write!(f, "the value at position {position} is {found}; a token is from 0 to 4294967295")
            }
            Self::BufferTooSmall { needed, available } => {
                write!(f, "buffer too small: {needed} needed, {available} given")
            }
            Self::KeyLength { found } => write!(f, "the HMAC key has {found} bytes; 16 to 64 are needed"),
            Self::FrameTooLong { needed, max } => {
                write!(f, "a frame of {needed} bytes or more, the reader takes {max}")
            }
            Self::Cobs => write!(f, "the frame in COBS ends within a run"),
            Self::TooLarge { field, max, found } => {
                write!(f, "{field} is {found}, the largest possible is {max}")
            }
            Self::Argument { expected } => write!(f, "{expected}"),
            Self::NonFinite { row, column } => {
                write!(f, "the value at row {row}, column {column} is not finite")
            }
            Self::RowLength { row, needed, found } => {
                write!(f, "row {row} has {found} columns, needed are {needed}")
            }
            Self::WindowRows { needed, found } => {
                write!(f, "the window has {found} rows, at least {needed} are needed")
            }
            Self::RowCount { stated, found } => write!(f, "{stated} rows were stated, {found} came"),
            Self::StepRange => write!(f, "values too large: even delta_q16 = 4294967295 saturates"),
            Self::Npy { reason } => write!(f, ".npy: {reason}"),
            Self::NpyType { needed, found } => {
                write!(f, "the array's type is '{found}', needed is {needed}")
            }
            Self::NpyDims { needed, found } => {
                let s = if found == 1 { "" } else { "s" };
                write!(f, "the array has {found} dimension{s}, needed is {needed}")
            }
            Self::Npz { reason } => write!(f, ".npz: {reason}"),
            Self::Asymmetric { row, column } => write!(
                f,
                "the covariance matrix is not symmetric: the values at row {row}, column {column} and at row \
                 {column}, column {row} differ"
            ),
        }
    }
}
