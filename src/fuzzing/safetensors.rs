//! safetensors files, against the crate of that name.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use safetensors::SafeTensors;

use super::mend::fit_data;
use super::plausible;
use crate::beacon::mu16::Step;
use crate::error::{Error, ErrorKind};
use crate::io::Cause;
use crate::io::safetensors::TensorFile;
use crate::mirror::{BlockSource, Scalar};

/// What the crate of that name accepts and [`TensorFile`] refuses, with the reason: the format's documents ask for all of
/// it. Of two members of one name JSON readers take the first, or the last, so that two people see different tensors.
const STRICTER: [&str; 4] = [
    "the header does not start with {",
    "__metadata__ comes twice",
    "two tensors have the same name",
    "a key of __metadata__ comes twice",
];

/// [`TensorFile`]: from a stream as from memory, the tensors cover the data once and are those that the crate
/// sees, and what the crate writes of them is read as the same. The crate refuses what is refused here, but for
/// four things that the format forbids.
pub fn safetensors(data: &[u8]) {
    let mut bytes = data.to_vec();
    for _ in 0..4 {
        let Err(error) = check(&bytes) else { return };
        plausible(&error, bytes.len());
        if mend(&mut bytes, error).is_none() {
            return;
        }
    }
}

fn check(bytes: &[u8]) -> Result<(), Error> {
    let read = TensorFile::read(bytes).map_err(|cause| match cause {
        Cause::Format(error) => error,
        other => panic!("{other:?}"),
    });
    let file = match TensorFile::parse(bytes) {
        Ok(file) => file,
        Err(error) => {
            let again = read.unwrap_err();
            assert_eq!(again.offset(), error.offset());
            assert_eq!(again.kind().name(), error.kind().name());
            let stricter =
                matches!(error.kind(), ErrorKind::Safetensors { reason } if STRICTER.contains(&reason));
            // The crate (0.8.0) adds the data's length to the header's without a check, and panics where sums are checked.
            let beyond = matches!(error.kind(), ErrorKind::Truncated { needed, .. } if needed.checked_add(error.offset()).is_none());
            assert!(
                stricter || beyond || SafeTensors::deserialize(bytes).is_err(),
                "the crate accepts it: {error}"
            );
            return Err(error);
        }
    };
    same(&file, &read.unwrap());

    let mut at = bytes.len() - file.tensors().map(|tensor| tensor.as_bytes().len()).sum::<usize>();
    for tensor in file.tensors() {
        let data = tensor.as_bytes();
        assert_eq!(data.as_ptr_range().start, bytes[at..].as_ptr_range().start);
        at += data.len();
        blocks(&file, tensor.name());
    }
    assert_eq!(at, bytes.len());

    // The crate has read the same; its answer would be the last of two tensors of one name, which are refused
    // here.
    let theirs = SafeTensors::deserialize(bytes).unwrap();
    assert_eq!(theirs.len(), file.len());
    for tensor in file.tensors() {
        let their = theirs.tensor(tensor.name()).unwrap();
        let dims: Vec<u64> = their.shape().iter().map(|&dim| dim as u64).collect();
        assert_eq!((their.data(), &dims[..]), (tensor.as_bytes(), tensor.dims()));
    }
    // Of no texts and no tensors the crate makes text that is no JSON.
    let metadata = (!file.metadata().is_empty()).then(|| file.metadata().clone().into_iter().collect());
    let named = theirs.iter().map(|(name, view)| (String::from(name), view));
    let written = safetensors::serialize(named, metadata).unwrap();
    same(&file, &TensorFile::parse(&written[..]).unwrap());
    Ok(())
}

fn same<A: AsRef<[u8]>, B: AsRef<[u8]>>(one: &TensorFile<A>, other: &TensorFile<B>) {
    let tensors: BTreeMap<_, _> = one.tensors().map(|tensor| (tensor.name(), tensor)).collect();
    assert_eq!(tensors.len(), one.len(), "each name once");
    assert_eq!(other.len(), one.len());
    assert_eq!(other.metadata(), one.metadata());
    for name in other.names() {
        let (one, other) = (tensors[name], other.tensor(name).unwrap());
        assert_eq!((one.dtype(), one.dims()), (other.dtype(), other.dims()));
        assert_eq!(one.as_bytes(), other.as_bytes());
    }
}

fn blocks<B: AsRef<[u8]>>(file: &TensorFile<B>, name: &str) {
    let tensor = file.tensor(name).unwrap();
    let unnamed = tensor.blocks(None);
    let mut accepted = 0;
    for scalar in [Scalar::F32, Scalar::F16, Scalar::Bf16, Scalar::Mu16(Step::new(1).unwrap())] {
        let Ok(blocks) = tensor.blocks(Some(scalar)) else { continue };
        accepted += 1;
        assert_eq!(unnamed.is_ok(), !matches!(scalar, Scalar::Mu16(_)));
        assert_eq!(blocks.borrowed(), Some(blocks));
        assert_eq!(blocks.as_bytes(), tensor.as_bytes());
        let [rows, block @ ..] = tensor.dims() else { panic!("blocks of a single value") };
        assert_eq!(u64::from(blocks.shape().rows()), *rows);
        assert_eq!(u64::from(blocks.shape().dim()), block.iter().product::<u64>());
    }
    assert!(accepted <= 1, "one tensor is blocks of two types");
}

/// Gives the header and the data the lengths that the error asks for.
pub(super) fn mend(bytes: &mut Vec<u8>, error: Error) -> Option<()> {
    match error.kind() {
        ErrorKind::Truncated { field: "the tensors' data", .. } | ErrorKind::TrailingBytes { .. } => {
            fit_data(bytes, &error)?;
        }
        // Up to the last brace: the object may be whole.
        _ => {
            let end = bytes.get(8..)?.iter().rposition(|&byte| byte == b'}')? as u64 + 1;
            if bytes[..8] == end.to_le_bytes() {
                return None;
            }
            bytes[..8].copy_from_slice(&end.to_le_bytes());
        }
    }
    Some(())
}
