//! 10,000 generated frames, and one hash over what is said of them: spec/README.md, "Accumulated".
//!
//! The frames are laid out here from that text, without the library's writers, so that they can be wrong in every way.

use bitwire::beacon::Beacon;
use bitwire::engram::index::Index as EngramIndex;
use bitwire::engram::whitening::Whitening;
use bitwire::frame::{Frame, Key, Kind, TlvType};
use bitwire::gist::GistView;
use bitwire::ledger::{Chunk, Index};
use bitwire::mirror::{Blocks, MirrorView};
use bitwire::{Error, frame::ContextHash};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Held, beacon_view, each, engram, gist, hex, ledger, mirror, whitening};

const KEY: core::ops::Range<u8> = 0x10..0x30;

/// SHA-256(u32(i) || u32(0)) || SHA-256(u32(i) || u32(1)) || ..., byte after byte.
struct Draws {
    number: u32,
    block: u32,
    left: Vec<u8>,
}

impl Draws {
    fn take(&mut self, n: usize) -> Vec<u8> {
        while self.left.len() < n {
            let block = [self.number.to_be_bytes(), self.block.to_be_bytes()].concat();
            self.left.extend(Sha256::digest(block));
            self.block += 1;
        }
        self.left.drain(..n).collect()
    }

    fn draw(&mut self, n: u32) -> u32 {
        let drawn = self.take(2);
        u32::from(u16::from_be_bytes([drawn[0], drawn[1]])) % n
    }

    fn any(&mut self) -> bool {
        self.draw(2) == 1
    }

    /// So many floats of `width` bytes that are finite; `top` is the byte with the sign.
    fn floats(&mut self, count: u32, width: usize, top: usize) -> Vec<u8> {
        let mut out = self.take(count as usize * width);
        out.iter_mut().skip(top).step_by(width).for_each(|byte| *byte &= 0xBF);
        out
    }
}

type Tlvs = Vec<(u8, Vec<u8>)>;

#[derive(Default)]
struct Content {
    element: u8,
    rows: u32,
    dim: u32,
    delta_q16: u32,
    payload: Vec<u8>,
    tlvs: Tlvs,
    flags: u32,
}

fn size(element: u8) -> u32 {
    match element {
        7 => 4,
        8 => 1,
        _ => 2,
    }
}

fn delta_q16(d: &mut Draws, element: u8) -> u32 {
    if element == 1 { 1 + d.draw(65536) } else { 0 }
}

fn beacon(d: &mut Draws) -> Content {
    let (rows, dim, delta_q16) = (1 + d.draw(2), 1 + d.draw(6), 1 + d.draw(65536));
    let payload = d.take((rows * dim * 2) as usize);
    let mut made = Content { element: 1, rows, dim, delta_q16, payload, ..Content::default() };
    if d.any() {
        let (sigma, has_mu, w, t0) = (d.draw(4), d.draw(2), d.draw(1000), d.draw(1000));
        let t1 = t0 + d.draw(1000);
        let mut value = vec![sigma as u8, has_mu as u8, 0, 0];
        value.extend(dim.to_be_bytes());
        for number in [w, t0, t1] {
            value.extend(f64::from(number).to_be_bytes());
        }
        value.extend(d.floats(dim * has_mu, 4, 0));
        value.extend(match sigma {
            0 => Vec::new(),
            1 => d.floats(1, 8, 0),
            2 => d.floats(dim, 4, 0),
            _ => d.floats(dim * (dim + 1) / 2, 4, 0),
        });
        made.tlvs.push((0x03, value));
    }
    if d.any() {
        let (sds, cos, norm, reference, threshold) =
            (d.draw(100), d.any(), d.draw(100), d.draw(3), d.draw(100));
        let (over, tr, w_mu, w_trs) = (d.any(), d.draw(100), d.draw(10), d.draw(10));
        let name = ["none", "baseline", "window-half"][reference as usize];
        let [sds_text, cos_text, norm_text] = match reference {
            0 => ["null"; 3].map(str::to_owned),
            _ => [sds.to_string(), if cos { "1" } else { "null" }.to_owned(), norm.to_string()],
        };
        let threshold_text = if over { format!("\"SDS\":{threshold}") } else { String::new() };
        let text = format!(
            r#"{{"SDS":{sds_text},"cos_mu":{cos_text},"norm_dmu":{norm_text},"reference":"{name}","thresholds":{{{threshold_text}}},"tr_Sigma":{tr},"weights":{{"mu":{w_mu},"trS":{w_trs}}}}}"#
        );
        made.tlvs.push((0x04, text.into_bytes()));
        made.flags |=
            u32::from(reference > 0 && over && sds >= threshold) << 1 | u32::from(reference == 1) << 2;
    }
    made
}

fn chunk(d: &mut Draws) -> Content {
    let (chunk_id, start, length) = (d.draw(1000), d.draw(65536), 1 + d.draw(20));
    let encoding = d.draw(3);
    let (element, dim, bits, payload) = match encoding {
        0 => (3, length, 0, d.take(length as usize * 2)),
        1 => (4, length, 0, d.take(length as usize * 4)),
        _ => {
            let bits = 1 + d.draw(32);
            let dim = (length * bits).div_ceil(8);
            let mut payload = d.take(dim as usize);
            *payload.last_mut().unwrap() &= 0xFF >> (8 * dim - length * bits);
            (2, dim, bits, payload)
        }
    };
    let mut value = Vec::new();
    value.extend(u64::from(chunk_id).to_be_bytes());
    value.extend(u64::from(start).to_be_bytes());
    value.extend(length.to_be_bytes());
    value.extend([(encoding / 2) as u8, bits as u8, 0, 0]);
    let mut tlvs = vec![(0x10, value)];
    if d.any() {
        let (passkey, span) = (d.draw(start + length), d.draw(start + length));
        let mut value = vec![0, 1, 0, 1];
        for number in [passkey, span, 1] {
            value.extend(u64::from(number).to_be_bytes());
        }
        value.extend([0, 1, b'n']);
        tlvs.push((0x81, value));
    }
    Content { element, rows: 1, dim, payload, tlvs, ..Content::default() }
}

fn index(d: &mut Draws) -> Content {
    let (count, length, stride) = (d.draw(4), 1 + d.draw(50), 1 + d.draw(3));
    let (total, anchors) = (count * length, count.div_ceil(stride));
    let mut payload = Vec::new();
    for i in 0..anchors {
        let first = i * stride;
        for number in [first, first * length, first * 108] {
            payload.extend(u64::from(number).to_le_bytes());
        }
        payload.extend(u64::from(length).to_le_bytes());
        payload.extend(d.take(8));
    }
    let passkeys = u32::from(total > 0 && d.any());
    if passkeys == 1 {
        let position = d.draw(total);
        payload.extend(u64::from(position).to_le_bytes());
        payload.extend(u64::from(position / length).to_le_bytes());
        payload.extend((position % length).to_le_bytes());
        payload.extend(d.draw(65536).to_le_bytes());
    }
    let spans = u32::from(total > 0 && d.any());
    if spans == 1 {
        payload.extend(u64::from(d.draw(total)).to_le_bytes());
        payload.extend(1_u64.to_le_bytes());
        payload.extend([0, 0, 0, 0, 1, 0, 0, 0, b'n']);
    }
    let mut value = Vec::new();
    for number in [total, count, count * 108] {
        value.extend(u64::from(number).to_be_bytes());
    }
    for number in [if count > 0 { length } else { 0 }, stride, anchors, passkeys, spans, spans] {
        value.extend(number.to_be_bytes());
    }
    value.extend(d.take(32));
    value.extend([0; 8]);
    Content { payload, tlvs: vec![(0x11, value)], ..Content::default() }
}

fn mirror(d: &mut Draws) -> Content {
    let (total, dim, threshold) = (1 + d.draw(8), 1 + d.draw(4), d.draw(10));
    // Mode, element of the master, element of the values.
    let (mode, master, element) = [
        (0, 1, 1),
        (0, 5, 5),
        (0, 6, 6),
        (0, 7, 7),
        (1, 5, 5),
        (1, 6, 6),
        (1, 7, 7),
        (1, 5, 1),
        (1, 6, 1),
        (1, 7, 1),
    ][d.draw(10) as usize];
    let delta_q16 = delta_q16(d, element);
    let indices: Vec<u32> = (0..total).filter(|_| d.any()).collect();
    let rows = indices.len() as u32;
    let mut payload: Vec<u8> = indices.into_iter().flat_map(u32::to_le_bytes).collect();
    payload.extend(d.take((rows * dim * size(element)) as usize));
    let mut value = total.to_be_bytes().to_vec();
    value.extend([mode, master, 0, 0]);
    value.extend(f64::from(threshold).to_be_bytes());
    value.extend(d.take(32));
    Content { element, rows, dim, delta_q16, payload, tlvs: vec![(0x12, value)], ..Content::default() }
}

fn engram_index(d: &mut Draws) -> Content {
    let element = [1, 5, 7, 8, 9][d.draw(5) as usize];
    let (dim, entries, metric, method) = (1 + d.draw(9), d.draw(3), d.draw(3), d.draw(8));
    let per = if metric == 2 { 1 + d.draw(2) } else { 1 };
    let delta_q16 = delta_q16(d, element);
    let rows = entries * per;
    let mut payload;
    if element == 9 {
        let row = dim.div_ceil(8);
        payload = d.take((rows * row) as usize);
        let last = row as usize - 1;
        payload.iter_mut().skip(last).step_by(row as usize).for_each(|byte| *byte &= 0xFF >> (8 * row - dim));
    } else {
        payload = d.take((rows * dim * size(element)) as usize);
    }
    if element == 8 {
        let mut scales = d.take(4 * rows as usize);
        scales.iter_mut().skip(3).step_by(4).for_each(|byte| *byte &= 0x3F);
        payload.extend(scales);
    }
    let strings = &b"bitwire"[..d.draw(8) as usize];
    for _ in 0..entries {
        payload.extend(d.floats(1, 4, 3));
        payload.extend(d.take(12));
        for _ in 0..3 {
            let first = d.draw(strings.len() as u32 + 1);
            payload.extend(first.to_le_bytes());
            payload.extend(d.draw(strings.len() as u32 - first + 1).to_le_bytes());
        }
    }
    payload.extend(strings);
    let mut value = vec![metric as u8, method as u8, 0, per as u8, 0, 0, 0, strings.len() as u8];
    value.extend(d.take(8));
    value.extend([0; 8]);
    Content { element, rows, dim, delta_q16, payload, tlvs: vec![(0x14, value)], ..Content::default() }
}

fn gist(d: &mut Draws) -> Content {
    let element = [1, 5, 6, 7][d.draw(4) as usize];
    let shape = [1 + d.draw(2), 1 + d.draw(2), 1 + d.draw(2), 1 + d.draw(3)];
    let delta_q16 = delta_q16(d, element);
    let (rows, dim) = (2 * shape[0] * shape[1] * shape[2], shape[3]);
    let mut value: Vec<u8> = shape.into_iter().flat_map(u32::to_be_bytes).collect();
    value.extend(u64::from(d.draw(65536)).to_be_bytes());
    value.extend(d.take(32));
    let mut tlvs = vec![(0x13, value)];
    if d.any() {
        tlvs.push((0x82, b"{}".to_vec()));
    }
    let payload = d.take((rows * dim * size(element)) as usize);
    Content { element, rows, dim, delta_q16, payload, tlvs, flags: 0 }
}

fn blocks(d: &mut Draws) -> Content {
    let element = [1, 5, 6, 7][d.draw(4) as usize];
    let (rows, dim) = (1 + d.draw(5), 1 + d.draw(6));
    let delta_q16 = delta_q16(d, element);
    let payload = d.take((rows * dim * size(element)) as usize);
    Content { element, rows, dim, delta_q16, payload, ..Content::default() }
}

fn whitening(d: &mut Draws) -> Content {
    let (rows, dim) = (2 + d.draw(3), 1 + d.draw(5));
    Content { element: 7, rows, dim, payload: d.floats(rows * dim, 4, 3), ..Content::default() }
}

/// By RFC 2104; the key is shorter than a block.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let padded = |with: u8| -> Vec<u8> { (0..64).map(|i| key.get(i).copied().unwrap_or(0) ^ with).collect() };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5C)).chain_update(inner).finalize().to_vec()
}

fn crc16(bytes: &[u8]) -> [u8; 2] {
    let mut crc = 0xFFFF_u16;
    for byte in bytes {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 != 0 { crc << 1 ^ 0x1021 } else { crc << 1 };
        }
    }
    crc.to_be_bytes()
}

fn without(tlvs: &Tlvs, types: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (tlv_type, value) in tlvs.iter().filter(|(tlv_type, _)| !types.contains(tlv_type)) {
        out.push(*tlv_type);
        out.extend((value.len() as u16).to_be_bytes());
        out.extend(value);
    }
    out
}

fn generated(number: u32) -> Vec<u8> {
    let d = &mut Draws { number, block: 0, left: Vec::new() };
    let kind = number % 8;
    let Content { element, rows, dim, delta_q16, mut payload, mut tlvs, mut flags } = match kind {
        0 => beacon(d),
        1 => chunk(d),
        2 => index(d),
        3 => mirror(d),
        4 => engram_index(d),
        5 => gist(d),
        6 => blocks(d),
        _ => whitening(d),
    };
    let ctx = if d.draw(4) > 0 {
        let dim = if matches!(kind, 1 | 2) { 0 } else { dim };
        let json = format!(r#"{{"dim":{dim},"model_id":"","pi_id":"","space_id":""}}"#).into_bytes();
        let ctx = ContextHash::of(&json).0.to_vec();
        tlvs.push((0x80, json));
        ctx
    } else {
        d.take(8)
    };
    if d.draw(8) == 0 {
        let tlv_type = 0x90 + d.draw(16) as u8;
        let len = d.draw(5);
        tlvs.push((tlv_type, d.take(len as usize)));
    }
    let no_hash = vec![0; 33];
    let digest = d.draw(3) == 0 || kind == 1;
    if digest {
        tlvs.push((0xF0, no_hash.clone()));
    }
    let signed = d.draw(4) == 0;
    if signed {
        tlvs.push((0xF1, no_hash.clone()));
        flags |= 1;
    }
    if d.draw(4) == 0 {
        tlvs.push((0xFE, vec![0; d.draw(9) as usize]));
    }
    let mut config = vec![kind as u8, element, 0, 0];
    for field in [rows, dim, delta_q16] {
        config.extend(field.to_be_bytes());
    }
    config.extend((payload.len() as u64).to_be_bytes());
    tlvs.extend([(0x01, config), (0x02, flags.to_be_bytes().to_vec()), (0xFF, Vec::new())]);
    tlvs.sort_by_key(|(tlv_type, _)| *tlv_type);

    let change = d.draw(12);
    if (5..=8).contains(&change) {
        let outside = [0x02, 0x80, 0xF0, 0xF1, 0xFE];
        let values = tlvs.iter_mut().filter(|(tlv_type, _)| !outside.contains(tlv_type));
        let parts = values.map(|(_, value)| value).chain([&mut payload]);
        let mut parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
        let which = d.draw(parts.len() as u32) as usize;
        let at = d.draw(parts[which].len() as u32) as usize;
        let byte = &mut parts[which][at];
        *byte = if change < 7 {
            *byte ^ 1 << d.draw(8)
        } else {
            [0x00, 0x01, 0x7F, 0x80, 0xFF][d.draw(5) as usize]
        };
    }
    if change == 9 {
        let len = tlvs.len() as u32;
        match d.draw(4) {
            0 => drop(tlvs.remove(d.draw(len) as usize)),
            1 => {
                let at = d.draw(len) as usize;
                tlvs.insert(at, tlvs[at].clone());
            }
            2 => {
                let at = d.draw(len - 1) as usize;
                tlvs.swap(at, at + 1);
            }
            _ => {
                let (at, tlv_type, len) = (d.draw(len) as usize, d.draw(256) as u8, d.draw(4));
                tlvs.insert(at, (tlv_type, d.take(len as usize)));
            }
        }
    }
    let put = |tlvs: &mut Tlvs, tlv_type: u8, hash: Vec<u8>| {
        let value = [vec![1], hash].concat();
        let hashes = tlvs.iter_mut().filter(|tlv| tlv.0 == tlv_type && tlv.1 == no_hash);
        hashes.for_each(|tlv| tlv.1.clone_from(&value));
    };
    if digest {
        let covered = [&ctx[..], &without(&tlvs, &[0xF0, 0xF1, 0xFE, 0xFF]), &payload].concat();
        put(&mut tlvs, 0xF0, Sha256::digest(covered).to_vec());
    }
    if signed {
        let covered = [&ctx[..], &without(&tlvs, &[0xF1, 0xFF]), &payload].concat();
        put(&mut tlvs, 0xF1, hmac(&KEY.collect::<Vec<_>>(), &covered));
    }
    let mut frame = [b"BIT\x01", &ctx[..], &without(&tlvs, &[]), &payload].concat();
    frame.extend(crc16(&frame[4..]));
    let len = frame.len();
    if change == 10 {
        for _ in 0..1 + d.draw(3) {
            let at = d.draw(len as u32) as usize;
            frame[at] ^= 1 << d.draw(8);
        }
    }
    if change == 11 {
        match d.draw(3) {
            0 => frame.truncate(d.draw(len as u32) as usize),
            1 => {
                let more = 1 + d.draw(4);
                frame.extend(d.take(more as usize));
            }
            _ => {
                let at = 4 + d.draw(len as u32 - 6) as usize;
                frame[at] = d.draw(256) as u8;
                let crc = crc16(&frame[4..len - 2]);
                frame[len - 2..].copy_from_slice(&crc);
            }
        }
    }
    frame
}

fn text_hex(text: &Value) -> Value {
    text.as_str().map_or(Value::Null, |text| hex(text.as_bytes()).into())
}

fn shown(value: &Value) -> String {
    let list = |values: &[Value], between| values.iter().map(shown).collect::<Vec<_>>().join(between);
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        Value::Array(values) if values[0].is_array() => {
            values.iter().map(|each| list(each.as_array().unwrap(), ":")).collect::<Vec<_>>().join(",")
        }
        Value::Array(values) => list(values, ","),
        value => value.to_string(),
    }
}

fn named(view: &Value, names: &str) -> Vec<Value> {
    let spans = |spans: &Value| {
        let span = |span: &Value| json!([text_hex(&span[0]), span[1], span[2]]);
        spans.as_array().unwrap().iter().map(span).collect()
    };
    let value = |name| if name == "spans" { spans(&view[name]) } else { view[name].clone() };
    names.split(' ').map(value).collect()
}

fn values(frame: &Frame<'_>, bytes: &[u8]) -> Result<Vec<Value>, Error> {
    Ok(match frame.kind() {
        Kind::BEACON => {
            let view = beacon_view(&Beacon::from_frame(frame)?);
            let mut values = named(&view, "rows dim delta_q16 flags q");
            values.extend(named(&view["calib"], "sigma_kind sigma"));
            values.extend(named(&view["results"], "reference SDS"));
            values
        }
        Kind::LEDGER_CHUNK => named(
            &ledger::chunk_view(&Chunk::parse_exact(bytes)?),
            "chunk_id start length encoding bits element tokens passkeys spans",
        ),
        Kind::LEDGER_INDEX => named(
            &ledger::index_view(&Index::parse_exact(bytes)?),
            "total_tokens chunk_count ledger_len chunk_tokens anchor_stride names_len anchors passkeys spans",
        ),
        Kind::MIRROR => named(
            &mirror::mirror_view(&MirrorView::parse_exact(bytes)?),
            "total_blocks dim mode master_element element delta_q16 threshold indices",
        ),
        Kind::ENGRAM_INDEX => {
            let view = engram::index_view(&EngramIndex::parse_exact(bytes)?);
            let mut values = named(&view, "element rows dim delta_q16 metric method vectors_per_entry");
            let entry = |entry: &Value| {
                let texts = ["cache_id", "task_description", "model_id"].map(|name| text_hex(&entry[name]));
                Value::from([named(entry, "l2_norm context_len created_at"), texts.to_vec()].concat())
            };
            values.push(view["entries"].as_array().unwrap().iter().map(entry).collect());
            values
        }
        Kind::GIST => {
            let view = gist::gist_view(&GistView::parse_exact(bytes)?);
            let mut values =
                named(&view, "element delta_q16 n_layers n_kv_heads n_gist head_dim source_tokens");
            values.push(text_hex(&view["metadata"]));
            values
        }
        Kind::BLOCKS => {
            named(&mirror::blocks_view(&Blocks::from_frame(frame)?), "element rows dim delta_q16")
        }
        Kind::WHITENING => {
            named(&whitening::whitening_view(&Whitening::from_frame(frame)?), "inputs outputs")
        }
        _ => Vec::new(),
    })
}

fn line(number: u32, bytes: &[u8], key: &Key) -> String {
    let read = || {
        let frame = Frame::parse_exact(bytes)?;
        if frame.tlv(TlvType::HMAC).is_some() {
            frame.verify(key)?;
        }
        let values: Vec<String> = values(&frame, bytes)?.iter().map(shown).collect();
        let head = format!("{number} accept {} {}", frame.kind().0, frame.routing_key());
        Ok([&[head][..], &values].concat().join(" "))
    };
    read()
        .unwrap_or_else(|error: Error| format!("{number} reject {} {}", error.kind().name(), error.offset()))
}

#[cfg_attr(test, test)]
pub(crate) fn accumulated() -> Held {
    let key = Key::new(&KEY.collect::<Vec<_>>()).unwrap();
    each("accumulated.json", 3, |case| {
        let (mut frames, mut lines, mut accepted, mut rejected) = (Sha256::new(), Sha256::new(), 0, 0);
        let mut said = Vec::new();
        for number in 0..case["count"].as_u64().unwrap() as u32 {
            let bytes = generated(number);
            frames.update((bytes.len() as u32).to_be_bytes());
            frames.update(&bytes);
            let line = line(number, &bytes, &key);
            lines.update(&line);
            lines.update(b"\n");
            *(if line.contains(" accept ") { &mut accepted } else { &mut rejected }) += 1;
            said.push(line);
        }
        let mut found = json!({
            "accepted": accepted,
            "rejected": rejected,
            "frames_sha256": hex(&frames.finalize()),
            "lines_sha256": hex(&lines.finalize()),
        });
        if said.len() == 10 {
            found["lines"] = said.into();
        }
        super::hold(case, Ok(found));
    })
}
