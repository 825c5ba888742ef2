"""10,000 generated frames and one hash over what a reader says of them: the accumulated vectors.

Made from spec/README.md ("Accumulated"), which states both the frames and the lines; the readers are those of the other modules.
"""

import hashlib
import struct
from collections import Counter

from generate import (
    AUTHENTICATED, ALERT, BASELINE, Bad, CALIB, CHUNK, CONFIG, CONTEXT, Cases, DIGEST, END, ENGRAM, FLAGS, GIST, GIST_METADATA, HMAC, INDEX, KEY, MAGIC, MARKS, MIRROR, PAD, RESULTS,
    blake2b64, config, crc16, hmac256, read_beacon, read_frame, sha256, verify_frame,
)
from engram import read_index as read_engram_index, read_whitening
from gist import gist_found, read_gist
from ledger import chunk_found, index_found, read_chunk, read_index
from mirror import COMBINATIONS, blocks_found, mirror_found, read_blocks, read_mirror

COUNTS = (10, 100, 1000, 10000)
SIZE = {1: 2, 5: 2, 6: 2, 7: 4}


# ---------------------------------------------------------------------------------------------------------
# The frames
# ---------------------------------------------------------------------------------------------------------

class Draws:
    """SHA-256(u32(i) || u32(0)) || SHA-256(u32(i) || u32(1)) || ..., byte after byte."""

    def __init__(self, number):
        self.number, self.block, self.left = number, 0, b""

    def take(self, n):
        while len(self.left) < n:
            self.left += sha256(struct.pack(">II", self.number, self.block))
            self.block += 1
        out, self.left = self.left[:n], self.left[n:]
        return out

    def draw(self, n):
        return struct.unpack(">H", self.take(2))[0] % n

    def floats(self, count, width, top):
        """Floats that are finite: the second bit of the byte with the sign is cleared. top: where that byte is."""
        out = bytearray(self.take(count * width))
        for at in range(top, len(out), width):
            out[at] &= 0xBF
        return bytes(out)


def beacon(d):
    rows, dim, delta = 1 + d.draw(2), 1 + d.draw(6), 1 + d.draw(65536)
    payload = d.take(rows * dim * 2)
    tlvs, flags = {}, 0
    if d.draw(2):
        sigma, has_mu, w, t0 = d.draw(4), d.draw(2), d.draw(1000), d.draw(1000)
        t1 = t0 + d.draw(1000)
        value = struct.pack(">BBHIddd", sigma, has_mu, 0, dim, w, t0, t1)
        value += d.floats(dim * has_mu, 4, 0)
        value += d.floats(1, 8, 0) if sigma == 1 else d.floats((0, 0, dim, dim * (dim + 1) // 2)[sigma], 4, 0)
        tlvs[CALIB] = value
    if d.draw(2):
        sds, cos, norm, reference, threshold = d.draw(100), d.draw(2), d.draw(100), d.draw(3), d.draw(100)
        over, tr, w_mu, w_trs = d.draw(2), d.draw(100), d.draw(10), d.draw(10)
        text = '{"SDS":null,"cos_mu":null,"norm_dmu":null,"reference":"none"'
        if reference:
            text = '{"SDS":%d,"cos_mu":%s,"norm_dmu":%d,"reference":"%s"' % (sds, "1" if cos else "null", norm, ("baseline", "window-half")[reference - 1])
        text += ',"thresholds":{%s},"tr_Sigma":%d,"weights":{"mu":%d,"trS":%d}}' % ('"SDS":%d' % threshold if over else "", tr, w_mu, w_trs)
        tlvs[RESULTS] = text.encode()
        flags |= ALERT if reference and over and sds >= threshold else 0
        flags |= BASELINE if reference == 1 else 0
    return 1, rows, dim, delta, payload, tlvs, flags


def chunk(d):
    chunk_id, start, length, encoding = d.draw(1000), d.draw(65536), 1 + d.draw(20), d.draw(3)
    if encoding < 2:
        element, dim, bits, payload = 3 + encoding, length, 0, d.take(length * (2, 4)[encoding])
    else:
        bits = 1 + d.draw(32)
        dim = (length * bits + 7) // 8
        payload = bytearray(d.take(dim))
        payload[-1] &= 0xFF >> (8 * dim - length * bits)
        element, payload = 2, bytes(payload)
    tlvs = {CHUNK: struct.pack(">QQIBBH", chunk_id, start, length, encoding // 2, bits, 0)}
    if d.draw(2):
        end = start + length
        tlvs[MARKS] = struct.pack(">HHQ", 1, 1, d.draw(end)) + struct.pack(">QQH", d.draw(end), 1, 1) + b"n"
    return element, 1, dim, 0, payload, tlvs, 0


def index(d):
    count, length, stride = d.draw(4), 1 + d.draw(50), 1 + d.draw(3)
    total, anchors = count * length, (count + stride - 1) // stride
    payload = b""
    for i in range(anchors):
        payload += struct.pack("<QQQII", i * stride, i * stride * length, i * stride * 108, length, 0) + d.take(8)
    passkeys = spans = 0
    if total and d.draw(2):
        passkeys, position = 1, d.draw(total)
        payload += struct.pack("<QQII", position, position // length, position % length, d.draw(65536))
    if total and d.draw(2):
        spans = 1
        payload += struct.pack("<QQII", d.draw(total), 1, 0, 1) + b"n"
    value = struct.pack(">QQQIIIIII", total, count, count * 108, length if count else 0, stride, anchors, passkeys, spans, spans)
    return 0, 0, 0, 0, payload, {INDEX: value + d.take(32) + bytes(8)}, 0


def mirror(d):
    total, dim, threshold = 1 + d.draw(8), 1 + d.draw(4), d.draw(10)
    mode, master, element = COMBINATIONS[d.draw(10)]
    delta = 1 + d.draw(65536) if element == 1 else 0
    indices = [i for i in range(total) if d.draw(2)]
    payload = struct.pack("<%dI" % len(indices), *indices) + d.take(len(indices) * dim * SIZE[element])
    value = struct.pack(">IBBHd", total, mode, master, 0, threshold) + d.take(32)
    return element, len(indices), dim, delta, payload, {MIRROR: value}, 0


def engram(d):
    element, dim, entries, metric, method = (1, 5, 7, 8, 9)[d.draw(5)], 1 + d.draw(9), d.draw(3), d.draw(3), d.draw(8)
    per = 1 + d.draw(2) if metric == 2 else 1
    delta = 1 + d.draw(65536) if element == 1 else 0
    rows = entries * per
    if element == 9:
        row = (dim + 7) // 8
        payload = bytearray(d.take(rows * row))
        for last in range(row - 1, len(payload), row):
            payload[last] &= 0xFF >> (8 * row - dim)
    else:
        payload = bytearray(d.take(rows * dim * {1: 2, 5: 2, 7: 4, 8: 1}[element]))
    if element == 8:
        scales = bytearray(d.take(4 * rows))
        for top in range(3, len(scales), 4):
            scales[top] &= 0x3F
        payload += scales
    strings = b"bitwire"[:d.draw(8)]
    for _ in range(entries):
        payload += d.floats(1, 4, 3) + d.take(12)   # l2_norm; context_len, created_at
        for _ in range(3):
            first = d.draw(len(strings) + 1)
            payload += struct.pack("<II", first, d.draw(len(strings) - first + 1))
    value = struct.pack(">BBHI", metric, method, per, len(strings)) + d.take(8) + bytes(8)
    return element, rows, dim, delta, bytes(payload) + strings, {ENGRAM: value}, 0


def gist(d):
    element, shape = (1, 5, 6, 7)[d.draw(4)], [1 + d.draw(2), 1 + d.draw(2), 1 + d.draw(2), 1 + d.draw(3)]
    delta = 1 + d.draw(65536) if element == 1 else 0
    rows, dim = 2 * shape[0] * shape[1] * shape[2], shape[3]
    tlvs = {GIST: struct.pack(">IIIIQ", *shape, d.draw(65536)) + d.take(32)}
    if d.draw(2):
        tlvs[GIST_METADATA] = b"{}"
    return element, rows, dim, delta, d.take(rows * dim * SIZE[element]), tlvs, 0


def blocks(d):
    element, rows, dim = (1, 5, 6, 7)[d.draw(4)], 1 + d.draw(5), 1 + d.draw(6)
    delta = 1 + d.draw(65536) if element == 1 else 0
    return element, rows, dim, delta, d.take(rows * dim * SIZE[element]), {}, 0


def whitening(d):
    rows, dim = 2 + d.draw(3), 1 + d.draw(5)
    return 7, rows, dim, 0, d.floats(rows * dim, 4, 3), {}, 0


CONTENT = (beacon, chunk, index, mirror, engram, gist, blocks, whitening)


def raw(tlv):
    return struct.pack(">BH", tlv[0], len(tlv[1])) + tlv[1]


def generated(number):
    """The frame of this number, and which change was made to it."""
    d = Draws(number)
    kind = number % 8
    element, rows, dim, delta, payload, tlvs, flags = CONTENT[kind](d)
    if d.draw(4):
        tlvs[CONTEXT] = b'{"dim":%d,"model_id":"","pi_id":"","space_id":""}' % (0 if kind in (1, 2) else dim)
        ctx = blake2b64(tlvs[CONTEXT])
    else:
        ctx = d.take(8)
    if d.draw(8) == 0:
        type_ = 0x90 + d.draw(16)
        tlvs[type_] = d.take(d.draw(5))
    digest, signed = d.draw(3) == 0 or kind == 1, d.draw(4) == 0
    if digest:
        tlvs[DIGEST] = bytes(33)
    if signed:
        tlvs[HMAC] = bytes(33)
        flags |= AUTHENTICATED
    if d.draw(4) == 0:
        tlvs[PAD] = bytes(d.draw(9))
    tlvs[CONFIG] = config(kind, element, rows, dim, delta, len(payload))
    tlvs[FLAGS] = struct.pack(">I", flags)
    tlvs[END] = b""
    tlvs = sorted(tlvs.items())
    change = d.draw(12)
    if 5 <= change <= 8:
        parts = [i for i, tlv in enumerate(tlvs) if tlv[1] and tlv[0] not in (FLAGS, CONTEXT, DIGEST, HMAC, PAD)] + ([-1] if payload else [])
        which = parts[d.draw(len(parts))]
        part = bytearray(payload if which < 0 else tlvs[which][1])
        at = d.draw(len(part))
        part[at] = part[at] ^ 1 << d.draw(8) if change < 7 else (0x00, 0x01, 0x7F, 0x80, 0xFF)[d.draw(5)]
        if which < 0:
            payload = bytes(part)
        else:
            tlvs[which] = (tlvs[which][0], bytes(part))
    if change == 9:
        how = d.draw(4)
        if how == 0:
            del tlvs[d.draw(len(tlvs))]
        elif how == 1:
            at = d.draw(len(tlvs))
            tlvs.insert(at, tlvs[at])
        elif how == 2:
            at = d.draw(len(tlvs) - 1)
            tlvs[at:at + 2] = tlvs[at + 1], tlvs[at]
        else:
            at = d.draw(len(tlvs))
            type_ = d.draw(256)
            tlvs.insert(at, (type_, d.take(d.draw(4))))
    without = lambda *types: b"".join(raw(tlv) for tlv in tlvs if tlv[0] not in types)
    if digest:
        value = b"\x01" + sha256(ctx + without(DIGEST, HMAC, PAD, END) + payload)
        tlvs = [(tlv[0], value) if tlv == (DIGEST, bytes(33)) else tlv for tlv in tlvs]
    if signed:
        value = b"\x01" + hmac256(KEY, ctx + without(HMAC, END) + payload)
        tlvs = [(tlv[0], value) if tlv == (HMAC, bytes(33)) else tlv for tlv in tlvs]
    data = bytearray(MAGIC + ctx + without() + payload)
    data += struct.pack(">H", crc16(data[4:]))
    if change == 10:
        for _ in range(1 + d.draw(3)):
            at = d.draw(len(data))
            data[at] ^= 1 << d.draw(8)
    if change == 11:
        how = d.draw(3)
        if how == 0:
            data = data[:d.draw(len(data))]
        elif how == 1:
            data += d.take(1 + d.draw(4))
        else:
            at = 4 + d.draw(len(data) - 6)
            data[at] = d.draw(256)
            data[-2:] = struct.pack(">H", crc16(data[4:-2]))
    return bytes(data), change


# ---------------------------------------------------------------------------------------------------------
# The lines
# ---------------------------------------------------------------------------------------------------------

def shown(value):
    if isinstance(value, list):
        return ",".join(":".join(map(shown, each)) if isinstance(each, list) else shown(each) for each in value) or "-"
    return "-" if value is None or value == "" else str(value)


def text(value):
    return None if value is None else value.encode("utf-8").hex()


def beacon_values(data):
    found = read_beacon(data)
    calib, results = found["calib"] or {}, found["results"] or {}
    return [found[name] for name in ("rows", "dim", "delta_q16", "flags", "q")] + [calib.get(name) for name in ("sigma_kind", "sigma")] + [results.get(name) for name in ("reference", "SDS")]


def named(found, *names):
    return [[[text(span[0]), *span[1:]] for span in found[name]] if name == "spans" else found[name] for name in names]


def engram_values(data):
    found = read_engram_index(data)
    entries = [[e["l2_norm"], e["context_len"], e["created_at"], *(text(e[name]) for name in ("cache_id", "task_description", "model_id"))] for e in found["entries"]]
    return named(found, "element", "rows", "dim", "delta_q16", "metric", "method", "vectors_per_entry") + [entries]


def gist_values(data):
    found = gist_found(read_gist(data))
    return named(found, "element", "delta_q16", "n_layers", "n_kv_heads", "n_gist", "head_dim", "source_tokens") + [text(found["metadata"])]


VALUES = (
    beacon_values,
    lambda data: named(chunk_found(read_chunk(data)), "chunk_id", "start", "length", "encoding", "bits", "element", "tokens", "passkeys", "spans"),
    lambda data: named(index_found(read_index(data)), "total_tokens", "chunk_count", "ledger_len", "chunk_tokens", "anchor_stride", "names_len", "anchors", "passkeys", "spans"),
    lambda data: named(mirror_found(read_mirror(data)), "total_blocks", "dim", "mode", "master_element", "element", "delta_q16", "threshold", "indices"),
    engram_values,
    gist_values,
    lambda data: named(blocks_found(read_blocks(data)), "element", "rows", "dim", "delta_q16"),
    lambda data: named(read_whitening(data), "inputs", "outputs"),
)


def line(number, data):
    try:
        f = read_frame(data)
        if f.find(HMAC):
            verify_frame(data, KEY)
        kind = f.cfg["kind"]
        values = VALUES[kind](data) if kind < len(VALUES) else []
        return " ".join([str(number), "accept", str(kind), f.routing_key.hex(), *map(shown, values)])
    except Bad as error:
        assert error.offset is not None, error
        return "%d reject %s %d" % (number, error.kind, error.offset)


def accumulated(counts):
    """For each count what all the frames before it come to; and what they reach."""
    frames, lines, verdicts, reached = hashlib.sha256(), hashlib.sha256(), Counter(), Counter()
    first, out = [], {}
    for number in range(max(counts)):
        data, change = generated(number)
        said = line(number, data)
        verdict = said.split(" ")[1]
        assert change >= 5 or verdict == "accept", said
        frames.update(struct.pack(">I", len(data)) + data)
        lines.update(said.encode() + b"\n")
        verdicts[verdict] += 1
        reached[said.split(" ")[2] if verdict == "reject" else "kind %d" % (number % 8)] += 1
        if number < counts[0]:
            first.append(said)
        if number + 1 in counts:
            out[number + 1] = {"accepted": verdicts["accept"], "rejected": verdicts["reject"], "frames_sha256": frames.hexdigest(), "lines_sha256": lines.hexdigest()}
    out[counts[0]]["lines"] = first
    return out, verdicts, reached


def accumulated_cases():
    c = Cases("bit-vectors/accumulated", "spec/README.md", [
        "View \"accumulated\": the frames 0 to count - 1 of spec/README.md, \"Accumulated\"; expect has how many are accepted and rejected, the SHA-256 of the frames, each after its length",
        "as u32, and the SHA-256 of the lines that a reader says of them. The shortest has the lines themselves.",
    ])
    out, verdicts, reached = accumulated(COUNTS)
    # A fair share of both, of every kind, and of what can be wrong.
    assert verdicts["accept"] * 3 >= COUNTS[-1] and verdicts["reject"] * 3 >= COUNTS[-1], verdicts
    assert all(reached["kind %d" % kind] >= 400 for kind in range(8)), reached
    assert len([name for name in reached if not name.startswith("kind ")]) >= 30, reached
    for count in COUNTS:
        c.add({"id": "first-%d" % count, "comment": "the first %d frames" % count, "view": "accumulated", "count": count, "verdict": "accept", "expect": out[count]})
    return c


FILES = (("accumulated", accumulated_cases),)


def self_test():
    d = Draws(1)
    assert d.take(3) == sha256(bytes([0, 0, 0, 1, 0, 0, 0, 0]))[:3] and d.take(33) == sha256(bytes([0, 0, 0, 1, 0, 0, 0, 0]))[3:] + sha256(bytes([0, 0, 0, 1, 0, 0, 0, 1]))[:4]
