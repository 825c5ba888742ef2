//! Blocks, mirrors, what a writer leaves out, and the agent that a reader makes.

use bitwire::beacon::mu16::Step;
use bitwire::frame::{ContextHash, Frame, TlvType};
use bitwire::mirror::{Blocks, DiffOptions, Master, MirrorView, Mode, Scalar, Shape};
use bitwire::{Error, ErrorKind};
use serde_json::{Value, json};
use sha2::Digest as _;

use super::{Held, each, f64_hex, from_hex, hex, hold, note};

pub(super) fn blocks_view(blocks: &Blocks<'_>) -> Value {
    let shape = blocks.shape();
    let one_by_one: Vec<u8> =
        (0..shape.rows()).flat_map(|index| blocks.block(index).unwrap().to_vec()).collect();
    assert_eq!(one_by_one, blocks.as_bytes());
    json!({
        "element": shape.scalar().element().code(),
        "rows": shape.rows(),
        "dim": shape.dim(),
        "delta_q16": shape.scalar().delta_q16(),
        "elements": hex(blocks.as_bytes()),
        "digest": hex(&sha2::Sha256::digest(blocks.as_bytes())),
    })
}

pub(super) fn mirror_view(mirror: &MirrorView<'_>) -> Value {
    let config = mirror.frame().config();
    let mode = match mirror.mode() {
        Mode::Replace => "replace",
        Mode::Add => "add",
        Mode::AddMu16(step) => {
            assert_eq!(step.get(), config.delta_q16);
            "add"
        }
    };
    // A master that is said to be larger than memory has no shape here.
    let master_element = mirror.frame().tlv(TlvType::MIRROR).unwrap().value[5];
    match mirror.master_shape() {
        Ok(shape) => {
            assert_eq!(shape.scalar().element().code(), master_element);
            assert_eq!((shape.rows(), shape.dim()), (mirror.total_blocks(), mirror.dim()));
        }
        Err(error) => assert!(matches!(error.kind(), ErrorKind::TooLarge { .. }), "{error}"),
    }
    assert_eq!(mirror.values().len(), mirror.difference_blocks() as usize);
    json!({
        "total_blocks": mirror.total_blocks(),
        "dim": mirror.dim(),
        "mode": mode,
        "master_element": master_element,
        "element": config.element.code(),
        "delta_q16": config.delta_q16,
        "threshold": f64_hex(mirror.threshold()),
        "master_digest": hex(mirror.master_digest()),
        "indices": mirror.values().map(|(index, _)| index).collect::<Vec<_>>(),
        "values": mirror.values().map(|(_, value)| hex(value)).collect::<String>(),
    })
}

fn scalar(element: &Value, delta_q16: &Value) -> Scalar {
    match element.as_u64().unwrap() {
        1 => Scalar::Mu16(Step::new(delta_q16.as_u64().unwrap() as u32).unwrap()),
        5 => Scalar::F16,
        6 => Scalar::Bf16,
        7 => Scalar::F32,
        element => panic!("{element}"),
    }
}

/// Everything that a writer makes of the case; what is read back from its frame is the payload.
fn diff(case: &Value) -> Result<Value, Error> {
    let (m, a) = (from_hex(case["master"].as_str().unwrap()), from_hex(case["agent"].as_str().unwrap()));
    let scalar_of = |element, delta| scalar(&case[element], &case[delta]);
    let own = scalar_of("element", "delta_q16");
    let values = scalar_of("value_element", "value_delta_q16");
    let dim = case["dim"].as_u64().unwrap() as u32;
    let shape = Shape::new(own, (m.len() / own.size()) as u32 / dim, dim).unwrap();
    let mode = match (case["mode"].as_str().unwrap(), values) {
        ("replace", _) => Mode::Replace,
        ("add", Scalar::Mu16(step)) => Mode::AddMu16(step),
        ("add", _) => Mode::Add,
        (mode, _) => panic!("{mode}"),
    };
    let threshold = f64::from_be_bytes(from_hex(case["threshold"].as_str().unwrap()).try_into().unwrap());
    let options = DiffOptions { mode, threshold };
    let master = Master::new(Blocks::new(shape, &m).unwrap(), ContextHash([7; 8]));
    let agent = Blocks::new(shape, &a).unwrap();

    let mut payload = Vec::new();
    let diff = master.diff_to_vec(&agent, options, &mut payload)?;
    let mut buffer = vec![0xAA; diff.payload().len()];
    let again = master.diff_into(&agent, options, &mut buffer).unwrap();
    assert_eq!((again.payload(), again.saturated()), (diff.payload(), diff.saturated()), "{}", case["id"]);

    let frame = diff.to_frame().unwrap().encode().unwrap();
    let view = MirrorView::parse_exact(&frame).unwrap();
    let indices: Vec<u32> = view.values().map(|(index, _)| index).collect();
    assert_eq!(view.frame().payload(), diff.payload());
    // -0 is written as 0.
    assert_eq!(f64_hex(view.threshold()), f64_hex(threshold + 0.0));
    assert_eq!((view.mode(), view.difference_blocks()), (mode, diff.difference_blocks()));
    let mut made = vec![0; a.len()];
    view.apply(&master, &mut made).unwrap();
    let block =
        |bytes: &[u8], index: u32| bytes[index as usize * shape.block_len()..][..shape.block_len()].to_vec();
    for index in 0..shape.rows() {
        if !indices.contains(&index) {
            assert_eq!(block(&made, index), block(&m, index), "{}", case["id"]);
        } else if mode == Mode::Replace {
            assert_eq!(block(&made, index), block(&a, index), "{}", case["id"]);
        }
    }
    Ok(json!({ "indices": indices, "payload": hex(diff.payload()), "saturated": diff.saturated() }))
}

/// The agent in one piece, which has to be that of all its blocks made one by one.
fn apply(mirror: &[u8], master: &[u8]) -> Result<Value, Error> {
    let master = Master::from_frame(&Frame::parse_exact(master)?)?;
    let mirror = MirrorView::parse_exact(mirror)?;
    let shape = master.blocks().shape();
    let mut agent = vec![0xAA; shape.len()];
    let applied = mirror.apply(&master, &mut agent);
    let mut block = vec![0xAA; shape.block_len()];
    for index in 0..shape.rows() {
        assert_eq!(mirror.block_into(&master, index, &mut block), applied);
        if applied.is_ok() {
            assert_eq!(block, agent[index as usize * block.len()..][..block.len()]);
        }
    }
    if applied.is_err() {
        assert!(agent.iter().chain(&block).all(|byte| *byte == 0xAA));
    }
    applied.map(|()| json!({ "agent": hex(&agent) }))
}

#[cfg_attr(test, test)]
pub(crate) fn mirrors() -> Held {
    each("mirror.json", 800, |case| {
        let input = |name: &str| from_hex(case[name].as_str().unwrap());
        match case["view"].as_str().unwrap() {
            "blocks" => {
                let bytes = input("hex");
                let frame = Frame::parse_exact(&bytes);
                hold(case, frame.and_then(|frame| Ok(blocks_view(&Blocks::from_frame(&frame)?))));
            }
            "mirror" => hold(case, MirrorView::parse_exact(&input("hex")).map(|mirror| mirror_view(&mirror))),
            "diff" => match diff(case) {
                Err(error) => {
                    note(case, &Err(error));
                    let ErrorKind::NonFinite { row, column } = error.kind() else {
                        panic!("{}: {error}", case["id"]);
                    };
                    let found = json!({ "kind": "NonFinite", "row": row, "column": column });
                    assert_eq!(found, case["error"], "{}", case["id"]);
                }
                found => hold(case, found),
            },
            "apply" => hold(case, apply(&input("hex"), &input("master_hex"))),
            view => panic!("{view}"),
        }
    })
}
