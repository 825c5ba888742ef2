//! SCL archives.

use alloc::vec::Vec;
use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{Choices, printable, turn};
use crate::beacon::{Scl, StepChoice};
use crate::frame::{Context, Frame};
use crate::io::npy::{write_array_f32, write_array_f64};
use crate::io::npz::{read_scl, write_scl};

/// [`read_scl`], on the bytes as they are and on an archive made of them; what it accepts is written again and read as the
/// same.
pub fn npz(data: &[u8]) {
    round_trip(data);
    round_trip(&archive(data));
}

fn round_trip(bytes: &[u8]) {
    let scl = match read_scl(Cursor::new(bytes)) {
        Ok(scl) => scl,
        Err(cause) => return printable(&cause),
    };
    scl.check().unwrap();
    let mut file = Vec::new();
    write_scl(&mut file, &scl).unwrap();
    let again = read_scl(Cursor::new(&file)).unwrap();
    assert_eq!(bits(&again), bits(&scl));
    let mut file_again = Vec::new();
    write_scl(&mut file_again, &again).unwrap();
    assert_eq!(file, file_again);

    if scl.dim() <= 64 {
        let context = Context::new("", "", "", u32::try_from(scl.dim()).unwrap()).unwrap();
        // Values beyond f32 and a trace beyond f64 cannot be carried; what can be carried can be read.
        if let Ok(encoded) = scl.to_measured(None).and_then(|scl| scl.encode(&context, StepChoice::Auto)) {
            Frame::parse_exact(&encoded.frame).unwrap().check_content().unwrap();
        }
    }
}

fn bits(scl: &Scl) -> Vec<u64> {
    let numbers = [scl.w, scl.t0, scl.t1];
    numbers.iter().chain(&scl.mu).chain(&scl.sigma).map(|x| x.to_bits()).collect()
}

/// A good zip archive whose members are made of `data`: raw bytes, or arrays that are nearly right.
fn archive(data: &[u8]) -> Vec<u8> {
    let mut choices = Choices(data);
    // To deflate takes longer than all the rest.
    let is_deflated = turn(data, 8);
    let dim = choices.below(6);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (i, name) in ["mu.npy", "Sigma.npy", "W.npy", "t0.npy", "t1.npy"].into_iter().enumerate() {
        let kind = choices.byte();
        if kind == 0xFF {
            continue;
        }
        let method = if is_deflated && kind & 1 == 1 {
            CompressionMethod::Deflated
        } else {
            CompressionMethod::Stored
        };
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(name, options).unwrap();
        let shape: &[u64] = match i {
            0 => &[dim as u64],
            1 => &[dim as u64, dim as u64],
            _ => &[],
        };
        let len = shape.iter().product::<u64>() as usize;
        let mut member = Vec::new();
        match kind >> 1 & 3 {
            0 => {
                let len = choices.below(400);
                member.extend_from_slice(choices.bytes(len));
            }
            1 => {
                let values: Vec<f32> = (0..len).map(|_| f32::from_le_bytes(choices.array())).collect();
                write_array_f32(&mut member, shape, &values).unwrap();
            }
            2 => {
                let values: Vec<f64> = (0..len).map(|_| choices.f64()).collect();
                write_array_f64(&mut member, shape, &values).unwrap();
            }
            _ => {
                // Symmetric: the row's number times the column's.
                let values: Vec<f64> = (0..len).map(|i| (i / dim.max(1) * (i % dim.max(1))) as f64).collect();
                write_array_f64(&mut member, shape, &values).unwrap();
            }
        }
        if kind & 0x80 != 0 && !member.is_empty() {
            let at = choices.below(member.len());
            member[at] = choices.byte();
        }
        zip.write_all(&member).unwrap();
    }
    let mut bytes = zip.finish().unwrap().into_inner();
    for _ in 0..choices.byte() % 4 {
        let at = choices.below(bytes.len());
        bytes[at] = choices.byte();
    }
    bytes
}
