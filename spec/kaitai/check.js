// Holds spec/bitwire.ksy to the vectors of spec/vectors: see run.sh.
//
// Every frame that the vectors accept has to be read, and its fields have to be those of `expect`; every frame that they reject
// for a reason that Kaitai Struct can see has to be refused.
"use strict";
const fs = require("fs");
const path = require("path");
const { createRequire } = require("module");

const spec = path.dirname(__dirname);
const work = process.argv[2];
const packages = createRequire(path.join(work, "package.json"));
const compiler = packages("kaitai-struct-compiler");
const KaitaiStream = packages("kaitai-struct/KaitaiStream");
const YAML = packages("yaml");

// The kinds of errors that a description can see, and those that it cannot (the `doc` of bitwire.ksy says why).
const SEEN = new Set(
  ("Truncated Magic TlvOrder ConfigNotFirst CriticalTlv ReservedTlv TlvLength Element Reserved DeltaQ16 FlagBits ValueVersion " +
    "Padding DigestMissing FlagsHmac TrailingBytes Kind TlvMissing ForeignTlv Code Shape Number Order PastEnd SpareBits").split(" "),
);
const UNSEEN = new Set("Crc ContextHash Digest Hmac HmacMissing KeyLength Results FlagsResults Utf8 Size".split(" "));

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const joined = (parts) => hex(Buffer.concat(parts.map(Buffer.from)));
const floats = (width) => (value) => {
  const bytes = Buffer.alloc(width);
  if (width === 8) bytes.writeDoubleBE(value);
  else bytes.writeFloatBE(value);
  return bytes.toString("hex");
};
const [f32, f64] = [floats(4), floats(8)];
// f32 as they stand in a payload.
const stored = (values) => hex(Buffer.concat(values.map((value) => Buffer.from(f32(value), "hex").reverse())));
const utf8 = (bytes) => Buffer.from(bytes).toString("utf8");

function frame(f) {
  const { kind, element, rows, dim, deltaQ16, payloadLen } = f.config;
  return {
    ctx: hex(f.ctx), kind, element, rows, dim, delta_q16: deltaQ16, payload_len: payloadLen, flags: f.flags,
    tlvs: f.tlvs.map((tlv) => [tlv.tag, tlv.ofsValue - 3, tlv.lenValue]),
    payload_off: f.ofsPayload, crc: f.crc16,
  };
}

// Of each view its kind, and what was found in the form of `expect`. What the description cannot say is left out.
const VIEWS = {
  frame: [null, frame],
  verify: [null, (f) => {
    if (!f.hasHmac) throw new RangeError("no HMAC_V1");
    return { hmac: hex(f.tlvs[f.hmacAt].value.hash) };
  }],
  beacon: [0, (f) => {
    const { view, config } = f;
    const calib = view.hasCalib ? view.calib : null;
    return {
      rows: config.rows, dim: config.dim, delta_q16: config.deltaQ16, flags: f.flags, q: view.rows.flatMap((row) => row.q),
      calib: calib && {
        sigma_kind: calib.sigmaKind, w: f64(calib.w), t0: f64(calib.t0), t1: f64(calib.t1),
        mu: calib.hasMu ? calib.mu.map(f32) : null,
        sigma: calib.trace === undefined ? calib.sigma.map(f32) : [f64(calib.trace)],
      },
    };
  }],
  chunk: [1, (f) => {
    const { chunk, marks, tokensU2, tokensU4, packed } = f.view;
    const found = {
      chunk_id: chunk.chunkId, start: chunk.start, length: chunk.length, encoding: ["raw", "packed"][chunk.encoding],
      bits: chunk.bits, element: f.config.element, digest: hex(f.tlvs[f.digestAt].value.hash),
      passkeys: marks ? marks.passkeys.map((passkey) => passkey.position) : [],
      spans: marks ? marks.spans.map((span) => [utf8(span.name), span.start, span.length]) : [],
    };
    if (chunk.encoding === 0) found.tokens = [...tokensU2, ...tokensU4];
    else found.packed = packed.length;
    return found;
  }],
  index: [2, (f) => {
    const { index, anchors, passkeys, spans, names } = f.view;
    return {
      total_tokens: index.totalTokens, chunk_count: index.chunkCount, ledger_len: index.ledgerLen, chunk_tokens: index.chunkTokens,
      anchor_stride: index.anchorStride, names_len: index.namesLen, root: hex(index.root),
      anchors: anchors.map((a) => [a.chunkId, a.start, a.offset, a.length, hex(a.sha256Prefix)]),
      passkeys: passkeys.map((p) => [p.position, p.chunkId, p.offset, p.token]),
      spans: spans.map((span, i) => [utf8(names[i].name), span.start, span.length]),
    };
  }],
  mirror: [3, (f) => {
    const { mirror, indices, values } = f.view;
    return {
      total_blocks: mirror.totalBlocks, dim: f.config.dim, mode: ["replace", "add"][mirror.mode],
      master_element: mirror.masterElement, element: f.config.element, delta_q16: f.config.deltaQ16,
      threshold: f64(mirror.threshold), master_digest: hex(mirror.masterDigest),
      indices: indices.map((index) => index.value), values: joined(values),
    };
  }],
  "engram-index": [4, (f) => {
    const { index, vectors, scales, entries } = f.view;
    return {
      element: f.config.element, rows: f.config.rows, dim: f.config.dim, delta_q16: f.config.deltaQ16, metric: index.metric,
      method: index.method, vectors_per_entry: index.vectorsPerEntry, whitening_prefix: hex(index.whiteningPrefix),
      vectors: joined(vectors.map((vector) => vector.components)), scales: stored(scales),
      entries: entries.map((entry) => ({
        l2_norm: f32(entry.l2Norm), context_len: entry.contextLen, created_at: entry.createdAt, cache_id: entry.cacheId.text,
        task_description: entry.taskDescription.text, model_id: entry.modelId.text,
      })),
    };
  }],
  gist: [5, (f) => {
    const { gist, layers, metadata } = f.view;
    return {
      element: f.config.element, delta_q16: f.config.deltaQ16, n_layers: gist.nLayers, n_kv_heads: gist.nKvHeads,
      n_gist: gist.nGist, head_dim: gist.headDim, source_tokens: gist.sourceTokens, source_root: hex(gist.sourceRoot),
      metadata: metadata ? metadata.text : null,
      keys: layers.map((layer) => layer.keys.map(hex)), values: layers.map((layer) => layer.values.map(hex)),
    };
  }],
  blocks: [6, (f) => ({
    element: f.config.element, rows: f.config.rows, dim: f.config.dim, delta_q16: f.config.deltaQ16,
    elements: joined(f.view.blocks),
  })],
  whitening: [7, (f) => ({
    inputs: f.config.dim, outputs: f.config.rows - 1, mean: stored(f.view.mean),
    directions: stored(f.view.directions.flatMap((direction) => direction.components)),
  })],
};

// Members of `expect` that the description has no words for; of packed tokens only how long they are.
const LEFT_OUT = new Set(["routing_key", "dequantised_hex", "results", "digest"]);

// What JavaScript's runtime reads otherwise: integers over 2^53 are floats, a byte order mark at the start is dropped, and a NaN is
// any NaN.
const NAN = /^[7f][f][89a-f][0-9a-f]{5}$/;
function same(found, expect) {
  if (typeof expect === "number") return found === expect || (Math.abs(expect) > 2 ** 53 && Math.abs(found / expect - 1) < 1e-9);
  if (typeof expect === "string") return found === expect || found === expect.replace(/^\ufeff/, "") || (NAN.test(found) && NAN.test(expect));
  return Object.is(found, expect);
}
// The same integers make it refuse these: sums that are equal only once they are rounded.
const OVER_2_53 = new Set(["chunk marks-end-max", "index total-64"]);

function differs(found, expect, at) {
  if (typeof expect !== "object" || expect === null) return same(found, expect) ? null : `${at}: ${found}, not ${expect}`;
  if (typeof found !== "object" || found === null) return `${at}: ${found}`;
  if (Array.isArray(expect) && found.length !== expect.length) return `${at}: ${found.length}, not ${expect.length} of them`;
  for (const [name, value] of Object.entries(expect)) {
    if (found[name] === undefined && LEFT_OUT.has(name)) continue;
    if (name === "tokens" && found.packed !== undefined) {
      if (found.packed !== Math.ceil((value.length * expect.bits) / 8)) return `${at}: packed into ${found.packed} bytes`;
      continue;
    }
    const difference = differs(found[name], value, `${at}.${name}`);
    if (difference) return difference;
  }
  return null;
}

async function main() {
  const description = YAML.parse(fs.readFileSync(path.join(spec, "bitwire.ksy"), "utf8"));
  const files = await compiler.compile("javascript", description, null, false);
  for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(work, name), text);
  const { Bitwire } = packages("./Bitwire.js");

  const read = ([kind, view], bytes) => {
    const f = new Bitwire(new KaitaiStream(bytes));
    if (kind !== null && f.config.kind !== kind) throw new RangeError("another kind");
    return view(f);
  };
  let [accepted, refused, over, wrong] = [0, 0, 0, 0];
  const blind = new Map();
  const complain = (file, id, what) => {
    wrong += 1;
    console.error(`${file}: ${id}: ${what}`);
  };
  for (const file of ["frame", "beacon", "chunk", "index", "mirror", "engram_index", "gist", "whitening"]) {
    const { cases } = JSON.parse(fs.readFileSync(path.join(spec, "vectors", `${file}.json`), "utf8"));
    let [of_file, refused_of_file] = [0, 0];
    for (const { id, view, hex: input, verdict, error, expect } of cases) {
      // The others of these files are about more than one frame, or about none.
      if (!Object.hasOwn(VIEWS, view)) continue;
      let found, refusal;
      try {
        found = read(VIEWS[view], Buffer.from(input, "hex"));
      } catch (caught) {
        refusal = caught;
      }
      if (OVER_2_53.has(`${file} ${id}`)) {
        if (!refusal) complain(file, id, "is read: take it off the list");
        over += 1;
      } else if (verdict === "accept") {
        const difference = refusal ? `refused: ${refusal.message}` : differs(found, expect, "expect");
        if (difference) complain(file, id, difference);
        else of_file += 1;
      } else if (!SEEN.has(error.kind) && !UNSEEN.has(error.kind)) {
        complain(file, id, `${error.kind} is in neither list`);
      } else if (refusal) {
        // A reader that throws because it has a fault of its own refuses nothing.
        if (refusal instanceof TypeError || refusal instanceof ReferenceError) complain(file, id, refusal.stack);
        else refused_of_file += 1;
      } else if (SEEN.has(error.kind)) {
        complain(file, id, `${error.kind} at ${error.offset} was not seen`);
      } else {
        blind.set(error.kind, (blind.get(error.kind) ?? 0) + 1);
      }
    }
    console.log(`${file}.json: ${of_file} accepted frames read, ${refused_of_file} rejected ones refused`);
    accepted += of_file;
    refused += refused_of_file;
  }
  const cannot = [...blind].sort(([a], [b]) => (a < b ? -1 : 1)).map(([kind, count]) => `${count} ${kind}`);
  const sum = [...blind.values()].reduce((a, b) => a + b, 0);
  console.log(`in all: ${accepted} read, ${refused} refused`);
  console.log(`${sum} rejects cannot be seen: ${cannot.join(", ")}`);
  console.log(`${over} accepted frames have integers that JavaScript cannot tell apart`);
  if (wrong > 0) {
    console.error(`${wrong} cases do not hold`);
    process.exit(1);
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
