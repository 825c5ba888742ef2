//! "State blobs" of spec/engram.md as plainly as it can be put: a second reader, slow, that allocates what it reads and
//! shares no code with the first.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};

use half::{bf16, f16};

/// An error's name and offset.
pub(super) type Fault = (&'static str, u64);
type Result<T> = core::result::Result<T, Fault>;

/// A layout as its parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Layout {
    pub(super) memory: &'static str,
    pub(super) outputs: bool,
    pub(super) streams: bool,
    pub(super) extension: usize,
    pub(super) values: bool,
    pub(super) data: bool,
}

impl Layout {
    pub(super) fn name(&self) -> String {
        let extension = if self.extension == 0 { String::new() } else { format!("+ext{}", self.extension) };
        let part = |differs, name| if differs { name } else { "" };
        [
            self.memory,
            part(self.outputs, "+outputs"),
            part(!self.streams, "-streams"),
            &extension,
            part(!self.values, "-values"),
            part(!self.data, "-data"),
        ]
        .concat()
    }

    /// All there can be, whether or not anything ever wrote them.
    pub(super) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for memory in ["none", "kv", "iswa", "recurrent"] {
            for extension in [0, 8, 12] {
                for [outputs, streams, values, data] in
                    (0..16).map(|bits| [1, 2, 4, 8].map(|bit| bits & bit != 0))
                {
                    all.push(Self { memory, outputs, streams, extension, values, data });
                }
            }
        }
        all
    }
}

/// What stands before the memory.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Envelope {
    pub(super) kind: &'static str,
    pub(super) version: Option<u32>,
    pub(super) tokens: Option<Vec<i32>>,
    pub(super) arch: Option<String>,
    pub(super) seq_id: Option<i32>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outputs {
    pub(super) positions: Vec<i32>,
    pub(super) logits: (usize, usize),
    pub(super) embeddings: (usize, usize),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    pub(super) kind: u32,
    pub(super) header: usize,
    pub(super) row_size: u64,
    pub(super) width: u64,
    pub(super) cells: u64,
    pub(super) transposed: bool,
    /// The bytes, if there are any.
    pub(super) data: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cell {
    pub(super) pos: i32,
    pub(super) extension: Vec<i32>,
    pub(super) ids: Vec<i32>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stream {
    pub(super) cells_at: usize,
    pub(super) cells: Vec<Cell>,
    /// Where n_layer stands, if it does.
    pub(super) layers_at: Option<usize>,
    pub(super) layers: u32,
    pub(super) transposed: bool,
    pub(super) keys: Vec<Tensor>,
    pub(super) values: Vec<Tensor>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cache {
    pub(super) at: usize,
    pub(super) end: usize,
    pub(super) streams: Vec<Stream>,
}

/// A blob that one layout fits.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct State {
    pub(super) envelope: Envelope,
    pub(super) layout: Layout,
    pub(super) outputs: Option<Outputs>,
    pub(super) caches: Vec<Cache>,
}

struct Bytes<'a> {
    all: &'a [u8],
    at: usize,
}

impl Bytes<'_> {
    fn take(&mut self, len: u64) -> Result<Vec<u8>> {
        let left = (self.all.len() - self.at) as u64;
        if len > left {
            return Err(("Truncated", self.at as u64));
        }
        let end = self.at + len as usize;
        let taken = self.all[self.at..end].to_vec();
        self.at = end;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().unwrap()))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().unwrap()))
    }

    fn words(&mut self, count: u32) -> Result<Vec<i32>> {
        let bytes = self.take(u64::from(count) * 4)?;
        Ok(bytes.chunks(4).map(|word| i32::from_le_bytes(word.try_into().unwrap())).collect())
    }

    fn count(&mut self, least: u32, most: u32) -> Result<u32> {
        let at = self.at as u64;
        match self.u32()? {
            count if count > most => Err(("TooLarge", at)),
            count if count < least => Err(("Shape", at)),
            count => Ok(count),
        }
    }

    fn name(&mut self) -> Result<String> {
        let at = self.at as u64;
        let len = self.u32()?;
        if len == 0 {
            return Err(("StateArch", at));
        }
        if len > 64 {
            return Err(("TooLarge", at));
        }
        let at = self.at as u64;
        let name = self.take(len.into())?;
        if !name.iter().all(|byte| b"abcdefghijklmnopqrstuvwxyz0123456789_.-".contains(byte)) {
            return Err(("StateArch", at));
        }
        Ok(String::from_utf8(name).unwrap())
    }
}

/// Elements and bytes of a block.
pub(super) fn block(kind: u32) -> Option<(u64, u64)> {
    Some(match kind {
        0 => (1, 4),
        1 | 30 => (1, 2),
        2 | 20 => (32, 18),
        3 => (32, 20),
        6 => (32, 22),
        7 => (32, 24),
        8 => (32, 34),
        _ => return None,
    })
}

fn tensor(bytes: &mut Bytes<'_>, cells: u64, data: bool, transposed: bool) -> Result<Tensor> {
    let header = bytes.at;
    let place = |at: usize| (header + at) as u64;
    let kind = bytes.u32()?;
    let (elements, size) = block(kind).ok_or(("GgmlType", place(0)))?;
    let (row_size, width);
    if transposed {
        if elements != 1 {
            return Err(("GgmlType", place(0)));
        }
        if u64::from(bytes.u32()?) != size {
            return Err(("Shape", place(4)));
        }
        width = u64::from(bytes.u32()?);
        row_size = width * size;
        if width == 0 {
            return Err(("Shape", place(8)));
        }
    } else {
        row_size = bytes.u64()?;
        if row_size % size != 0 {
            return Err(("RowSize", place(4)));
        }
        let wide = u128::from(row_size / size) * u128::from(elements);
        if wide > u128::from(u32::MAX) {
            return Err(("TooLarge", place(4)));
        }
        if wide == 0 {
            return Err(("Shape", place(4)));
        }
        width = wide as u64;
    }
    let len = u128::from(row_size) * u128::from(cells);
    if len > u128::from(u64::MAX) {
        return Err(("Size", place(4)));
    }
    let data = if data { Some(bytes.take(len as u64)?) } else { None };
    Ok(Tensor { kind, header, row_size, width, cells, transposed, data })
}

fn cell(bytes: &mut Bytes<'_>, layout: &Layout, whole: bool) -> Result<Cell> {
    let at = bytes.at as u64;
    let pos = bytes.u32()? as i32;
    if pos < 0 {
        return Err(("Number", at));
    }
    let least = match (layout.memory, whole) {
        ("recurrent", _) => 0,
        (_, true) => 1,
        (_, false) => u32::from(layout.streams),
    };
    let count = bytes.count(least, if whole { 256 } else { 1 })?;
    let extension = bytes.words(layout.extension as u32 / 4)?;
    let at = bytes.at as u64;
    let ids = bytes.words(count)?;
    for (i, id) in ids.iter().enumerate() {
        if !(0..256).contains(id) {
            // One that is below the one before, but not below 0, is out of order; over 255 it is none.
            return Err(("Number", at + 4 * i as u64));
        }
        if i > 0 && ids[i - 1] >= *id {
            return Err(("Order", at + 4 * i as u64));
        }
    }
    Ok(Cell { pos, extension, ids })
}

fn stream(bytes: &mut Bytes<'_>, layout: &Layout, whole: bool) -> Result<Stream> {
    let count = bytes.u32()?;
    let cells_at = bytes.at;
    let mut cells = Vec::new();
    for _ in 0..count {
        cells.push(cell(bytes, layout, whole)?);
    }
    let recurrent = layout.memory == "recurrent";
    let ends = count == 0 && if recurrent { bytes.at == bytes.all.len() } else { layout.streams };
    let mut read = Stream {
        cells_at,
        cells,
        layers_at: None,
        layers: 0,
        transposed: false,
        keys: Vec::new(),
        values: Vec::new(),
    };
    if ends {
        return Ok(read);
    }
    let at = bytes.at as u64;
    match bytes.u32()? {
        0 => {}
        1 if !recurrent => read.transposed = true,
        _ => return Err(("Bool", at)),
    }
    read.layers_at = Some(bytes.at);
    read.layers = bytes.count(u32::from(layout.memory != "iswa"), 512)?;
    for _ in 0..read.layers {
        read.keys.push(tensor(bytes, count.into(), layout.data, false)?);
    }
    if layout.values {
        for _ in 0..read.layers {
            read.values.push(tensor(bytes, count.into(), layout.data, read.transposed)?);
        }
    }
    Ok(read)
}

fn cache(bytes: &mut Bytes<'_>, layout: &Layout, whole: bool) -> Result<Cache> {
    let at = bytes.at;
    let count = if layout.streams && layout.memory != "recurrent" { bytes.count(1, 256)? } else { 1 };
    let mut streams: Vec<Stream> = Vec::new();
    for _ in 0..count {
        let read = stream(bytes, layout, whole)?;
        if let Some(at) = read.layers_at
            && let Some(first) = streams.iter().find(|stream| stream.layers_at.is_some())
        {
            if first.transposed != read.transposed {
                return Err(("StreamsDiffer", at as u64 - 4));
            }
            if first.layers != read.layers {
                return Err(("StreamsDiffer", at as u64));
            }
            let pairs = first.keys.iter().chain(&first.values).zip(read.keys.iter().chain(&read.values));
            for (i, (own, other)) in pairs.enumerate() {
                if own.kind != other.kind {
                    return Err(("StreamsDiffer", other.header as u64));
                }
                if own.row_size != other.row_size {
                    // Of transposed ones n_embd, after el_size.
                    let field = if i >= first.keys.len() && first.transposed { 8 } else { 4 };
                    return Err(("StreamsDiffer", other.header as u64 + field));
                }
            }
        }
        streams.push(read);
    }
    Ok(Cache { at, end: bytes.at, streams })
}

/// Everything behind the envelope, to the end.
fn body(all: &[u8], at: usize, envelope: &Envelope, layout: &Layout) -> Result<State> {
    let mut bytes = Bytes { all, at };
    let mut outputs = None;
    if layout.outputs {
        let count = bytes.u32()?;
        let positions = bytes.words(count)?;
        let mut floats = || -> Result<(usize, usize)> {
            let count = bytes.u64()?;
            let at = bytes.at;
            let len = count.checked_mul(4).ok_or(("Size", at as u64 - 8))?;
            bytes.take(len)?;
            Ok((at, bytes.at))
        };
        outputs = Some(Outputs { positions, logits: floats()?, embeddings: floats()? });
    }
    let whole = matches!(envelope.kind, "state" | "session_file");
    let count = match layout.memory {
        "none" => 0,
        "iswa" => 2,
        _ => 1,
    };
    let mut caches = Vec::new();
    for _ in 0..count {
        caches.push(cache(&mut bytes, layout, whole)?);
    }
    if bytes.at < all.len() {
        return Err(("TrailingBytes", bytes.at as u64));
    }
    // What the blob does not use is the usual.
    let streams = || caches.iter().flat_map(|cache: &Cache| &cache.streams);
    let mut layout = *layout;
    if streams().all(|stream| stream.cells.is_empty()) {
        layout.extension = 0;
    }
    if streams().all(|stream| stream.layers == 0) {
        layout.values = true;
    }
    if streams().all(|stream| stream.cells.is_empty() || stream.layers == 0) {
        layout.data = true;
        let streams = caches.iter_mut().flat_map(|cache| &mut cache.streams);
        let tensors = streams.flat_map(|stream| stream.keys.iter_mut().chain(&mut stream.values));
        tensors.for_each(|tensor| tensor.data = Some(Vec::new()));
    }
    Ok(State { envelope: envelope.clone(), layout, outputs, caches })
}

/// The classes of the models that are not "attention" or unknown.
const RECURRENT: &str = "mamba, mamba2, rwkv6, rwkv6qwen2, rwkv7, arwkv7";
const HYBRID: &str = "jamba, falcon-h1, plamo2, granitehybrid, lfm2, lfm2moe, nemotron_h, nemotron_h_moe, qwen3next, \
                      kimi-linear, kimi-k3, bailingmoe3, qwen35, qwen35moe, qwen4exp, deepseek4, minimax-01, glm5next";
/// The others that are known.
const ATTENTION: &str = "llama, llama4, deci, falcon, grok, gpt2, gptj, gptneox, mpt, baichuan, starcoder, refact, \
                         bloom, stablelm, qwen, qwen2, qwen2moe, qwen2vl, qwen3, qwen3moe, qwen3vl, qwen3vlmoe, \
                         phi2, phi3, phimoe, plamo, plamo3, codeshell, orion, internlm2, minicpm, minicpm3, gemma, \
                         gemma2, gemma3, gemma3n, gemma4, starcoder2, xverse, command-r, cohere2, cohere2moe, dbrx, \
                         olmo, olmo2, olmoe, openelm, arctic, deepseek, deepseek2, deepseek2-ocr, deepseek32, \
                         chatglm, glm4, glm4moe, glm-dsa, bitnet, t5, jais, jais2, nemotron, exaone, exaone4, \
                         exaone-moe, granite, granitemoe, chameleon, plm, bailingmoe, bailingmoe2, dots1, arcee, \
                         afmoe, ernie4_5, ernie4_5-moe, hunyuan-moe, hunyuan-dense, hunyuan_vl, smollm3, gpt-oss, \
                         dream, smallthinker, llada, llada-moe, seed_oss, grovemoe, apertus, minimax-m2, minimax-m3, \
                         cogvlm, rnd1, pangu-embedded, mistral3, mistral4, paddleocr, mimo2, step35";

fn class(name: &str) -> &'static str {
    let among = |names: &str| names.split(", ").any(|other| other == name);
    if among(RECURRENT) {
        "recurrent"
    } else if among(HYBRID) {
        "hybrid"
    } else if among(ATTENTION) {
        "attention"
    } else {
        "unknown"
    }
}

/// Whether the name is one whose class is known here.
pub(super) fn is_classed(name: &str) -> bool {
    class(name) != "unknown"
}

/// The rows of the table "layouts | behind", in their order.
fn candidates(envelope: &Envelope) -> Vec<Layout> {
    let (kind, version) = (envelope.kind, envelope.version);
    let named = matches!(kind, "state" | "session_file");
    let bare = kind == "seq" && envelope.seq_id.is_none();
    let magic = kind == "seq" && !bare;
    let usual =
        Layout { memory: "kv", outputs: false, streams: true, extension: 0, values: true, data: true };
    let mut rows = Vec::new();
    for data in if magic { vec![true, false] } else { vec![true] } {
        for memory in ["kv", "iswa"] {
            for values in [true, false] {
                for extension in [0, 8, 12] {
                    let behind = match extension {
                        8 => !matches!(version, Some(10 | 3)),
                        12 => !matches!(version, Some(9 | 2)) && !bare,
                        _ => true,
                    };
                    if behind {
                        rows.push(Layout { memory, extension, values, data, ..usual });
                    }
                }
            }
        }
    }
    let may_have_outputs = kind == "state" || version == Some(9);
    for memory in ["kv", "iswa"] {
        for streams in [true, false] {
            if may_have_outputs {
                rows.push(Layout { memory, outputs: true, streams, ..usual });
            }
        }
    }
    for memory in ["kv", "iswa"] {
        if bare || version == Some(2) {
            rows.push(Layout { memory, streams: false, ..usual });
        }
    }
    for outputs in [false, true] {
        for memory in ["recurrent", "none"] {
            if (!outputs || may_have_outputs) && (memory == "recurrent" || named) {
                rows.push(Layout { memory, outputs, ..usual });
            }
        }
    }
    rows
}

/// What became of a blob: read, or an error; several layouts that fit are listed.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    State(alloc::boxed::Box<State>),
    Ambiguous(Vec<String>),
    Refused(Fault),
}

/// The whole: envelope, then all layouts or the one stated.
pub(super) fn read(all: &[u8], arch: Option<&str>, layout: Option<Layout>) -> Verdict {
    match try_read(all, arch, layout) {
        Ok(verdict) => verdict,
        Err(fault) => Verdict::Refused(fault),
    }
}

fn try_read(all: &[u8], arch: Option<&str>, layout: Option<Layout>) -> Result<Verdict> {
    let mut bytes = Bytes { all, at: 0 };
    let none = Envelope { kind: "state", version: None, tokens: None, arch: None, seq_id: None };
    let mut envelopes = Vec::new();
    let first = all.get(..4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
    match first {
        Some(word @ (0x6767_736E | 0x6767_7371)) => {
            bytes.at = 4;
            let version = bytes.u32()?;
            let known = if word == 0x6767_736E { [9, 10] } else { [2, 3] };
            if !known.contains(&version) {
                return Err(("StateVersion", 4));
            }
            let count = bytes.u32()?;
            let tokens = Some(bytes.words(count)?);
            let (kind, arch) =
                if word == 0x6767_736E { ("session_file", Some(bytes.name()?)) } else { ("seq_file", None) };
            envelopes.push((Envelope { kind, version: Some(version), tokens, arch, ..none }, bytes.at));
        }
        Some(0xAF14_3CD8) => {
            bytes.at = 4;
            let seq_id = Some(bytes.u32()? as i32);
            envelopes.push((Envelope { kind: "seq", seq_id, ..none }, bytes.at));
        }
        _ => {
            let name = bytes.name();
            if layout.is_some_and(|layout| layout.outputs) {
                name.clone()?; // No sequence has outputs.
            }
            let name = name.ok();
            if let Some(name) = &name {
                envelopes.push((Envelope { arch: Some(name.to_string()), ..none.clone() }, bytes.at));
            }
            let only_state = layout.is_some_and(|layout| layout.outputs);
            if !only_state && !name.is_some_and(|name| is_classed(&name)) {
                envelopes.push((Envelope { kind: "seq", ..none }, 0));
            }
        }
    }
    let (mut fits, mut names): (Vec<State>, Vec<String>) = (Vec::new(), Vec::new());
    let mut failures: Vec<Fault> = Vec::new();
    for (envelope, at) in &envelopes {
        if let (Some(own), Some(stated)) = (&envelope.arch, arch)
            && own != stated
        {
            return Err(("StateArch", (*at - own.len()) as u64));
        }
        let name = envelope.arch.as_deref().or(arch);
        let class = name.map_or("unknown", class);
        let tried = match layout {
            Some(layout) => vec![layout],
            None if class == "hybrid" => return Err(("StateMemory", *at as u64)),
            None => candidates(envelope)
                .into_iter()
                .filter(|layout| match class {
                    "recurrent" => layout.memory == "recurrent",
                    "attention" => layout.memory != "recurrent",
                    _ => true,
                })
                .collect(),
        };
        for layout in tried {
            if layout.outputs && envelope.arch.is_none() {
                failures.push(("Argument", 0));
                continue;
            }
            match body(all, *at, envelope, &layout) {
                Ok(state) => {
                    names.push(layout.name());
                    fits.push(state);
                }
                Err(fault) => failures.push(fault),
            }
        }
    }
    let differ =
        fits.iter().any(|state| (&state.envelope, state.layout) != (&fits[0].envelope, fits[0].layout));
    if differ {
        names.sort();
        names.dedup();
        return Ok(Verdict::Ambiguous(names));
    }
    if !fits.is_empty() {
        return Ok(Verdict::State(fits.swap_remove(0).into()));
    }
    // The furthest; of those as far, the first.
    let mut best = None;
    for fault in failures {
        if best.is_none_or(|best: Fault| fault.1 > best.1) {
            best = Some(fault);
        }
    }
    Err(best.unwrap())
}

/// The elements of a cell, by the formulas of spec/engram.md, "Element types".
pub(super) fn elements(tensor: &Tensor, cell: u64) -> Vec<f32> {
    let data = tensor.data.as_ref().unwrap();
    let (_, size) = block(tensor.kind).unwrap();
    let size = size as usize;
    let one = |bytes: &[u8]| match tensor.kind {
        0 => f32::from_le_bytes(bytes.try_into().unwrap()),
        1 => f16::from_le_bytes(bytes.try_into().unwrap()).to_f32(),
        _ => bf16::from_le_bytes(bytes.try_into().unwrap()).to_f32(),
    };
    if tensor.transposed {
        let at = |element: u64| (element * tensor.cells + cell) as usize * size;
        return (0..tensor.width).map(|element| one(&data[at(element)..][..size])).collect();
    }
    let row = &data[(cell * tensor.row_size) as usize..][..tensor.row_size as usize];
    let quantised = |block: &[u8]| -> Vec<f32> {
        let half = |at: usize| f16::from_le_bytes([block[at], block[at + 1]]).to_f32();
        let d = half(0);
        let (m, h, c) = match tensor.kind {
            3 => (half(2), 0, 4),
            6 => (0.0, u32::from_le_bytes(block[2..6].try_into().unwrap()), 6),
            7 => (half(2), u32::from_le_bytes(block[4..8].try_into().unwrap()), 8),
            _ => (0.0, 0, 2),
        };
        const T: [i32; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
        let value = |i: usize| {
            let n = if tensor.kind == 8 {
                0
            } else if i < 16 {
                i32::from(block[c + i] & 15)
            } else {
                i32::from(block[c + i - 16] >> 4)
            };
            let b = (h >> i & 1) as i32;
            match tensor.kind {
                2 => (n - 8) as f32 * d,
                3 => n as f32 * d + m,
                6 => (n + 16 * b - 16) as f32 * d,
                7 => (n + 16 * b) as f32 * d + m,
                8 => f32::from(block[2 + i] as i8) * d,
                _ => T[n as usize] as f32 * d,
            }
        };
        (0..32).map(value).collect()
    };
    match tensor.kind {
        0 | 1 | 30 => row.chunks(size).map(one).collect(),
        _ => row.chunks(size).flat_map(quantised).collect(),
    }
}
