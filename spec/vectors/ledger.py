"""Independent reader and writer of the token ledger, and its test vectors: chunk, index, ledger, proof and pack.

Made from spec/README.md, spec/frame.md and spec/ledger.md alone; the envelope is that of generate.py, which imports this
module. As there, the verdicts are stated by hand or follow from the layout a case was built with, and the reader
has to agree with every one of them.
"""

import struct

from generate import (
    BODIES, Bad, CALIB, CHUNK, CONTEXT, Cases, DIGEST, END, ENGRAM, FLAGS, Frame, GIST, HMAC, INDEX, KEY, Lcg, MARKS, MIRROR,
    OTHER_KEY, PAD, RESULTS, context_text, crc16, hmac_module, read_frame, sha256,
)

U64 = 2 ** 64
(RAW, PACKED) = (0, 1)
(U8, U16, U32) = (2, 3, 4)
SMALLEST_CHUNK = 108

# offset and format of the fields of LEDGER_CHUNK_V1 and LEDGER_INDEX_V1
CHK = {"chunk_id": (0, ">Q"), "start": (8, ">Q"), "length": (16, ">I"), "encoding": (20, ">B"), "bits": (21, ">B"), "reserved": (22, ">H")}
IDX = {
    "total_tokens": (0, ">Q"), "chunk_count": (8, ">Q"), "ledger_len": (16, ">Q"), "chunk_tokens": (24, ">I"), "anchor_stride": (28, ">I"),
    "anchor_count": (32, ">I"), "passkey_count": (36, ">I"), "span_count": (40, ">I"), "names_len": (44, ">I"), "root": (48, ">32s"), "reserved": (80, ">Q"),
}
ANCHOR = {"chunk_id": (0, "<Q"), "start": (8, "<Q"), "offset": (16, "<Q"), "length": (24, "<I"), "reserved": (28, "<I"), "sha256_prefix": (32, "<8s")}
PASSKEY = {"position": (0, "<Q"), "chunk_id": (8, "<Q"), "offset": (16, "<I"), "token": (20, "<I")}
SPAN = {"start": (0, "<Q"), "length": (8, "<Q"), "name_off": (16, "<I"), "name_len": (20, "<I")}
CHECKED_FIELD = {"anchor": (ANCHOR, 40), "passkey": (PASSKEY, 24), "span": (SPAN, 24)}


def fields(table, data, at=0):
    return {name: struct.unpack_from(fmt, data, at + off)[0] for name, (off, fmt) in table.items()}


def ceil_div(a, b):
    return -(-a // b)


# ---------------------------------------------------------------------------------------------------------
# Packing
# ---------------------------------------------------------------------------------------------------------

def pack(tokens, bits):
    """All tokens as one number of length * bits bits, its least significant byte first."""
    number = 0
    for i, token in enumerate(tokens):
        assert 0 <= token < 1 << bits
        number |= token << i * bits
    return number.to_bytes(ceil_div(len(tokens) * bits, 8), "little")


def unpack(data, length, bits):
    """Bit by bit. The tokens, and the bits after the last one."""
    stream = [data[k // 8] >> k % 8 & 1 for k in range(8 * len(data))]
    tokens = [sum(stream[i * bits + j] << j for j in range(bits)) for i in range(length)]
    return tokens, stream[length * bits:]


def raw(tokens, element):
    return struct.pack("<%d%s" % (len(tokens), "H" if element == U16 else "I"), *tokens)


def choose(tokens):
    """The encoding of a writer that is to choose: (encoding, element, bits, payload)."""
    candidates = []
    if max(tokens) < 1 << 16:
        candidates.append((RAW, U16, 0, raw(tokens, U16)))
    candidates.append((RAW, U32, 0, raw(tokens, U32)))
    bits = max(1, max(tokens).bit_length())
    candidates.append((PACKED, U8, bits, pack(tokens, bits)))
    return min(candidates, key=lambda c: len(c[3]))         # min keeps the first of equals


# ---------------------------------------------------------------------------------------------------------
# The Merkle tree and its proofs
# ---------------------------------------------------------------------------------------------------------

def leaf_hash(digest):
    return sha256(b"\x00" + digest)


def node_hash(left, right):
    return sha256(b"\x01" + left + right)


def split(n):
    """The largest power of two below n."""
    return 1 << (n - 1).bit_length() - 1


def tree_hash(digests):
    """RFC 9162, 2.1.1, as it is defined."""
    n = len(digests)
    if n == 0:
        return sha256(b"")
    if n == 1:
        return leaf_hash(digests[0])
    return node_hash(tree_hash(digests[:split(n)]), tree_hash(digests[split(n):]))


def inclusion_path(m, digests):
    """RFC 9162, 2.1.3.1: PATH."""
    n = len(digests)
    if n == 1:
        return []
    k = split(n)
    if m < k:
        return inclusion_path(m, digests[:k]) + [tree_hash(digests[k:])]
    return inclusion_path(m - k, digests[k:]) + [tree_hash(digests[:k])]


def consistency_path(m, digests, whole=True):
    """RFC 9162, 2.1.4.1: SUBPROOF."""
    n = len(digests)
    if m == n:
        return [] if whole else [tree_hash(digests)]
    k = split(n)
    if m <= k:
        return consistency_path(m, digests[:k], whole) + [tree_hash(digests[k:])]
    return consistency_path(m - k, digests[k:], False) + [tree_hash(digests[:k])]


def made_inclusion(m, n, leaf, draw):
    """Root and path of a tree too large to be built: the other nodes are drawn."""
    if n == 1:
        return leaf, []
    k = split(n)
    if m < k:
        node, path = made_inclusion(m, k, leaf, draw)
        other = draw()
        return node_hash(node, other), path + [other]
    node, path = made_inclusion(m - k, n - k, leaf, draw)
    other = draw()
    return node_hash(other, node), path + [other]


def made_consistency(m, n, draw, whole=True):
    """Old root, new root and path of such a tree."""
    if m == n:
        node = draw()
        return node, node, [] if whole else [node]
    k = split(n)
    if m <= k:
        old, new, path = made_consistency(m, k, draw, whole)
        other = draw()
        return old, node_hash(new, other), path + [other]
    old, new, path = made_consistency(m - k, n - k, draw, False)
    other = draw()
    return node_hash(other, old), node_hash(other, new), path + [other]


def check_inclusion(index, size, path, leaf):
    """RFC 9162, 2.1.3.2: the root that the path gives, None if the path has another length."""
    fn, sn, r = index, size - 1, leaf
    for p in path:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    return r if sn == 0 else None


def check_consistency(first, second, path, old_root):
    """RFC 9162, 2.1.4.2: old and new root that the path gives, None if the path has another length."""
    if first == second:
        return None if path else (old_root, old_root)
    if not path:
        return None
    path = list(path)
    if first & first - 1 == 0:
        path.insert(0, old_root)
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return (fr, sr) if sn == 0 else None


PROOF_MAGIC = b"BIP\x01"
PROOF = {"type": (4, ">B"), "count": (5, ">B"), "reserved": (6, ">H"), "a": (8, ">Q"), "b": (16, ">Q")}
PROOF_HEADER = 24
(INCLUSION, CONSISTENCY) = (0, 1)


def proof_bytes(type_, a, b, path, count=None, reserved=0, magic=PROOF_MAGIC):
    return magic + struct.pack(">BBHQQ", type_, len(path) if count is None else count, reserved, a, b) + b"".join(path)


def subproof_length(m, n, whole=True):
    """How many hashes SUBPROOF gives."""
    length = 0
    while m != n:
        k = split(n)
        m, n, whole = (m, k, whole) if m <= k else (m - k, n - k, False)
        length += 1
    return length if whole else length + 1


def path_length(m, n):
    length = 0
    while n > 1:
        k = split(n)
        m, n = (m, k) if m < k else (m - k, n - k)
        length += 1
    return length


def read_proof(data, root, digest=None, old_root=None):
    # 1, 2, 3
    if len(data) < 4:
        raise Bad("Truncated", 0)
    if data[:4] != PROOF_MAGIC:
        raise Bad("ProofMagic", 0)
    if len(data) < PROOF_HEADER:
        raise Bad("Truncated", 0)
    p = fields(PROOF, data)
    a, b, count = p["a"], p["b"], p["count"]
    # 4, 5, 6
    if p["type"] > 1:
        raise Bad("Code", 4)
    if count > 64:
        raise Bad("TooLarge", 5)
    if p["reserved"]:
        raise Bad("Reserved", 6)
    # 7, 8, 9
    consistency = p["type"] == CONSISTENCY
    if consistency and a == 0:
        raise Bad("ProofSizes", 8)
    if not consistency and a >= b:
        raise Bad("ProofChunk", 16)
    if consistency and a > b:
        raise Bad("ProofSizes", 16)
    # 10, 11, 12
    if count != (subproof_length(a, b) if consistency else path_length(a, b)):
        raise Bad("Shape", 5)
    end = PROOF_HEADER + 32 * count
    if len(data) < end:
        raise Bad("Truncated", PROOF_HEADER)
    if len(data) > end:
        raise Bad("TrailingBytes", end)
    # 13
    path = [data[i:i + 32] for i in range(PROOF_HEADER, end, 32)]
    if consistency:
        if check_consistency(a, b, path, old_root) != (old_root, root):
            raise Bad("ProofRoot", None)
        return {"type": "consistency", "a": a, "b": b, "count": count}
    if check_inclusion(a, b, path, leaf_hash(digest)) != root:
        raise Bad("ProofRoot", None)
    return {"type": "inclusion", "a": a, "b": b, "count": count}


# ---------------------------------------------------------------------------------------------------------
# The chunk's view
# ---------------------------------------------------------------------------------------------------------

def read_name(data, at):
    """The name as text; at is the offset of its first byte."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Bad("Utf8", at + error.start)


def read_marks(tlv, end):
    """Passkeys as (position, offset of the field), spans as (name in bytes, start, length, offset of start)."""
    v, base, at = tlv.value, tlv.val_off, 4
    passkey_count, span_count = struct.unpack_from(">HH", v)
    passkeys, spans = [], []

    def field(fmt):
        nonlocal at
        size = struct.calcsize(fmt)
        if len(v) - at < size:
            raise Bad("Truncated", base + at)
        at += size
        return struct.unpack_from(fmt, v, at - size)[0], base + at - size

    for _ in range(passkey_count):
        position, off = field(">Q")
        if passkeys and position <= passkeys[-1][0]:
            raise Bad("Order", off)
        if position >= end:
            raise Bad("PastEnd", off)
        passkeys.append((position, off))
    for _ in range(span_count):
        start, start_off = field(">Q")
        length, length_off = field(">Q")
        name_len, name_len_off = field(">H")
        if len(v) - at < name_len:
            raise Bad("Truncated", base + at)
        name, name_off = v[at:at + name_len], base + at
        at += name_len
        if start + length >= U64:
            raise Bad("Size", start_off)
        if length < 1:
            raise Bad("Shape", length_off)
        if start + length > end:
            raise Bad("PastEnd", start_off)
        if name_len < 1:
            raise Bad("Shape", name_len_off)
        read_name(name, name_off)
        if spans and name <= spans[-1][0]:
            raise Bad("Order", name_off)
        spans.append((name, start, length, start_off))
    if at != len(v):
        raise Bad("TrailingBytes", base + at)
    return passkeys, spans


class Chunk:
    """An accepted chunk."""


def only_tlv(f, kind, type_):
    """Steps 1 to 3 of both views."""
    if f.cfg["kind"] != kind:
        raise Bad("Kind", f.cfg_off["kind"])
    tlv = f.find(type_)
    if not tlv:
        raise Bad("TlvMissing", f.would_stand(type_))
    for other in f.tlvs:
        if 0x03 <= other.type <= 0x7F and other.type != type_:
            raise Bad("ForeignTlv", other.off)
    return tlv


def read_chunk(data, exact=True):
    f = read_frame(data, exact)
    c, off = f.cfg, f.cfg_off
    # 1, 2, 3
    tlv = only_tlv(f, 1, CHUNK)
    # 4
    if c["rows"] != 1:
        raise Bad("Shape", off["rows"])
    # 5 to 9
    v = fields(CHK, tlv.value)
    at = {name: tlv.val_off + field[0] for name, field in CHK.items()}
    if v["start"] + v["length"] >= U64:
        raise Bad("Size", at["start"])
    if v["length"] < 1:
        raise Bad("Shape", at["length"])
    if v["encoding"] > 1:
        raise Bad("Code", at["encoding"])
    if v["encoding"] == RAW and v["bits"] != 0:
        raise Bad("Shape", at["bits"])
    if v["encoding"] == PACKED and not 1 <= v["bits"] <= 32:
        raise Bad("Code", at["bits"])
    if v["reserved"]:
        raise Bad("Reserved", at["reserved"])
    # 10, 11, 12
    if c["element"] not in ((U16, U32) if v["encoding"] == RAW else (U8,)):
        raise Bad("Code", off["element"])
    if v["encoding"] == RAW:
        dim, payload_len = v["length"], v["length"] * (2 if c["element"] == U16 else 4)
    else:
        dim = payload_len = ceil_div(v["length"] * v["bits"], 8)
    if c["dim"] != dim:
        raise Bad("Shape", off["dim"])
    if c["payload_len"] != payload_len:
        raise Bad("Shape", off["payload_len"])
    # 13
    end = v["start"] + v["length"]
    marks = f.find(MARKS)
    passkeys, spans = read_marks(marks, end) if marks else ([], [])
    # 14
    if v["encoding"] == RAW:
        tokens = list(struct.unpack("<%d%s" % (v["length"], "H" if c["element"] == U16 else "I"), f.payload))
    else:
        tokens, spare = unpack(f.payload, v["length"], v["bits"])
        if any(spare):
            raise Bad("SpareBits", f.payload_off + payload_len - 1)
    k = Chunk()
    k.frame, k.at, k.tokens, k.passkeys, k.spans, k.end = f, at, tokens, passkeys, spans, end
    k.id, k.start, k.length, k.encoding, k.bits = (v[name] for name in ("chunk_id", "start", "length", "encoding", "bits"))
    k.digest = f.find(DIGEST).value[1:]
    return k


def chunk_found(k):
    return {
        "chunk_id": k.id, "start": k.start, "length": k.length, "encoding": ("raw", "packed")[k.encoding], "bits": k.bits,
        "element": k.frame.cfg["element"], "tokens": k.tokens, "digest": k.digest.hex(),
        "passkeys": [position for position, _ in k.passkeys], "spans": [[name.decode(), start, length] for name, start, length, _ in k.spans],
    }


# ---------------------------------------------------------------------------------------------------------
# The ledger file
# ---------------------------------------------------------------------------------------------------------

class Walk:
    """Chunk after chunk, up to the end or to the first that does not pass."""

    def __init__(self, data, key=None):
        self.data, self.key = data, key
        self.chunks, self.offsets = [], []
        self.at, self.tokens = 0, 0
        self.positions, self.names = set(), set()
        self.failure, self.stage = None, None
        if key is not None and not 16 <= len(key) <= 64:
            raise Bad("KeyLength", 0)
        while self.at < len(data):
            try:
                self.stage = "frame"
                read_frame(data[self.at:], False)
                self.stage = "view"
                chunk = read_chunk(data[self.at:], exact=False)
                self.stage = "ledger"
                self.check(chunk)
            except Bad as error:
                self.failure = Bad(error.kind, self.at + error.offset)
                return
            self.chunks.append(chunk)
            self.offsets.append(self.at)
            self.at += chunk.frame.end
            self.tokens += chunk.length

    def check(self, k):
        first = self.chunks[0] if self.chunks else k
        f = k.frame
        if k.id != len(self.chunks):
            raise Bad("Shape", k.at["chunk_id"])
        if k.start != self.tokens:
            raise Bad("Shape", k.at["start"])
        ours, theirs = f.find(CONTEXT), first.frame.find(CONTEXT)
        if (ours and ours.value) != (theirs and theirs.value):
            raise Bad("ContextDiffers", 4)
        if f.ctx != first.frame.ctx:
            raise Bad("ContextDiffers", 4)
        signed = f.find(HMAC)
        if bool(signed) != bool(first.frame.find(HMAC)):
            raise Bad("MixedHmac", f.would_stand(HMAC))
        if self.key is not None:
            verify(f, self.key)
        for position, off in k.passkeys:
            if position in self.positions:
                raise Bad("Duplicate", off)
        for name, _, _, off in k.spans:
            if name in self.names:
                raise Bad("Duplicate", off)
        self.positions.update(position for position, _ in k.passkeys)
        self.names.update(name for name, _, _, _ in k.spans)


def verify(f, key):
    signed = f.find(HMAC)
    if not signed:
        raise Bad("HmacMissing", f.would_stand(HMAC))
    if not hmac_module.compare_digest(signed.value[1:], f.mac(key)):
        raise Bad("Hmac", signed.val_off + 1)


def read_ledger(data, key=None):
    walk = Walk(data, key)
    if walk.failure:
        raise walk.failure
    tokens = [token for chunk in walk.chunks for token in chunk.tokens]
    return {
        "chunk_count": len(walk.chunks), "total_tokens": walk.tokens, "root": tree_hash([chunk.digest for chunk in walk.chunks]).hex(),
        "tokens_sha256": sha256(raw(tokens, U32)).hex(), "passkeys": sorted(walk.positions),
        "spans": [[name.decode(), start, length] for name, start, length in sorted(s[:3] for chunk in walk.chunks for s in chunk.spans)],
    }


# ---------------------------------------------------------------------------------------------------------
# The index's view
# ---------------------------------------------------------------------------------------------------------

def read_index(data, key=None):
    f = read_frame(data)
    if key is not None:
        verify(f, key)
    c, off = f.cfg, f.cfg_off
    # 1 to 6
    tlv = only_tlv(f, 2, INDEX)
    if c["element"] != 0:
        raise Bad("Code", off["element"])
    if c["rows"] != 0:
        raise Bad("Shape", off["rows"])
    if c["dim"] != 0:
        raise Bad("Shape", off["dim"])
    # 7 to 13
    v = fields(IDX, tlv.value)
    at = {name: tlv.val_off + field[0] for name, field in IDX.items()}
    count, total, ledger_len = v["chunk_count"], v["total_tokens"], v["ledger_len"]
    if total < count or (count == 0 and total != 0):
        raise Bad("Shape", at["total_tokens"])
    if SMALLEST_CHUNK * count >= U64:
        raise Bad("Size", at["ledger_len"])
    if ledger_len < SMALLEST_CHUNK * count or (count == 0 and ledger_len != 0):
        raise Bad("Shape", at["ledger_len"])
    if count == 0:
        if v["chunk_tokens"] != 0:
            raise Bad("Shape", at["chunk_tokens"])
    elif not ceil_div(total, count) <= v["chunk_tokens"] <= total:
        raise Bad("Shape", at["chunk_tokens"])
    if v["anchor_stride"] < 1:
        raise Bad("Shape", at["anchor_stride"])
    if v["anchor_count"] != ceil_div(count, v["anchor_stride"]):
        raise Bad("Shape", at["anchor_count"])
    if v["reserved"]:
        raise Bad("Reserved", at["reserved"])
    if c["payload_len"] != 40 * v["anchor_count"] + 24 * v["passkey_count"] + 24 * v["span_count"] + v["names_len"]:
        raise Bad("Shape", off["payload_len"])
    where = 0

    def entries(kind, number):
        """Each entry with a function that gives the offset of its fields."""
        nonlocal where
        table, size = CHECKED_FIELD[kind]
        for _ in range(number):
            base = f.payload_off + where
            yield fields(table, f.payload, where), lambda name, base=base: base + table[name][0]
            where += size

    # 14
    anchors = []
    for a, place in entries("anchor", v["anchor_count"]):
        if a["chunk_id"] != len(anchors) * v["anchor_stride"]:
            raise Bad("Shape", place("chunk_id"))
        for name in ("start", "offset"):
            if not anchors and a[name] != 0:
                raise Bad("Shape", place(name))
            if anchors and a[name] <= anchors[-1][name]:
                raise Bad("Order", place(name))
        if a["offset"] >= ledger_len:
            raise Bad("PastEnd", place("offset"))
        if not 1 <= a["length"] <= v["chunk_tokens"]:
            raise Bad("Shape", place("length"))
        if a["start"] + a["length"] > total:
            raise Bad("PastEnd", place("start"))
        if a["reserved"]:
            raise Bad("Reserved", place("reserved"))
        anchors.append(a)
    # 15
    passkeys = []
    for p, place in entries("passkey", v["passkey_count"]):
        if passkeys and p["position"] <= passkeys[-1]["position"]:
            raise Bad("Order", place("position"))
        if p["position"] >= total:
            raise Bad("PastEnd", place("position"))
        if p["chunk_id"] >= count:
            raise Bad("PastEnd", place("chunk_id"))
        if p["offset"] >= v["chunk_tokens"]:
            raise Bad("PastEnd", place("offset"))
        passkeys.append(p)
    # 16
    spans, before = [], 0
    names_at = len(f.payload) - v["names_len"]
    for s, place in entries("span", v["span_count"]):
        if s["start"] + s["length"] >= U64:
            raise Bad("Size", place("start"))
        if s["length"] < 1:
            raise Bad("Shape", place("length"))
        if s["start"] + s["length"] > total:
            raise Bad("PastEnd", place("start"))
        if s["name_off"] != before:
            raise Bad("Shape", place("name_off"))
        if s["name_len"] < 1:
            raise Bad("Shape", place("name_len"))
        if before + s["name_len"] > v["names_len"]:
            raise Bad("PastEnd", place("name_len"))
        name = f.payload[names_at + before:names_at + before + s["name_len"]]
        read_name(name, f.payload_off + names_at + before)
        if spans and name <= spans[-1][0]:
            raise Bad("Order", f.payload_off + names_at + before)
        before += s["name_len"]
        spans.append((name, s["start"], s["length"]))
    # 17
    if before != v["names_len"]:
        raise Bad("Shape", at["names_len"])
    return f, v, anchors, passkeys, spans


def index_found(index):
    _, v, anchors, passkeys, spans = index
    return {
        **{name: v[name] for name in ("total_tokens", "chunk_count", "ledger_len", "chunk_tokens", "anchor_stride", "names_len")}, "root": v["root"].hex(),
        "anchors": [[a["chunk_id"], a["start"], a["offset"], a["length"], a["sha256_prefix"].hex()] for a in anchors],
        "passkeys": [[p["position"], p["chunk_id"], p["offset"], p["token"]] for p in passkeys],
        "spans": [[name.decode(), start, length] for name, start, length in spans],
    }


# ---------------------------------------------------------------------------------------------------------
# The ledger with its index: what is committed, torn or damaged
# ---------------------------------------------------------------------------------------------------------

def derive(chunks, offsets, stride):
    """What an index over these chunks says, as index_found shows it."""
    tokens = [token for chunk in chunks for token in chunk.tokens]
    passkeys = []
    for position in sorted(p for chunk in chunks for p, _ in chunk.passkeys):
        holder = next(chunk for chunk in chunks if chunk.start <= position < chunk.end)
        passkeys.append([position, holder.id, position - holder.start, tokens[position]])
    spans = sorted(s[:3] for chunk in chunks for s in chunk.spans)
    return {
        "total_tokens": len(tokens), "chunk_count": len(chunks), "ledger_len": offsets[-1] + chunks[-1].frame.end if chunks else 0,
        "chunk_tokens": max((chunk.length for chunk in chunks), default=0), "anchor_stride": stride, "names_len": sum(len(s[0]) for s in spans),
        "root": tree_hash([chunk.digest for chunk in chunks]).hex(),
        "anchors": [[chunk.id, chunk.start, off, chunk.length, chunk.digest[:8].hex()] for chunk, off in zip(chunks, offsets) if chunk.id % stride == 0],
        "passkeys": passkeys, "spans": [[name.decode(), start, length] for name, start, length in spans],
    }


class Damaged(Exception):
    def __init__(self, chunk, error):
        super().__init__("chunk %d: %s" % (chunk, error))
        self.chunk, self.error = chunk, error


def whole_chunk_follows(data, at, walk):
    """A chunk that passes frame and view, of the ledger's ctx and a chunk_id of at least the one expected, anywhere after the first byte."""
    at = data.find(b"BIT\x01", at + 1)
    while at >= 0:
        try:
            chunk = read_chunk(data[at:], exact=False)
            if chunk.id >= len(walk.chunks) and (not walk.chunks or chunk.frame.ctx == walk.chunks[0].frame.ctx):
                return True
        except Bad:
            pass
        at = data.find(b"BIT\x01", at + 1)
    return False


TORN_FRAME = ("Truncated", "Magic", "TlvOrder", "ConfigNotFirst", "CriticalTlv", "ReservedTlv", "TlvLength", "Crc", "Digest")


def of_later_version(rest):
    """A frame of a later version: by its magic, or by critical or reserved TLVs under a good CRC."""
    if rest[:3] == b"BIT" and len(rest) > 3 and rest[3] > 1:
        return True
    at, payload_len = 12, None
    while rest[:4] == b"BIT\x01" and at + 3 <= len(rest):
        type_, length = struct.unpack_from(">BH", rest, at)
        if type_ == 0x01 and length == 24 and at == 12 and at + 27 <= len(rest):
            payload_len = struct.unpack_from(">Q", rest, at + 3 + 16)[0]
        at += 3 + length
        if type_ == 0xFF and length == 0:
            if payload_len is None or at + payload_len + 2 > len(rest):
                return False
            return crc16(rest[4:at + payload_len]) == struct.unpack_from(">H", rest, at + payload_len)[0]
    return False


def is_torn(walk, fits):
    """Whether what does not pass, at or after the committed length, is what a crash can leave."""
    rest = walk.data[walk.at:]
    if walk.stage == "frame":
        if walk.failure.kind not in TORN_FRAME:
            return False
        if walk.failure.kind in ("CriticalTlv", "ReservedTlv") and of_later_version(rest):
            return False
        if walk.failure.kind == "Magic" and not fits and of_later_version(rest):
            return False
        if fits:
            return True
        if not walk.chunks and rest[:4] != b"BIT\x01"[:len(rest[:4])]:
            return False
        return not whole_chunk_follows(walk.data, walk.at, walk)
    if walk.stage == "view" and fits and walk.failure.kind == "Kind":
        return True
    if walk.stage == "ledger" and fits:
        chunk = read_chunk(rest, exact=False)
        return chunk.id != len(walk.chunks) or chunk.start != walk.tokens
    return False


def index_fits(walk, index, length):
    """current, stale, foreign or short; Damaged if what the index covers does not pass."""
    f, v = index[0], index[1]
    if v["ledger_len"] > length:
        return "short"
    if walk.chunks:
        first = walk.chunks[0].frame
        ours, theirs = f.find(CONTEXT), first.find(CONTEXT)
        if f.ctx != first.ctx or (ours and ours.value) != (theirs and theirs.value):
            return "foreign"
        if bool(f.find(HMAC)) != bool(first.find(HMAC)):
            return "foreign"
    if walk.at < v["ledger_len"]:
        raise Damaged(len(walk.chunks), walk.failure)
    covered = [i for i, off in enumerate(walk.offsets) if off < v["ledger_len"]]
    right = derive([walk.chunks[i] for i in covered], [walk.offsets[i] for i in covered], v["anchor_stride"])
    if right != index_found(index):
        return "foreign"
    return "current" if v["ledger_len"] == walk.at else "stale"


def open_ledger(data, index_data, key=None):
    walk = Walk(data, key)
    verdict, error = None, None
    if index_data is not None:
        try:
            index = read_index(index_data, key)
            verdict = index_fits(walk, index, len(data))
        except Bad as refused:
            verdict, error = "rejected", refused
    if walk.failure and not is_torn(walk, verdict in ("current", "stale")):
        raise Damaged(len(walk.chunks), walk.failure)
    out = {"index": verdict}
    if error:
        out["index_error"] = {"kind": error.kind, "offset": error.offset}
    return {**out, "whole_len": walk.at, "torn": len(data) - walk.at}


# ---------------------------------------------------------------------------------------------------------
# The writer
# ---------------------------------------------------------------------------------------------------------

def marks_value(passkeys=(), spans=(), passkey_count=None, span_count=None, more=b""):
    """spans are (name, start, length) or (name, start, length, claimed name_len)."""
    out = struct.pack(">HH", len(passkeys) if passkey_count is None else passkey_count, len(spans) if span_count is None else span_count)
    out += b"".join(struct.pack(">Q", position) for position in passkeys)
    for name, start, length, *claim in spans:
        out += struct.pack(">QQH", start, length, claim[0] if claim else len(name)) + name
    return out + more


def chunk_frame(chunk_id, start, tokens, encoding=None, element=None, bits=None, passkeys=(), spans=(), context=None, ctx=None, key=None, align=None,
                flags=0):
    """A chunk as a writer makes it; with encoding, element or bits as told."""
    if encoding is None:
        encoding, element, bits, payload = choose(tokens)
    elif encoding == RAW:
        bits, payload = 0, raw(tokens, element)
    else:
        bits = max(1, max(tokens).bit_length()) if bits is None else bits
        element, payload = U8, pack(tokens, bits)
    f = Frame(1, element, 1, len(payload) if encoding == PACKED else len(tokens), 0, payload, flags, context, ctx)
    f.put(CHUNK, struct.pack(">QQIBBH", chunk_id, start, len(tokens), encoding, bits, 0))
    if passkeys or spans:
        f.put(MARKS, marks_value(passkeys, spans))
    return f.seal(True, key, align=align)


def chk(f, **values):
    """Overwrites fields of LEDGER_CHUNK_V1."""
    for name, value in values.items():
        f.poke(CHUNK, CHK[name][0], struct.pack(CHK[name][1], value))
    return f


def chk_off(f, name):
    return f.val(CHUNK) + CHK[name][0]


class IndexLayout:
    """An index to be laid out as told, right or wrong."""

    def __init__(self, chunks=(), offsets=(), stride=8, **frame):
        told = derive(chunks, offsets, stride)
        self.frame = frame
        self.values = {name: told[name] for name in ("total_tokens", "chunk_count", "ledger_len", "chunk_tokens", "anchor_stride")}
        self.values.update(root=bytes.fromhex(told["root"]), reserved=0)
        self.anchors = [dict(zip(("chunk_id", "start", "offset", "length", "sha256_prefix"), a[:4] + [bytes.fromhex(a[4])]), reserved=0) for a in told["anchors"]]
        self.passkeys = [dict(zip(PASSKEY, p)) for p in told["passkeys"]]
        names = [s[0].encode() for s in told["spans"]]
        self.spans = [{"start": s[1], "length": s[2], "name_off": sum(map(len, names[:i])), "name_len": len(names[i])} for i, s in enumerate(told["spans"])]
        self.names = b"".join(names)
        self.after = []

    def claim(self, **values):
        self.values.update(values)
        return self

    def then(self, change):
        """A change of the frame before it is sealed."""
        self.after.append(change)
        return self

    def tables(self):
        return ((ANCHOR, self.anchors), (PASSKEY, self.passkeys), (SPAN, self.spans))

    def build(self):
        payload = b"".join(b"".join(struct.pack(fmt, entry[name]) if not fmt.endswith("s") else entry[name] for name, (_, fmt) in table.items())
                           for table, entries in self.tables() for entry in entries) + self.names
        values = {"anchor_count": len(self.anchors), "passkey_count": len(self.passkeys), "span_count": len(self.spans), "names_len": len(self.names)}
        values.update(self.values)
        frame = dict(self.frame)
        key = frame.pop("key", None)
        f = Frame(2, 0, 0, 0, 0, payload, 0, frame.get("context"), frame.get("ctx"))
        f.put(INDEX, b"".join(struct.pack(fmt, values[name]) for name, (_, fmt) in IDX.items()))
        for change in self.after:
            change(f)
        f.seal(f.crc_off() - 4 > 4093 or frame.get("digest", False), key, align=frame.get("align"))
        return f

    def place(self, f, kind, i, name):
        """Offset of a field of an entry."""
        at = f.payload_off()
        for table, entries in self.tables():
            size = 40 if table is ANCHOR else 24
            if CHECKED_FIELD[kind][0] is table:
                return at + size * i + table[name][0]
            at += size * len(entries)
        raise AssertionError(kind)

    def names_at(self, f):
        return f.payload_off() + len(f.payload) - len(self.names)


def walk_of(frames):
    walk = Walk(b"".join(f.bytes() for f in frames))
    assert walk.failure is None, walk.failure
    return walk


def index_of(frames, stride=8, **frame):
    walk = walk_of(frames)
    return IndexLayout(walk.chunks, walk.offsets, stride, **frame)


# ---------------------------------------------------------------------------------------------------------
# Cases
# ---------------------------------------------------------------------------------------------------------

class LedgerCases(Cases):
    @staticmethod
    def run(view, data, key):
        if view == "chunk":
            return chunk_found(read_chunk(data))
        if view == "index":
            return index_found(read_index(data))
        if view == "ledger":
            return read_ledger(data, key)
        raise AssertionError(view)


def cut_at(f, n):
    """Where a frame that ends after n bytes is Truncated, from the layout."""
    if n < 4:
        return 0
    if n < 12:
        return 4
    for i, item in enumerate(f.items):
        at = f.off_at(i)
        if n < at + 3:
            return at
        if n < at + 3 + len(item[1]):
            return at + 3
    return f.payload_off()


def with_changes(base, faults, key=None):
    """The later faults first, so that a TLV that is dropped is still there for them; hashes made good."""
    f = base.copy()
    for fault in reversed(faults):
        fault[1](f)
    return f.rehash(key)


def longer_payload(f):
    f.payload += b"\x00"
    f.cfg(payload_len=len(f.payload))


def spare_bit(f):
    f.payload = f.payload[:-1] + bytes([f.payload[-1] | 0x80])


CONTEXT_0 = context_text(0)
NAMED = context_text(0, "m", "p", "s")
LAST = U64 - 1
UTF8_GOOD = (
    ("ascii", b"a"), ("nul", b"\x00"), ("two-bytes", "\u00e9".encode()), ("two-bytes-least", b"\xc2\x80"), ("three-bytes-least", b"\xe0\xa0\x80"),
    ("before-surrogates", b"\xed\x9f\xbf"), ("after-surrogates", b"\xee\x80\x80"), ("noncharacter", b"\xef\xbf\xbf"), ("bom", b"\xef\xbb\xbf"),
    ("four-bytes-least", b"\xf0\x90\x80\x80"), ("greatest", b"\xf4\x8f\xbf\xbf"), ("newline", b"a\nb"), ("slash", b"../a"), ("space", b" "),
)
# name, bytes, index of the first byte of the first sequence that is not UTF-8
UTF8_BAD = (
    ("continuation", b"\x80", 0), ("continuation-after", b"ab\xbf", 2), ("fe", b"a\xfe", 1), ("ff", b"\xff", 0), ("c0", b"\xc0\x80", 0), ("c1", b"\xc1\xbf", 0),
    ("two-bytes-cut", b"a\xc3", 1), ("two-bytes-broken", b"a\xc3(", 1), ("three-bytes-cut", b"ab\xe2\x82", 2), ("three-bytes-broken", b"\xe2(\xa1", 0),
    ("three-bytes-broken-late", b"a\xe2\x82(", 1), ("three-bytes-overlong", b"\xe0\x9f\xbf", 0), ("surrogate", b"a\xed\xa0\x80", 1), ("surrogate-low", b"\xed\xbf\xbf", 0),
    ("surrogates", b"\xed\xa0\xbd\xed\xb8\x80", 0), ("four-bytes-cut", b"\xf0\x9f\x98", 0), ("four-bytes-overlong", b"\xf0\x8f\xbf\xbf", 0),
    ("over-greatest", b"\xf4\x90\x80\x80", 0), ("f5", b"\xf5\x80\x80\x80", 0), ("after-good", "\u00e9\u20ac".encode() + b"\x80", 5), ("two-faults", b"a\x80b\xff", 1),
)


def base_chunk(**more):
    """Five tokens of 3 bits, 1 bit to spare, two passkeys and two spans; ends at 1005."""
    return chunk_frame(7, 1000, [1, 2, 3, 4, 5], passkeys=[3, 1004], spans=[(b"a", 0, 1005), (b"ab", 1004, 1)], **more)


def chunk_faults():
    """In the order of the checks; the marks of base_chunk stand from MARKS + 4."""
    def marks(at, fmt, value):
        return lambda f: f.poke(MARKS, at, struct.pack(fmt, value))

    def m(at):
        return lambda f: f.val(MARKS) + at

    first, second = 4 + 16, 4 + 16 + 18 + 1             # the spans
    return [
        ("kind", lambda f: f.cfg(kind=3), "Kind", lambda f: f.field("kind")),
        ("missing", lambda f: f.drop(CHUNK), "TlvMissing", lambda f: f.off(CHUNK)),
        ("foreign", lambda f: f.put(GIST, BODIES[GIST]), "ForeignTlv", lambda f: f.off(GIST)),
        ("rows", lambda f: f.cfg(rows=2), "Shape", lambda f: f.field("rows")),
        ("end", lambda f: chk(f, start=LAST), "Size", lambda f: chk_off(f, "start")),
        ("length", lambda f: chk(f, length=0), "Shape", lambda f: chk_off(f, "length")),
        ("encoding", lambda f: chk(f, encoding=2), "Code", lambda f: chk_off(f, "encoding")),
        ("bits", lambda f: chk(f, bits=33), "Code", lambda f: chk_off(f, "bits")),
        ("reserved", lambda f: chk(f, reserved=1), "Reserved", lambda f: chk_off(f, "reserved")),
        ("element", lambda f: f.cfg(element=U16), "Code", lambda f: f.field("element")),
        ("dim", lambda f: f.cfg(dim=3), "Shape", lambda f: f.field("dim")),
        ("payload-len", longer_payload, "Shape", lambda f: f.field("payload_len")),
        ("passkey-end", marks(4, ">Q", 1005), "PastEnd", m(4)),
        ("passkey-order", marks(12, ">Q", 3), "Order", m(12)),
        ("span-size", marks(first, ">Q", LAST), "Size", m(first)),
        ("span-length", marks(first + 8, ">Q", 0), "Shape", m(first + 8)),
        ("span-end", marks(second, ">Q", 1005), "PastEnd", m(second)),
        ("name-utf8", marks(second + 19, ">B", 0xFF), "Utf8", m(second + 19)),
        ("name-order", marks(second + 18, ">B", 0x60), "Order", m(second + 18)),
        ("marks-trailing", lambda f: f.put(MARKS, f.item(MARKS)[1] + b"\x00"), "TrailingBytes", m(second + 20)),
        ("spare", spare_bit, "SpareBits", lambda f: f.crc_off() - 1),
    ]


def chunk_cases():
    c = LedgerCases("bit-vectors/chunk", "spec/ledger.md", [
        "View \"chunk\". Every input is given to an exact reader.",
        "CRC, digest and MAC are good unless the case is about them.",
    ])

    def ok(id_, comment, f, **stated):
        data = f.bytes()
        expect = chunk_found(read_chunk(data))
        for name, value in stated.items():
            assert expect[name] == value, (id_, name, expect[name], value)
        c.accept(id_, comment, data, "chunk", expect)

    def no(id_, comment, f, kind, offset):
        c.reject(id_, comment, f.bytes() if isinstance(f, Frame) else f, "chunk", kind, offset)

    # --- the tables of the specification --------------------------------------------------------------------
    f = chunk_frame(0, 0, [1, 2, 3])
    assert f.payload == b"\x39"
    ok("spec-2-bits", "the table of the specification", f, encoding="packed", bits=2, tokens=[1, 2, 3])
    f = chunk_frame(0, 0, [5, 6, 7, 300])
    assert f.payload == bytes.fromhex("050c1c6009")
    ok("spec-9-bits", "the table of the specification", f, encoding="packed", bits=9, tokens=[5, 6, 7, 300])
    f = chunk_frame(0, 0, [1, 65535])
    assert f.payload == bytes.fromhex("0100ffff")
    ok("spec-tie", "the table of the specification: a tie of 16 bits with raw u16", f, encoding="raw", bits=0, element=U16)
    small = chunk_frame(0, 0, [1], flags=None)
    assert len(small.bytes()) == SMALLEST_CHUNK
    ok("smallest", "108 bytes: without FLAGS_V1, one token in one byte", small, tokens=[1], bits=1)

    # --- encodings -------------------------------------------------------------------------------------------
    tokens = [0, 1, 2, 50256, 65535]
    ok("raw-u16", "raw u16", chunk_frame(1, 10, tokens, RAW, U16), tokens=tokens, bits=0, element=U16)
    ok("raw-u32", "raw u32", chunk_frame(1, 10, [0, 1, 65536, 2 ** 32 - 1], RAW, U32), tokens=[0, 1, 65536, 2 ** 32 - 1], element=U32)
    ok("raw-u32-small", "raw u32 where u16 would do: the choice is the writer's", chunk_frame(1, 10, [1, 2], RAW, U32), tokens=[1, 2])
    ok("raw-u16-small", "raw u16 where 1 bit would do", chunk_frame(1, 10, [1, 0, 1], RAW, U16), tokens=[1, 0, 1])
    ok("raw-u16-one", "raw u16, one token", chunk_frame(0, 0, [513], RAW, U16), tokens=[513])
    ok("raw-u32-one", "raw u32, one token", chunk_frame(0, 0, [0x01020304], RAW, U32), tokens=[0x01020304])
    rng = Lcg(11)
    for bits in range(1, 33):
        tokens = [rng.u32() & (1 << bits) - 1 for _ in range(5)] + [(1 << bits) - 1, 0]
        ok("bits-%d" % bits, "%d bits, 7 tokens" % bits, chunk_frame(3, 100, tokens, PACKED, bits=bits), tokens=tokens, bits=bits)
    ok("bits-1-zero", "one token 0 in 1 bit", chunk_frame(0, 0, [0]), tokens=[0], bits=1)
    ok("bits-32-one", "one token of 32 bits", chunk_frame(0, 0, [2 ** 32 - 1], PACKED, bits=32), tokens=[2 ** 32 - 1], bits=32)
    ok("bits-8-zeroes", "bits need not be the least that would do", chunk_frame(0, 0, [0, 0, 1], PACKED, bits=8), tokens=[0, 0, 1])
    ok("bits-32-small", "32 bits for small tokens", chunk_frame(0, 0, [1, 2], PACKED, bits=32), tokens=[1, 2], bits=32)
    ok("bits-1-eight", "8 tokens of 1 bit: no spare bit", chunk_frame(0, 0, [1] * 8, PACKED, bits=1), tokens=[1] * 8)
    ok("bits-1-nine", "9 tokens of 1 bit: 7 spare bits", chunk_frame(0, 0, [1] * 9, PACKED, bits=1), tokens=[1] * 9)
    ok("bits-17-many", "100 tokens of 17 bits", chunk_frame(0, 0, [rng.u32() >> 15 for _ in range(100)], PACKED, bits=17), bits=17)
    ok("bits-11-many", "129 tokens of 11 bits", chunk_frame(0, 0, [rng.u32() >> 21 for _ in range(129)], PACKED, bits=11), bits=11)

    # --- the envelope ----------------------------------------------------------------------------------------
    ok("context", "CONTEXT_V1 with dim 0", chunk_frame(0, 0, [1, 2], context=NAMED))
    ok("context-other-dim", "the context's dim is not the chunk's view's to check", chunk_frame(0, 0, [1, 2], context=context_text(3)))
    ok("context-not-json", "CONTEXT_V1 that is no JSON: the hash alone is checked", chunk_frame(0, 0, [1, 2], context=b"\xff"))
    ok("no-flags", "FLAGS_V1 left out", chunk_frame(0, 0, [1, 2], flags=None))
    ok("flags", "flags of the beacon and ignored bits", chunk_frame(0, 0, [1, 2], flags=0xFFFF0006))
    ok("signed", "HMAC_V1, which the view does not verify", chunk_frame(0, 0, [1, 2], key=KEY).poke(HMAC, 1, bytes(32)))
    ok("aligned", "PAD_V1, the payload aligned to 64 bytes", chunk_frame(0, 0, [1, 2], align=64))
    ok("everything", "context, marks, MAC and pad", base_chunk(context=NAMED, key=KEY, align=64), passkeys=[3, 1004], spans=[["a", 0, 1005], ["ab", 1004, 1]])
    ok("unknown-tlv", "an unknown TLV of 80-EF", chunk_frame(0, 0, [1, 2]).put(0x90, b"?").rehash())
    assert chunk_frame(0, 0, [1, 2]).item(DIGEST) == chunk_frame(0, 0, [1, 2], align=64).item(DIGEST)
    no("digest-missing", "a chunk of any size has a digest", chunk_frame(0, 0, [1, 2]).drop(DIGEST), "DigestMissing", 12 + 27 + 7 + 27)
    f = chunk_frame(0, 0, [1, 2])
    no("digest-wrong", "a wrong digest", f.copy().poke(DIGEST, 32, bytes([f.item(DIGEST)[1][32] ^ 1])), "Digest", f.val(DIGEST) + 1)
    no("crc-wrong", "a wrong CRC", f.bytes(crc16(f.body()) ^ 1), "Crc", f.crc_off())
    no("trailing", "a byte after the chunk", f.bytes() + b"\x00", "TrailingBytes", f.end())
    no("two-chunks", "a chunk after the chunk", f.bytes() + f.bytes(), "TrailingBytes", f.end())
    no("empty", "0 bytes are no chunk", b"", "Truncated", 0)

    # --- positions -------------------------------------------------------------------------------------------
    ok("ids-max", "the greatest chunk_id", chunk_frame(LAST, 5, [1, 2]), chunk_id=LAST)
    ok("end-max", "start + length = 2^64 - 1", chunk_frame(9, LAST - 3, [1, 2, 3]), start=LAST - 3)
    ok("end-max-one", "start 2^64 - 2 and one token", chunk_frame(9, LAST - 1, [1]), start=LAST - 1)
    for name, start, n in (("end-2-64", U64 - 3, 3), ("end-over", U64 - 3, 4), ("end-one", LAST, 1), ("end-wraps", LAST, 9)):
        f = chunk_frame(9, start, [1] * n)
        no(name, "start %d and %d tokens" % (start, n), f, "Size", chk_off(f, "start"))
    f = chk(chunk_frame(9, LAST, [1]), length=0).rehash()
    no("length-0-end-max", "start 2^64 - 1 and length 0: the sum fits", f, "Shape", chk_off(f, "length"))
    f = chk(chunk_frame(0, 0, [1]), length=0).cfg(dim=0, payload_len=0)
    f.payload = b""
    no("length-0", "no token at all", f.rehash(), "Shape", chk_off(f, "length"))

    # --- each check ------------------------------------------------------------------------------------------
    for kind in (0, 2, 3, 200):
        f = chunk_frame(0, 0, [1, 2]).cfg(kind=kind).rehash()
        no("kind-%d" % kind, "kind %d" % kind, f, "Kind", f.field("kind"))
    f = chunk_frame(0, 0, [1, 2]).drop(CHUNK).rehash()
    no("missing", "no LEDGER_CHUNK_V1: it would stand at DIGEST_V1", f, "TlvMissing", f.off(DIGEST))
    f = base_chunk(context=NAMED).drop(CHUNK).put(INDEX, BODIES[INDEX]).rehash()
    no("missing-other", "LEDGER_INDEX_V1 instead, where it would stand", f, "TlvMissing", f.off(INDEX))
    for type_ in (CALIB, RESULTS, INDEX, MIRROR, GIST, ENGRAM):
        f = chunk_frame(0, 0, [1, 2]).put(type_, BODIES[type_]).rehash()
        no("foreign-%02x" % type_, "TLV %02X does not belong to a chunk" % type_, f, "ForeignTlv", f.off(type_))
    f = chunk_frame(0, 0, [1, 2]).put(CALIB, BODIES[CALIB]).put(MIRROR, BODIES[MIRROR]).rehash()
    no("foreign-two", "two foreign TLVs: the first counts", f, "ForeignTlv", f.off(CALIB))
    for rows in (0, 2, 2 ** 32 - 1):
        f = chunk_frame(0, 0, [1, 2]).cfg(rows=rows).rehash()
        no("rows-%d" % rows, "rows %d" % rows, f, "Shape", f.field("rows"))
    for encoding in (2, 128, 255):
        f = chk(chunk_frame(0, 0, [1, 2]), encoding=encoding).rehash()
        no("encoding-%d" % encoding, "encoding %d" % encoding, f, "Code", chk_off(f, "encoding"))
    for bits in (0, 33, 64, 255):
        f = chk(chunk_frame(0, 0, [1, 2]), bits=bits).rehash()
        no("packed-bits-%d" % bits, "bit-packed with %d bits" % bits, f, "Code", chk_off(f, "bits"))
    for bits in (1, 16, 33, 255):
        f = chk(chunk_frame(0, 0, [1, 2], RAW, U16), bits=bits).rehash()
        no("raw-bits-%d" % bits, "raw with %d bits" % bits, f, "Shape", chk_off(f, "bits"))
    for value in (1, 256, 65535):
        f = chk(chunk_frame(0, 0, [1, 2]), reserved=value).rehash()
        no("reserved-%d" % value, "reserved %d" % value, f, "Reserved", chk_off(f, "reserved"))
    for element in (0, 1, 3, 4, 5, 8, 9):
        f = chunk_frame(0, 0, [1, 2], PACKED).cfg(element=element, delta_q16=int(element == 1)).rehash()
        no("packed-element-%d" % element, "bit-packed of element %d" % element, f, "Code", f.field("element"))
    for element in (0, 1, 2, 5, 6, 7, 9):
        f = chunk_frame(0, 0, [1, 2], RAW, U16).cfg(element=element, delta_q16=int(element == 1)).rehash()
        no("raw-element-%d" % element, "raw of element %d" % element, f, "Code", f.field("element"))
    for name, f, dim in (
            ("raw-0", chunk_frame(0, 0, [1, 2], RAW, U16), 0), ("raw-bytes", chunk_frame(0, 0, [1, 2], RAW, U16), 4), ("raw-more", chunk_frame(0, 0, [1, 2], RAW, U32), 3),
            ("packed-length", chunk_frame(0, 0, [1, 2, 3]), 3), ("packed-0", chunk_frame(0, 0, [1, 2, 3]), 0), ("packed-more", chunk_frame(0, 0, [1, 2, 3]), 2)):
        f.cfg(dim=dim).rehash()
        no("dim-" + name, "dim %d" % dim, f, "Shape", f.field("dim"))

    def sized(payload, **values):
        """A bit-packed chunk with the payload and, after that, the values as told."""
        f = chunk_frame(0, 0, [1])
        f.payload = payload
        f.cfg(payload_len=len(payload), **{k: v for k, v in values.items() if k in ("dim", "element", "payload_len")})
        return chk(f, **{k: v for k, v in values.items() if k in CHK}).rehash()

    top = 2 ** 32 - 1
    for name, comment, f, field in (
            ("wraps-dim", "ceil(length * bits / 8) is 2^34 - 4, dim that modulo 2^32", sized(b"\x01", length=top, bits=32, dim=2 ** 32 - 4), "dim"),
            ("wraps-dim-small", "length * bits is 2^32 + 8 bits, dim as if it were 8", sized(b"\x01", length=2 ** 29 + 1, bits=8, dim=1), "dim"),
            ("wraps-bytes", "ceil(length * bits / 8) is 2^32 + 1, dim 1", sized(b"\x01", length=2 ** 31 + 1, bits=16, dim=1), "dim"),
            ("dim-least-over", "ceil(length * bits / 8) is 2^32: no dim is", sized(b"", length=2 ** 31, bits=16, dim=0), "dim"),
            ("dim-max-over", "the same with the greatest dim", sized(b"\x01", length=2 ** 31, bits=16, dim=top), "dim"),
            ("dim-max", "dim 2^32 - 1 is that of length and bits, the payload is short", sized(b"\x01", length=top, bits=8, dim=top), "payload_len"),
            ("dim-max-9", "the greatest length of 9 bits", sized(b"\x01", length=3817748706, bits=9, dim=4294967295), "payload_len"),
            ("raw-u16-wraps", "2 * length is 2^32 + 2, payload_len 2", sized(b"\x01\x00", length=2 ** 31 + 1, encoding=0, bits=0, element=U16, dim=2 ** 31 + 1), "payload_len"),
            ("raw-u32-wraps", "4 * length is 2^32 + 4, payload_len 4", sized(bytes(4), length=2 ** 30 + 1, encoding=0, bits=0, element=U32, dim=2 ** 30 + 1), "payload_len"),
            ("raw-u32-max", "the greatest length raw", sized(bytes(4), length=top, encoding=0, bits=0, element=U32, dim=top), "payload_len"),
            ("raw-u16-max", "the greatest length raw", sized(bytes(2), length=top, encoding=0, bits=0, element=U16, dim=top), "payload_len"),
            ("raw-as-u32", "raw u16 with the payload of u32", sized(bytes(8), length=2, encoding=0, bits=0, element=U16, dim=2), "payload_len"),
            ("raw-as-u16", "raw u32 with the payload of u16", sized(bytes(4), length=2, encoding=0, bits=0, element=U32, dim=2), "payload_len"),
            ("payload-0", "no payload", sized(b"", length=2, bits=3, dim=1), "payload_len"),
            ("payload-more", "a byte too many", sized(bytes(2), length=2, bits=3, dim=1), "payload_len")):
        no("size-" + name, comment, f, "Shape", f.field(field))

    # --- spare bits ------------------------------------------------------------------------------------------
    for n, bits in ((1, 1), (1, 7), (7, 1), (9, 1), (3, 3), (5, 5), (2, 9), (3, 17), (1, 31), (9, 31)):
        f = chunk_frame(0, 0, [0] * (n - 1) + [(1 << bits) - 1], PACKED, bits=bits)
        used = n * bits % 8
        for bit in {used, 7}:
            g = f.copy()
            g.payload = g.payload[:-1] + bytes([g.payload[-1] | 1 << bit])
            no("spare-%dx%d-bit-%d" % (n, bits, bit), "%d tokens of %d bits, spare bit %d set" % (n, bits, bit), g.rehash(), "SpareBits", g.crc_off() - 1)

    # --- marks -----------------------------------------------------------------------------------------------
    def marked(**marks):
        return chunk_frame(7, 1000, [1, 2, 3, 4, 5]).put(MARKS, marks_value(**marks)).rehash()

    at = marked().val(MARKS)
    ok("marks-empty", "LEDGER_MARKS_V1 without a mark", marked(), passkeys=[], spans=[])
    ok("marks-passkeys", "passkeys at the start, before, in and at the end of the chunk", marked(passkeys=[0, 999, 1000, 1004]), passkeys=[0, 999, 1000, 1004])
    ok("marks-span-whole", "a span of all tokens so far", marked(spans=[(b"all", 0, 1005)]), spans=[["all", 0, 1005]])
    ok("marks-span-last", "a span of the last token", marked(spans=[(b"x", 1004, 1)]))
    ok("marks-overlap", "spans that overlap and are equal, named in order", marked(spans=[(b"a", 0, 5), (b"b", 0, 5), (b"c", 3, 100)]))
    ok("marks-prefixes", "names that are prefixes of each other", marked(spans=[(b"a", 9, 1), (b"a\x00", 8, 1), (b"aa", 7, 1), (b"ab", 6, 1), (b"b", 5, 1)]))
    ok("marks-case", "names differ by case, order by byte", marked(spans=[(b"A", 1, 1), (b"Z", 1, 1), (b"a", 1, 1), ("\u00e9".encode(), 1, 1)]))
    ok("marks-utf8-order", "the order of bytes, not of UTF-16 code units", marked(spans=[(b"\xef\xbf\xbd", 1, 1), (b"\xf0\x90\x80\x80", 1, 1)]))
    ok("marks-not-normalised", "one letter, composed and not, are two names", marked(spans=[("e\u0301".encode(), 1, 1), ("\u00e9".encode(), 1, 1)]))
    ok("marks-name-and-passkey", "a passkey at a span's start", marked(passkeys=[5], spans=[(b"a", 5, 1)]))
    f = chunk_frame(9, LAST - 3, [1, 2, 3], passkeys=[LAST - 1], spans=[(b"a", 0, LAST), (b"b", LAST - 1, 1)])
    ok("marks-end-max", "marks at the greatest end", f, passkeys=[LAST - 1], spans=[["a", 0, LAST], ["b", LAST - 1, 1]])
    f = chunk_frame(9, LAST - 3, [1, 2, 3]).put(MARKS, marks_value([LAST])).rehash()
    no("marks-position-max", "position 2^64 - 1", f, "PastEnd", f.val(MARKS) + 4)
    for name, value in UTF8_GOOD:
        ok("name-" + name, "the name %s" % value.hex(), marked(spans=[(value, 1, 1)]), spans=[[value.decode(), 1, 1]])
    for name, value, bad in UTF8_BAD:
        no("name-" + name, "the name %s" % value.hex(), marked(spans=[(value, 1, 1)]), "Utf8", at + 4 + 18 + bad)
    no("name-utf8-second", "the second name is not UTF-8", marked(spans=[(b"a", 1, 1), (b"b\x80", 1, 1)]), "Utf8", at + 4 + 19 + 18 + 1)
    no("name-split", "a letter over two names", marked(spans=[(b"a\xc3", 1, 1), (b"\xa9", 1, 1)]), "Utf8", at + 4 + 18 + 1)
    name = b"n" * 65512 + b"\x80"
    no("name-longest", "a name of 65,513 bytes fills the TLV; its last byte is not UTF-8", marked(spans=[(name, 1, 1)]), "Utf8", at + 22 + 65512)
    assert len(marked(spans=[(name, 1, 1)]).item(MARKS)[1]) == 65535
    ok("name-300", "a name of 300 bytes", marked(spans=[(b"n" * 300, 1, 1)]))
    no("name-65535", "name_len 65535 with 5 bytes", marked(spans=[(b"abcde", 1, 1, 65535)]), "Truncated", at + 22)

    value = marks_value([3, 1004], [(b"a", 0, 1005), (b"ab", 1004, 1)])
    starts = [4, 12, 20, 28, 36, 38, 39, 47, 55, 57]        # of the fields after the counts
    for n in range(4, len(value)):
        f = marked().put(MARKS, value[:n]).rehash()
        no("marks-cut-%d" % n, "LEDGER_MARKS_V1 of %d bytes" % n, f, "Truncated", f.val(MARKS) + max(s for s in starts if s <= n))
    f = marked().put(MARKS, value[:3]).rehash()
    no("marks-cut-3", "LEDGER_MARKS_V1 of 3 bytes: the frame parser refuses them", f, "TlvLength", f.off(MARKS) + 1)
    for name, comment, marks, kind, off in (
            ("passkeys-claimed", "passkey_count 1 without any", {"passkey_count": 1}, "Truncated", 4),
            ("passkeys-claimed-max", "passkey_count 65535 with 2", {"passkeys": [3, 4], "passkey_count": 65535}, "Truncated", 20),
            ("spans-claimed-max", "span_count 65535 with 1", {"spans": [(b"a", 1, 1)], "span_count": 65535}, "Truncated", 23),
            ("passkeys-not-claimed", "passkey_count 0 with 1", {"passkeys": [3], "passkey_count": 0}, "TrailingBytes", 4),
            ("spans-not-claimed", "span_count 0 with 1", {"passkeys": [3], "spans": [(b"a", 1, 1)], "span_count": 0}, "TrailingBytes", 12),
            ("trailing", "a byte after the last span", {"spans": [(b"a", 1, 1)], "more": b"\x00"}, "TrailingBytes", 23),
            ("trailing-empty", "a byte and no mark", {"more": b"\x01"}, "TrailingBytes", 4),
            ("passkey-equal", "a position twice", {"passkeys": [5, 5]}, "Order", 12),
            ("passkey-falls", "positions that fall", {"passkeys": [5, 6, 4]}, "Order", 20),
            ("passkey-falls-little-endian", "positions in order as little-endian bytes only", {"passkeys": [256, 1]}, "Order", 12),
            ("passkey-at-end", "position = end of the chunk", {"passkeys": [1005]}, "PastEnd", 4),
            ("passkey-second-at-end", "the second position is past the end", {"passkeys": [1004, 1005]}, "PastEnd", 12),
            ("passkey-max", "position 2^64 - 1", {"passkeys": [LAST]}, "PastEnd", 4),
            ("passkey-order-first", "a position past the end, then one that falls: from left to right", {"passkeys": [2000, 1]}, "PastEnd", 4),
            ("passkey-end-then-cut", "a position past the end, the next is not there", {"passkeys": [2000], "passkey_count": 2}, "PastEnd", 4),
            ("span-wraps", "start + length = 2^64", {"spans": [(b"a", LAST, 1)]}, "Size", 4),
            ("span-wraps-length", "length 2^64 - 1", {"spans": [(b"a", 1, LAST)]}, "Size", 4),
            ("span-wraps-just-not", "start + length = 2^64 - 1", {"spans": [(b"a", 1, LAST - 1)]}, "PastEnd", 4),
            ("span-length-0", "length 0", {"spans": [(b"a", 1, 0)]}, "Shape", 12),
            ("span-length-0-at-end", "length 0 at the end of the chunk", {"spans": [(b"a", 1005, 0)]}, "Shape", 12),
            ("span-length-0-past", "length 0 and past the end: length first", {"spans": [(b"a", 2000, 0)]}, "Shape", 12),
            ("span-length-0-max", "start 2^64 - 1 and length 0: the sum fits", {"spans": [(b"a", LAST, 0)]}, "Shape", 12),
            ("span-past", "one token past the end", {"spans": [(b"a", 1004, 2)]}, "PastEnd", 4),
            ("span-at-end", "start at the end", {"spans": [(b"a", 1005, 1)]}, "PastEnd", 4),
            ("span-past-whole", "longer than the ledger", {"spans": [(b"a", 0, 1006)]}, "PastEnd", 4),
            ("span-past-unnamed", "past the end without a name: the end first", {"spans": [(b"", 1005, 1)]}, "PastEnd", 4),
            ("name-empty", "name_len 0", {"spans": [(b"", 1, 1)]}, "Shape", 20),
            ("name-empty-second", "name_len 0 of the second", {"spans": [(b"a", 1, 1), (b"", 1, 1)]}, "Shape", 4 + 19 + 16),
            ("name-equal", "a name twice", {"spans": [(b"a", 1, 1), (b"a", 2, 1)]}, "Order", 4 + 19 + 18),
            ("name-falls", "names that fall", {"spans": [(b"b", 1, 1), (b"a", 2, 1)]}, "Order", 4 + 19 + 18),
            ("name-prefix-falls", "a name, then its prefix", {"spans": [(b"ab", 1, 1), (b"a", 2, 1)]}, "Order", 4 + 20 + 18),
            ("name-prefix-nul-falls", "a name and a NUL, then the name", {"spans": [(b"a\x00", 1, 1), (b"a", 2, 1)]}, "Order", 4 + 20 + 18),
            ("name-length-no-order", "order is by byte, not by length", {"spans": [(b"b", 1, 1), (b"aaa", 2, 1)]}, "Order", 4 + 19 + 18),
            ("name-case-falls", "order is by byte, not by letter", {"spans": [(b"a", 1, 1), (b"B", 2, 1)]}, "Order", 4 + 19 + 18),
            ("name-utf16-order", "the order of UTF-16 code units is another", {"spans": [(b"\xf0\x90\x80\x80", 1, 1), (b"\xef\xbf\xbd", 1, 1)]}, "Order", 4 + 22 + 18),
            ("name-utf8-before-order", "not UTF-8 and not in order: UTF-8 first", {"spans": [(b"b", 1, 1), (b"a\xff", 2, 1)]}, "Utf8", 4 + 19 + 18 + 1),
            ("cut-before-size", "start + length = 2^64 and the name cut: the fields first", {"spans": [(b"a", LAST, 1, 2)]}, "Truncated", 22),
            ("cut-before-length", "length 0 and the name cut", {"spans": [(b"a", 1, 0, 2)]}, "Truncated", 22),
            ("end-before-next-cut", "a span past the end, the next is not there", {"spans": [(b"a", 1005, 1)], "span_count": 2}, "PastEnd", 4),
            ("passkey-before-span", "the last passkey and the first span are wrong", {"passkeys": [1, 1], "spans": [(b"a", 1, 0)]}, "Order", 12),
            ("order-before-trailing", "names that fall and a byte after them", {"spans": [(b"b", 1, 1), (b"a", 2, 1)], "more": b"\x00"}, "Order", 4 + 19 + 18)):
        no("marks-" + name, comment, marked(**marks), kind, at + off)

    # --- which fault comes first -----------------------------------------------------------------------------
    base = base_chunk()
    faults = chunk_faults()
    for fault in faults:
        f = with_changes(base, [fault])
        no("fault-" + fault[0], "one fault: " + fault[0], f, fault[2], fault[3](f))
    for i, first in enumerate(faults):
        for second in faults[i + 1:i + 3]:
            if (first[0], second[0]) in (("end", "length"), ("span-size", "span-length")):
                continue                                # length 0 cannot pass the end of 64 bits
            f = with_changes(base, [first, second])
            no("both-%s-%s" % (first[0], second[0]), "two faults: %s, %s" % (first[0], second[0]), f, first[2], first[3](f))
    for first in faults[:-1]:
        second = faults[-1]
        f = with_changes(base, [first, second])
        if "both-%s-%s" % (first[0], second[0]) not in c.ids:
            no("both-%s-%s" % (first[0], second[0]), "two faults: %s, %s" % (first[0], second[0]), f, first[2], first[3](f))
    f = with_changes(base, faults[:1])
    no("crc-before-view", "a wrong CRC and another kind", f.bytes(crc16(f.body()) ^ 1), "Crc", f.crc_off())
    no("trailing-before-view", "a byte after the frame and another kind", f.bytes() + b"\x00", "TrailingBytes", f.end())

    # --- cut and padded --------------------------------------------------------------------------------------
    f = base_chunk()
    data = f.bytes()
    for n in range(len(data)):
        no("cut-%d" % n, "%d of %d bytes" % (n, len(data)), data[:n], "Truncated", cut_at(f, n))
    return c


def sample_frames(**more):
    """Five chunks of 13 tokens, three passkeys and three spans; a mark may come chunks after what it marks."""
    parts = [
        ([7, 8, 9], [1], [(b"b", 0, 3)]), ([300, 2], [], []), ([1, 1, 1, 0], [5], []), ([70000], [], [(b"a", 3, 6)]), ([4, 5, 6], [12], [(b"ab", 10, 3)]),
    ]
    frames, start = [], 0
    for i, (tokens, passkeys, spans) in enumerate(parts):
        frames.append(chunk_frame(i, start, tokens, passkeys=passkeys, spans=spans, **more))
        start += len(tokens)
    return frames


def sample_index(**more):
    return index_of(sample_frames(**{k: v for k, v in more.items() if k in ("context", "key")}), 2, **more)


def set_in(entries, i, name, value):
    def change(x):
        getattr(x, entries)[i][name] = value
    return change


def index_faults():
    def frame(change):
        return lambda x: x.then(change)

    def claim(**values):
        return lambda x: x.claim(**values)

    def field(name):
        return lambda f, x: f.field(name)

    def idx(name):
        return lambda f, x: f.val(INDEX) + IDX[name][0]

    def entry(kind, i, name):
        return lambda f, x: x.place(f, kind, i, name)

    def names(value):
        def change(x):
            x.names = value + x.names[len(value):]
        return change

    def more_names(x):
        x.names += b"z"

    out = [
        ("kind", frame(lambda f: f.cfg(kind=3)), "Kind", field("kind")),
        ("missing", frame(lambda f: f.drop(INDEX)), "TlvMissing", lambda f, x: f.off(INDEX)),
        ("foreign", frame(lambda f: f.put(CHUNK, BODIES[CHUNK])), "ForeignTlv", lambda f, x: f.off(CHUNK)),
        ("element", frame(lambda f: f.cfg(element=U8)), "Code", field("element")),
        ("rows", frame(lambda f: f.cfg(rows=1)), "Shape", field("rows")),
        ("dim", frame(lambda f: f.cfg(dim=1)), "Shape", field("dim")),
        ("total-tokens", claim(total_tokens=4), "Shape", idx("total_tokens")),
        ("ledger-len", claim(ledger_len=539), "Shape", idx("ledger_len")),
        ("chunk-tokens", claim(chunk_tokens=2), "Shape", idx("chunk_tokens")),
        ("stride", claim(anchor_stride=0), "Shape", idx("anchor_stride")),
        ("anchor-count", claim(anchor_count=2), "Shape", idx("anchor_count")),
        ("reserved", claim(reserved=1 << 63), "Reserved", idx("reserved")),
        ("payload-len", frame(longer_payload), "Shape", field("payload_len")),
    ]
    for name, kind, entries, i, field_name, value, error in (
            ("anchor-0-id", "anchor", "anchors", 0, "chunk_id", 1, "Shape"), ("anchor-0-start", "anchor", "anchors", 0, "start", 1, "Shape"),
            ("anchor-0-offset", "anchor", "anchors", 0, "offset", 1, "Shape"), ("anchor-1-id", "anchor", "anchors", 1, "chunk_id", 3, "Shape"),
            ("anchor-1-start", "anchor", "anchors", 1, "start", 0, "Order"), ("anchor-1-offset", "anchor", "anchors", 1, "offset", 0, "Order"),
            ("anchor-2-offset-end", "anchor", "anchors", 2, "offset", LAST, "PastEnd"), ("anchor-2-length", "anchor", "anchors", 2, "length", 5, "Shape"),
            ("anchor-2-end", "anchor", "anchors", 2, "start", 11, "PastEnd"), ("anchor-2-reserved", "anchor", "anchors", 2, "reserved", 1, "Reserved"),
            ("passkey-order", "passkey", "passkeys", 1, "position", 1, "Order"), ("passkey-end", "passkey", "passkeys", 2, "position", 13, "PastEnd"),
            ("passkey-chunk", "passkey", "passkeys", 2, "chunk_id", 5, "PastEnd"), ("passkey-offset", "passkey", "passkeys", 2, "offset", 4, "PastEnd"),
            ("span-size", "span", "spans", 0, "start", LAST, "Size"), ("span-length", "span", "spans", 1, "length", 0, "Shape"),
            ("span-end", "span", "spans", 1, "start", 13, "PastEnd"), ("name-off", "span", "spans", 1, "name_off", 2, "Shape"),
            ("name-len", "span", "spans", 1, "name_len", 0, "Shape"), ("name-end", "span", "spans", 1, "name_len", 4, "PastEnd"),
    ):
        out.append((name, set_in(entries, i, field_name, value), error, entry(kind, i, field_name)))
    out += [
        ("name-utf8", names(b"aa\xff"), "Utf8", lambda f, x: x.names_at(f) + 2),
        ("name-order", names(b"b"), "Order", lambda f, x: x.names_at(f) + 1),
        ("names-len", more_names, "Shape", idx("names_len")),
    ]
    return out


def index_cases():
    c = LedgerCases("bit-vectors/index", "spec/ledger.md", [
        "View \"index\". Every input is given to an exact reader.",
        "CRC, digest and MAC are good unless the case is about them.",
    ])

    def built(x):
        return x.build() if isinstance(x, IndexLayout) else x

    def ok(id_, comment, x, **stated):
        data = built(x).bytes()
        expect = index_found(read_index(data))
        for name, value in stated.items():
            assert expect[name] == value, (id_, name, expect[name], value)
        c.accept(id_, comment, data, "index", expect)

    def no(id_, comment, x, kind, offset):
        c.reject(id_, comment, x if isinstance(x, bytes) else built(x).bytes(), "index", kind, offset)

    def changed(*changes, base=None):
        x = base or sample_index()
        for change in changes:
            change(x)
        return x

    # --- accepted ------------------------------------------------------------------------------------------------
    sample = sample_index()
    ok("sample", "5 chunks, an anchor for every second one", sample, total_tokens=13, chunk_count=5, chunk_tokens=4, anchor_stride=2,
       passkeys=[[1, 0, 1, 8], [5, 2, 0, 1], [12, 4, 2, 6]], spans=[["a", 3, 6], ["ab", 10, 3], ["b", 0, 3]])
    empty = index_of([])
    ok("empty", "the index of the empty ledger", empty, total_tokens=0, chunk_count=0, ledger_len=0, chunk_tokens=0, root=sha256(b"").hex(), anchors=[])
    ok("empty-stride", "the same with the greatest anchor_stride", index_of([], 2 ** 32 - 1))
    ok("empty-root", "the root is not the view's to check", index_of([]).claim(root=bytes(32)))
    smallest = index_of([chunk_frame(0, 0, [1], flags=None)], 1)
    ok("smallest", "one chunk of 108 bytes", smallest, ledger_len=108, chunk_tokens=1)
    for stride in (1, 2, 3, 4, 5, 6, 8, 2 ** 32 - 1):
        ok("stride-%d" % stride, "5 chunks, anchor_stride %d" % stride, index_of(sample_frames(), stride))
    ok("stride-1-aligned", "ledger and index signed and aligned", index_of(sample_frames(key=KEY, align=64), 1, key=KEY, align=64, digest=True))
    ok("context", "CONTEXT_V1 with dim 0", sample_index(context=NAMED))
    ok("digest", "a digest that does not have to be there", sample_index(digest=True))
    ok("signed", "HMAC_V1, which the view does not verify", changed().build().seal(False, KEY).poke(HMAC, 1, bytes(32)))
    ok("no-flags", "FLAGS_V1 left out", changed().then(lambda f: f.drop(FLAGS)))
    ok("marks", "LEDGER_MARKS_V1 is not of 03-7F: an index may carry it unread", changed().then(lambda f: f.put(MARKS, b"????")))
    ok("unknown-tlv", "an unknown TLV of 80-EF", changed().then(lambda f: f.put(0x90, b"?")))
    frames = [chunk_frame(i, i, [i]) for i in range(110)]
    many = index_of(frames, 1)
    assert many.build().crc_off() - 4 > 4093
    ok("large", "110 anchors: the digest has to be there", many)
    no("large-no-digest", "the same without a digest", many.build().drop(DIGEST), "DigestMissing", many.build().off(DIGEST))

    def bare(**values):
        """An index without an entry: anchor_stride at its greatest, one anchor."""
        return index_of([chunk_frame(0, 0, [1])], 2 ** 32 - 1).claim(**values)

    one = 2 ** 32 - 1
    ok("ledger-len-least", "108 bytes a chunk", bare(chunk_count=7, total_tokens=7, ledger_len=756))
    ok("ledger-len-max", "ledger_len 2^64 - 1", bare(ledger_len=LAST), ledger_len=LAST)
    ok("total-max", "the most tokens that one chunk can hold", bare(total_tokens=one, chunk_tokens=one), total_tokens=one)
    ok("chunks-max", "the most chunks for one anchor", bare(chunk_count=one, total_tokens=one, ledger_len=108 * one), chunk_count=one)
    def most_tokens(last_start):
        return changed(
            lambda x: x.claim(chunk_count=2 ** 32 + 1, total_tokens=LAST, ledger_len=108 * (2 ** 32 + 1), chunk_tokens=one, anchor_stride=one, passkey_count=0, span_count=0, names_len=0),
            lambda x: (x.anchors.__setitem__(slice(None), [
                {"chunk_id": 0, "start": 0, "offset": 0, "length": one, "sha256_prefix": bytes(8), "reserved": 0},
                {"chunk_id": one, "start": last_start, "offset": 108 * 2 ** 32, "length": one, "sha256_prefix": b"\xff" * 8, "reserved": 0}]),
                x.passkeys.clear(), x.spans.clear(), setattr(x, "names", b"")))

    ok("total-64", "2^64 - 1 tokens in 2^32 + 1 chunks, two anchors", most_tokens(LAST - one))
    ok("tokens-least", "chunk_tokens is the mean", bare(total_tokens=8, chunk_count=2, ledger_len=216, chunk_tokens=4))
    ok("tokens-least-ceil", "chunk_tokens is the mean rounded up", bare(total_tokens=7, chunk_count=2, ledger_len=216, chunk_tokens=4))
    ok("tokens-most", "chunk_tokens is total_tokens: the view does not ask for more", bare(total_tokens=7, chunk_count=2, ledger_len=216, chunk_tokens=7))
    ok("prefix", "sha256_prefix is not the view's to check", changed(set_in("anchors", 1, "sha256_prefix", bytes(8))))
    ok("passkey-token", "token is not the view's to check", changed(set_in("passkeys", 0, "token", one)))
    ok("passkey-elsewhere", "chunk_id and offset within bounds are not compared with the position", changed(set_in("passkeys", 0, "chunk_id", 4), set_in("passkeys", 0, "offset", 3)))
    ok("span-whole", "a span of the whole ledger", changed(set_in("spans", 0, "start", 0), set_in("spans", 0, "length", 13)))

    def named(*names):
        x = sample_index()
        x.spans = [{"start": i, "length": 1, "name_off": sum(map(len, names[:i])), "name_len": len(name)} for i, name in enumerate(names)]
        x.names = b"".join(names)
        return x

    ok("names-prefixes", "names that are prefixes of each other", named(b"a", b"a\x00", b"aa", b"ab", b"b"))
    ok("names-utf8-order", "the order of bytes, not of UTF-16 code units", named(b"\xef\xbf\xbd", b"\xf0\x90\x80\x80"))
    for name, value in UTF8_GOOD:
        ok("name-" + name, "the name %s" % value.hex(), named(value))
    for name, value, bad in UTF8_BAD:
        x = named(value)
        no("name-" + name, "the name %s" % value.hex(), x, "Utf8", x.names_at(x.build()) + bad)
    for name, names, kind, off in (
            ("equal", (b"a", b"a"), "Order", 1), ("falls", (b"b", b"a"), "Order", 1), ("prefix-falls", (b"ab", b"a"), "Order", 2), ("nul-falls", (b"a\x00", b"a"), "Order", 2),
            ("length-no-order", (b"b", b"aaa"), "Order", 1), ("utf16-order", (b"\xf0\x90\x80\x80", b"\xef\xbf\xbd"), "Order", 4), ("third", (b"a", b"c", b"b"), "Order", 2),
            ("split", (b"a\xc3", b"\xa9"), "Utf8", 1), ("utf8-before-order", (b"b", b"a\xff"), "Utf8", 2), ("utf8-second", (b"a", b"b\xff"), "Utf8", 2)):
        x = named(*names)
        no("names-" + name, "names " + ", ".join(n.hex() for n in names), x, kind, x.names_at(x.build()) + off)

    # --- the envelope ----------------------------------------------------------------------------------------
    f = sample.build()
    no("bytes-0", "0 bytes are no index", b"", "Truncated", 0)
    no("trailing", "a byte after the index", f.bytes() + b"\x00", "TrailingBytes", f.end())
    no("crc-wrong", "a wrong CRC", f.bytes(crc16(f.body()) ^ 1), "Crc", f.crc_off())
    for type_ in (CALIB, RESULTS, CHUNK, MIRROR, GIST, ENGRAM):
        f = changed().then(lambda f, type_=type_: f.put(type_, BODIES[type_])).build()
        no("foreign-%02x" % type_, "TLV %02X does not belong to an index" % type_, f, "ForeignTlv", f.off(type_))
    for kind in (0, 1, 3, 255):
        f = changed().then(lambda f, kind=kind: f.cfg(kind=kind)).build().seal(kind == 1)
        no("kind-%d" % kind, "kind %d" % kind, f, "Kind", f.field("kind"))
    f = changed().then(lambda f: f.drop(INDEX)).build()
    no("missing", "no LEDGER_INDEX_V1: it would stand at END", f, "TlvMissing", f.off(END))
    f = changed().then(lambda f: f.drop(INDEX).put(CHUNK, BODIES[CHUNK])).build()
    no("missing-other", "LEDGER_CHUNK_V1 instead", f, "TlvMissing", f.off(END))
    for element in (1, 2, 4, 9):
        f = changed().then(lambda f, element=element: f.cfg(element=element, delta_q16=int(element == 1))).build()
        no("element-%d" % element, "element %d" % element, f, "Code", f.field("element"))
    for name in ("rows", "dim"):
        for value in (1, one):
            f = changed().then(lambda f, name=name, value=value: f.cfg(**{name: value})).build()
            no("%s-%d" % (name, value), "%s %d" % (name, value), f, "Shape", f.field(name))

    # --- totals --------------------------------------------------------------------------------------------------
    most = LAST // 108
    for name, comment, x, kind, where in (
            ("total-0", "no token in one chunk", bare(total_tokens=0), "Shape", "total_tokens"),
            ("total-less", "fewer tokens than chunks", bare(chunk_count=2, ledger_len=216), "Shape", "total_tokens"),
            ("total-of-none", "a token and no chunk", index_of([]).claim(total_tokens=1), "Shape", "total_tokens"),
            ("len-of-none", "bytes and no chunk", index_of([]).claim(ledger_len=1), "Shape", "ledger_len"),
            ("len-short", "107 bytes for a chunk", bare(ledger_len=107), "Shape", "ledger_len"),
            ("len-0", "no byte for a chunk", bare(ledger_len=0), "Shape", "ledger_len"),
            ("len-product-fits", "108 * chunk_count just fits 64 bits", bare(chunk_count=most, total_tokens=most, ledger_len=108 * most - 1), "Shape", "ledger_len"),
            ("len-product-over", "108 * chunk_count is just over 64 bits", bare(chunk_count=most + 1, total_tokens=most + 1, ledger_len=LAST), "Size", "ledger_len"),
            ("len-product-max", "chunk_count 2^64 - 1", bare(chunk_count=LAST, total_tokens=LAST, ledger_len=LAST), "Size", "ledger_len"),
            ("len-product-wraps-to-0", "108 * chunk_count is 27 * 2^64", bare(chunk_count=2 ** 62, total_tokens=2 ** 62, ledger_len=0), "Size", "ledger_len"),
            ("tokens-of-none", "chunk_tokens 1 and no chunk", index_of([]).claim(chunk_tokens=1), "Shape", "chunk_tokens"),
            ("tokens-0", "chunk_tokens 0 and a chunk", bare(chunk_tokens=0), "Shape", "chunk_tokens"),
            ("tokens-more", "chunk_tokens over total_tokens", bare(chunk_tokens=2), "Shape", "chunk_tokens"),
            ("tokens-under-mean", "chunk_tokens under the mean", bare(total_tokens=8, chunk_count=2, ledger_len=216, chunk_tokens=3), "Shape", "chunk_tokens"),
            ("tokens-mean-floor", "chunk_tokens is the mean rounded down", bare(total_tokens=7, chunk_count=2, ledger_len=216, chunk_tokens=3), "Shape", "chunk_tokens"),
            ("tokens-too-many", "more tokens than one chunk can hold", bare(total_tokens=one + 1, chunk_tokens=one), "Shape", "chunk_tokens"),
            ("stride-0", "anchor_stride 0", bare(anchor_stride=0), "Shape", "anchor_stride"),
            ("stride-0-of-none", "anchor_stride 0 and no chunk", index_of([]).claim(anchor_stride=0), "Shape", "anchor_stride"),
            ("anchors-of-none", "an anchor and no chunk", index_of([]).claim(anchor_count=1), "Shape", "anchor_count"),
            ("anchors-fewer", "one anchor too few", changed(lambda x: x.claim(anchor_count=2)), "Shape", "anchor_count"),
            ("anchors-more", "one anchor too many", changed(lambda x: x.claim(anchor_count=4)), "Shape", "anchor_count"),
            ("anchors-floor", "chunk_count / anchor_stride rounded down", changed(lambda x: x.claim(anchor_stride=4, anchor_count=1)), "Shape", "anchor_count"),
            ("anchors-wrap", "ceil(chunk_count / anchor_stride) is 2^32 + 1", bare(chunk_count=2 ** 32 + 1, total_tokens=2 ** 32 + 1, ledger_len=108 * (2 ** 32 + 1), anchor_stride=1),
             "Shape", "anchor_count"),
            ("reserved-last", "the last reserved byte", changed(lambda x: x.claim(reserved=1)), "Reserved", "reserved"),
            ("names-more", "a byte after the last name", changed(lambda x: setattr(x, "names", x.names + b"z")), "Shape", "names_len"),
            ("names-without-span", "names and no span", changed(lambda x: setattr(x, "names", b"z"), base=index_of([chunk_frame(0, 0, [1])])), "Shape", "names_len")):
        f = x.build()
        no(name, comment, f, kind, f.val(INDEX) + IDX[where][0])
    for name, comment, x in (
            ("payload-short", "a passkey claimed that is not there", changed(lambda x: x.claim(passkey_count=4))),
            ("payload-long", "a passkey that is not claimed", changed(lambda x: x.claim(passkey_count=2))),
            ("payload-names", "names_len one less", changed(lambda x: x.claim(names_len=3))),
            ("payload-counts-max", "all counts at their greatest", changed(lambda x: x.claim(passkey_count=one, span_count=one, names_len=one))),
            ("payload-wraps", "24 * span_count is right modulo 2^32", changed(lambda x: x.claim(span_count=3 + 2 ** 29)))):
        f = x.build()
        no(name, comment, f, "Shape", f.field("payload_len"))

    # --- entries ---------------------------------------------------------------------------------------------
    end = sample.values["ledger_len"]
    for name, comment, entries, i, where, value, kind in (
            ("anchor-id", "chunk_id is not i * anchor_stride", "anchor", 1, "chunk_id", 1, "Shape"),
            ("anchor-id-max", "chunk_id 2^64 - 1", "anchor", 2, "chunk_id", LAST, "Shape"),
            ("anchor-first-start", "the first does not start at 0", "anchor", 0, "start", 1, "Shape"),
            ("anchor-first-offset", "the first chunk is not at byte 0", "anchor", 0, "offset", 108, "Shape"),
            ("anchor-start-equal", "start as before", "anchor", 1, "start", 0, "Order"),
            ("anchor-start-falls", "start falls", "anchor", 2, "start", 4, "Order"),
            ("anchor-offset-falls", "offset falls", "anchor", 2, "offset", 5, "Order"),
            ("anchor-offset-end", "offset = ledger_len", "anchor", 2, "offset", end, "PastEnd"),
            ("anchor-length-0", "length 0", "anchor", 1, "length", 0, "Shape"),
            ("anchor-length-more", "length over chunk_tokens", "anchor", 0, "length", 5, "Shape"),
            ("anchor-past", "start + length over total_tokens", "anchor", 2, "length", 4, "PastEnd"),
            ("anchor-start-max", "start 2^64 - 1", "anchor", 2, "start", LAST, "PastEnd"),
            ("anchor-reserved", "reserved", "anchor", 0, "reserved", 1 << 31, "Reserved"),
            ("passkey-equal", "a position twice", "passkey", 1, "position", 1, "Order"),
            ("passkey-falls", "a position that falls", "passkey", 2, "position", 4, "Order"),
            ("passkey-past", "position = total_tokens", "passkey", 2, "position", 13, "PastEnd"),
            ("passkey-max", "position 2^64 - 1", "passkey", 2, "position", LAST, "PastEnd"),
            ("passkey-chunk", "chunk_id = chunk_count", "passkey", 0, "chunk_id", 5, "PastEnd"),
            ("passkey-offset", "offset = chunk_tokens", "passkey", 0, "offset", 4, "PastEnd"),
            ("span-wraps", "start + length = 2^64", "span", 0, "start", U64 - 6, "Size"),
            ("span-wraps-not", "start + length = 2^64 - 1", "span", 0, "start", U64 - 7, "PastEnd"),
            ("span-length-0", "length 0", "span", 1, "length", 0, "Shape"),
            ("span-past", "start + length over total_tokens", "span", 1, "length", 4, "PastEnd"),
            ("name-off-first", "the first name does not start at 0", "span", 0, "name_off", 1, "Shape"),
            ("name-off-gap", "a gap between names", "span", 2, "name_off", 4, "Shape"),
            ("name-off-back", "a name starts in the one before", "span", 1, "name_off", 0, "Shape"),
            ("name-len-0", "name_len 0", "span", 1, "name_len", 0, "Shape"),
            ("name-len-past", "the name ends past names_len", "span", 2, "name_len", 2, "PastEnd"),
            ("name-len-max", "name_len 2^32 - 1", "span", 1, "name_len", one, "PastEnd")):
        x = changed(set_in(entries + "s", i, where, value))
        f = x.build()
        off = x.place(f, entries, i, "start" if name == "anchor-past" else "start" if name == "span-past" else where)
        no("entry-" + name, comment, f, kind, off)
    x = changed(set_in("anchors", 2, "start", LAST), set_in("anchors", 2, "length", 1))
    f = x.build()
    no("entry-anchor-wraps", "an anchor whose start + length is 2^64", f, "PastEnd", x.place(f, "anchor", 2, "start"))
    x = most_tokens(LAST - one + 1)
    f = x.build()
    no("entry-anchor-wraps-of-most", "the same in a ledger of 2^64 - 1 tokens: the sum neither wraps nor stays at the greatest", f, "PastEnd", x.place(f, "anchor", 1, "start"))
    for name, entries, kind, i, firsts, error, where in (
            ("anchor-id-start", "anchors", "anchor", 1, {"chunk_id": 1, "start": 0}, "Shape", "chunk_id"),
            ("anchor-start-offset", "anchors", "anchor", 1, {"start": 0, "offset": 0}, "Order", "start"),
            ("anchor-offset-length", "anchors", "anchor", 1, {"offset": end, "length": 0}, "PastEnd", "offset"),
            ("anchor-length-end", "anchors", "anchor", 2, {"length": 5, "start": 13}, "Shape", "length"),
            ("anchor-length-0-end", "anchors", "anchor", 2, {"length": 0, "start": 14}, "Shape", "length"),
            ("anchor-end-reserved", "anchors", "anchor", 2, {"start": 11, "reserved": 1}, "PastEnd", "start"),
            ("passkey-order-chunk", "passkeys", "passkey", 1, {"position": 0, "chunk_id": 9}, "Order", "position"),
            ("passkey-end-chunk", "passkeys", "passkey", 2, {"position": 13, "chunk_id": 9}, "PastEnd", "position"),
            ("passkey-chunk-offset", "passkeys", "passkey", 0, {"chunk_id": 5, "offset": 9}, "PastEnd", "chunk_id"),
            ("span-size-off", "spans", "span", 0, {"start": LAST, "name_off": 9}, "Size", "start"),
            ("span-length-end", "spans", "span", 0, {"start": LAST, "length": 0}, "Shape", "length"),
            ("span-end-off", "spans", "span", 0, {"start": 13, "name_off": 9}, "PastEnd", "start"),
            ("span-off-len", "spans", "span", 1, {"name_off": 9, "name_len": 0}, "Shape", "name_off"),
            ("span-off-end", "spans", "span", 1, {"name_off": 9, "name_len": 99}, "Shape", "name_off")):
        x = changed(*(set_in(entries, i, field, value) for field, value in firsts.items()))
        f = x.build()
        no("entry-both-" + name, "two faults in an entry: " + name, f, error, x.place(f, kind, i, where))
    x = changed(set_in("spans", 1, "length", 0), lambda x: setattr(x, "names", b"\xff" + x.names[1:]))
    f = x.build()
    no("entry-span-by-span", "the name of the first span, the length of the second: span by span", f, "Utf8", x.names_at(f))

    # --- which fault comes first -----------------------------------------------------------------------------
    faults = index_faults()
    for i, first in enumerate(faults):
        x = changed(first[1])
        f = x.build()
        no("fault-" + first[0], "one fault: " + first[0], f, first[2], first[3](f, x))
        for second in faults[i + 1:i + 3]:
            if (first[0], second[0]) == ("name-len", "name-end"):
                continue                                # the same field
            x = changed(second[1], first[1])
            f = x.build()
            no("both-%s-%s" % (first[0], second[0]), "two faults: %s, %s" % (first[0], second[0]), f, first[2], first[3](f, x))

    # --- cut ---------------------------------------------------------------------------------------------------
    x = index_of(sample_frames()[:1], 1)
    f = x.build()
    data = f.bytes()
    for n in range(len(data)):
        no("cut-%d" % n, "%d of %d bytes" % (n, len(data)), data[:n], "Truncated", cut_at(f, n))
    return c


def joined(frames):
    return b"".join(f.bytes() for f in frames)


def starts_of(frames):
    """Offset of each frame in the file, and the end."""
    out = [0]
    for f in frames:
        out.append(out[-1] + f.end())
    return out


def ledger_cases():
    c = LedgerCases("bit-vectors/ledger", "spec/ledger.md", [
        "View \"ledger\": a whole ledger file, every chunk checked, with or without a key. View \"ledger+index\": a ledger and its index, torn tails and damage.",
        "CRC, digest and MAC are good unless the case is about them.",
    ])

    def ok(id_, comment, data, key=None, **stated):
        data = data if isinstance(data, bytes) else joined(data)
        expect = read_ledger(data, key)
        for name, value in stated.items():
            assert expect[name] == value, (id_, name, expect[name], value)
        c.accept(id_, comment, data, "ledger", expect, key)

    def no(id_, comment, frames, kind, i, offset, key=None, data=None):
        """The offset is that in frame i, or a function of the frame."""
        at = starts_of(frames)[i] + (offset if isinstance(offset, int) else offset(frames[i]))
        c.reject(id_, comment, joined(frames) if data is None else data, "ledger", kind, at, key)

    def two(first=None, second=None, key=None):
        """Two chunks of 3 and 2 tokens."""
        return [chunk_frame(0, 0, [7, 8, 9], key=key, **(first or {})), chunk_frame(1, 3, [300, 2], key=key, **(second or {}))]

    # --- accepted ----------------------------------------------------------------------------------------------
    ok("empty", "0 bytes are the empty ledger", b"", chunk_count=0, total_tokens=0, root=sha256(b"").hex(), tokens_sha256=sha256(b"").hex(), passkeys=[], spans=[])
    ok("empty-key", "the same with a key", b"", KEY, chunk_count=0)
    one = chunk_frame(0, 0, [1], flags=None)
    ok("smallest", "one chunk of 108 bytes", [one], chunk_count=1, root=leaf_hash(one.item(DIGEST)[1][1:]).hex(), tokens_sha256=sha256(b"\x01\0\0\0").hex())
    frames = two()
    digests = [f.item(DIGEST)[1][1:] for f in frames]
    ok("two", "two chunks", frames, total_tokens=5, root=node_hash(leaf_hash(digests[0]), leaf_hash(digests[1])).hex())
    sample = sample_frames()
    ok("sample", "5 chunks; marks come after what they mark", sample, chunk_count=5, total_tokens=13, passkeys=[1, 5, 12], spans=[["a", 3, 6], ["ab", 10, 3], ["b", 0, 3]],
       tokens_sha256=sha256(raw([7, 8, 9, 300, 2, 1, 1, 1, 0, 70000, 4, 5, 6], U32)).hex())
    ok("context", "all chunks with CONTEXT_V1", sample_frames(context=NAMED))
    ok("signed", "a signed ledger, read with its key", sample_frames(context=NAMED, key=KEY), KEY)
    ok("signed-no-key", "the same, read without a key", sample_frames(context=NAMED, key=KEY))
    for n in (16, 64):
        key = bytes(range(1, n + 1))
        ok("signed-key-%d" % n, "a key of %d bytes" % n, two(key=key), key)
    ok("signed-key-zeroes", "keys that differ in trailing zero bytes are equivalent", two(key=KEY), KEY + bytes(5))
    ok("encodings", "a chunk of each encoding", [
        chunk_frame(0, 0, [1, 2, 3], RAW, U16), chunk_frame(1, 3, [1, 2, 3], RAW, U32), chunk_frame(2, 6, [1, 2, 3], PACKED, bits=7), chunk_frame(3, 9, [2 ** 32 - 1], PACKED, bits=32)])
    ok("aligned", "each payload aligned to 64 bytes of its frame", two({"align": 64}, {"align": 64}))
    ok("aligned-one", "one chunk with PAD_V1, one without", two({"align": 64}))
    ok("flags-one", "one chunk without FLAGS_V1, one with ignored bits", two({"flags": None}, {"flags": 1 << 20}))
    ok("unknown-tlv-one", "one chunk with an unknown TLV of 80-EF", [two()[0], two()[1].put(0x90, b"?").rehash()])
    ok("equal-tokens", "chunks of equal tokens", [chunk_frame(i, 2 * i, [5, 5]) for i in range(7)])
    ok("marks-near", "a name that is a prefix of an earlier one, positions side by side",
       two({"passkeys": [1], "spans": [(b"ab", 0, 1)]}, {"passkeys": [0, 2], "spans": [(b"a", 0, 1), (b"abc", 0, 1)]}), passkeys=[0, 1, 2], spans=[["a", 0, 1], ["ab", 0, 1], ["abc", 0, 1]])
    ok("marks-later-before", "positions need not increase from chunk to chunk", two({"passkeys": [2]}, {"passkeys": [0]}), passkeys=[0, 2])
    ok("many", "33 chunks of one token", [chunk_frame(i, i, [i]) for i in range(33)], chunk_count=33)

    # --- ids and starts ----------------------------------------------------------------------------------------
    def with_chk(frames, i, **values):
        chk(frames[i], **values).rehash(KEY)
        return frames

    for name, i, value in (("first-1", 0, 1), ("first-max", 0, LAST), ("repeated", 1, 0), ("gap", 1, 2), ("max", 1, LAST)):
        no("id-" + name, "chunk_id %d of chunk %d" % (value, i), with_chk(two(), i, chunk_id=value), "Shape", i, lambda f: chk_off(f, "chunk_id"))
    for name, i, value in (("first-1", 0, 1), ("overlap", 1, 2), ("zero", 1, 0), ("gap", 1, 4), ("by-id", 1, 1), ("max", 1, LAST - 2)):
        no("start-" + name, "start %d of chunk %d" % (value, i), with_chk(two(), i, start=value), "Shape", i, lambda f: chk_off(f, "start"))
    no("start-wraps", "start + length = 2^64: the chunk's view refuses it", with_chk(two(), 1, start=LAST - 1), "Size", 1, lambda f: chk_off(f, "start"))
    frames = sample_frames()
    no("swapped", "chunks 2 and 3 swapped", [frames[i] for i in (0, 1, 3, 2, 4)], "Shape", 2, lambda f: chk_off(f, "chunk_id"))
    no("left-out", "chunk 2 left out", [frames[i] for i in (0, 1, 3, 4)], "Shape", 2, lambda f: chk_off(f, "chunk_id"))
    no("left-out-first", "chunk 0 left out", frames[1:], "Shape", 0, lambda f: chk_off(f, "chunk_id"))
    no("twice", "chunk 1 twice", [frames[i] for i in (0, 1, 1)], "Shape", 2, lambda f: chk_off(f, "chunk_id"))
    no("left-out-id-mended", "chunk 2 left out, the chunk_id after it made good", [frames[0], frames[1], with_chk([frames[3].copy()], 0, chunk_id=2)[0]], "Shape", 2, lambda f: chk_off(f, "start"))

    # --- contexts --------------------------------------------------------------------------------------------
    a, b = {"context": NAMED}, {"context": CONTEXT_0}
    bare = chunk_frame(0, 0, [1]).ctx
    hashed = chunk_frame(0, 0, [1], context=NAMED).ctx
    for name, comment, frames in (
            ("differs", "another CONTEXT_V1", two(a, b)), ("first-only", "CONTEXT_V1 in the first only, the ctx are equal", two(a, {"ctx": hashed})),
            ("second-only", "CONTEXT_V1 in the second only, the ctx are equal", two({"ctx": hashed}, a)), ("first-only-ctx", "CONTEXT_V1 in the first only, another ctx", two(a)),
            ("ctx", "another ctx, no CONTEXT_V1", two(None, {"ctx": bytes(8)})), ("ctx-last-bit", "ctx differs in its last bit", two(None, {"ctx": bare[:7] + bytes([bare[7] ^ 1])})),
            ("empty-only", "CONTEXT_V1 of 0 bytes in the second only", two({"ctx": Frame(context=b"").ctx}, {"context": b""})),
            ("member", "CONTEXT_V1 with a further member", two(b, {"context": context_text(0, tokenizer="x")}))):
        no("context-" + name, comment, frames, "ContextDiffers", 1, 4)
    no("context-third", "the third differs from the first", sample_frames()[:2] + [chunk_frame(2, 5, [1], context=NAMED)], "ContextDiffers", 2, 4)
    ok("context-none", "the same ctx without CONTEXT_V1", two({"ctx": hashed}, {"ctx": hashed}))
    ok("context-not-json", "CONTEXT_V1 is compared byte by byte, not read", two({"context": b"\xff"}, {"context": b"\xff"}))

    # --- HMAC --------------------------------------------------------------------------------------------------
    plain, signed = two(), two(key=KEY)
    no("hmac-second-missing", "the first is signed, the second is not", [signed[0], plain[1]], "MixedHmac", 1, lambda f: f.off(END))
    no("hmac-second-missing-pad", "the same; it would stand at PAD_V1", [signed[0], two(None, {"align": 64})[1]], "MixedHmac", 1, lambda f: f.off(PAD))
    no("hmac-first-missing", "the second is signed, the first is not", [plain[0], signed[1]], "MixedHmac", 1, lambda f: f.off(HMAC))
    no("hmac-mixed-key", "the second is not signed, with a key: mixed comes first", [signed[0], plain[1]], "MixedHmac", 1, lambda f: f.off(END), KEY)
    no("hmac-none-key", "nothing is signed, with a key", plain, "HmacMissing", 0, lambda f: f.off(END), KEY)
    no("hmac-none-key-pad", "the same; it would stand at PAD_V1", two({"align": 64}), "HmacMissing", 0, lambda f: f.off(PAD), KEY)
    no("hmac-first-missing-key", "the first is not signed, with a key", [plain[0], signed[1]], "HmacMissing", 0, lambda f: f.off(END), KEY)
    no("hmac-other-key", "another key", signed, "Hmac", 0, lambda f: f.val(HMAC) + 1, OTHER_KEY)
    other = two(key=OTHER_KEY)
    no("hmac-second-other-key", "the second is signed with another key", [signed[0], other[1]], "Hmac", 1, lambda f: f.val(HMAC) + 1, KEY)
    ok("hmac-second-other-no-key", "the same, read without a key", [signed[0], other[1]])
    changed = signed[1].copy()
    changed.payload = pack([301, 2], 9)
    changed.rehash()
    no("hmac-token-changed", "a token changed, digest and CRC made good", [signed[0], changed], "Hmac", 1, lambda f: f.val(HMAC) + 1, KEY)
    ok("hmac-token-changed-no-key", "the same, read without a key", [signed[0], changed])
    no("hmac-wrong", "a MAC of zeroes", [signed[0].copy().poke(HMAC, 1, bytes(32)), signed[1]], "Hmac", 0, lambda f: f.val(HMAC) + 1, KEY)
    for n in (0, 15, 65):
        c.reject("key-%d" % n, "a key of %d bytes" % n, joined(signed), "ledger", "KeyLength", 0, bytes(range(n)))
    c.reject("key-15-empty", "a key of 15 bytes and no chunk", b"", "ledger", "KeyLength", 0, bytes(range(15)))
    c.reject("key-15-magic", "the key is taken before any frame is read", b"\x00", "ledger", "KeyLength", 0, bytes(range(15)))

    # --- duplicates ----------------------------------------------------------------------------------------------
    def at_mark(n):
        return lambda f: f.val(MARKS) + 4 + n

    first = {"passkeys": [0, 2], "spans": [(b"a", 0, 1), (b"b", 1, 1)]}
    no("duplicate-position", "a position marked again in the next chunk", two(first, {"passkeys": [2]}), "Duplicate", 1, at_mark(0))
    no("duplicate-position-second", "the second position was marked before", two(first, {"passkeys": [1, 2]}), "Duplicate", 1, at_mark(8))
    no("duplicate-name", "a name again in the next chunk", two(first, {"spans": [(b"b", 1, 1)]}), "Duplicate", 1, at_mark(0))
    no("duplicate-name-other-range", "a name again for another range", two(first, {"spans": [(b"a", 3, 2)]}), "Duplicate", 1, at_mark(0))
    no("duplicate-name-second", "the second name was marked before", two(first, {"spans": [(b"aa", 1, 1), (b"b", 1, 1)]}), "Duplicate", 1, at_mark(18 + 2))
    no("duplicate-both", "a name and a position: the passkey stands first", two(first, {"passkeys": [2], "spans": [(b"a", 1, 1)]}), "Duplicate", 1, at_mark(0))
    no("duplicate-name-after-passkey", "a name again after a good passkey", two(first, {"passkeys": [4], "spans": [(b"a", 1, 1)]}), "Duplicate", 1, at_mark(8))
    far = sample_frames()
    far[4].put(MARKS, marks_value([1])).rehash()
    no("duplicate-far", "a position marked again four chunks later", far, "Duplicate", 4, at_mark(0))
    far = sample_frames()
    far[4].put(MARKS, marks_value([], [(b"a", 10, 1), (b"ab", 10, 3)])).rehash()
    no("duplicate-name-far", "the name of the chunk before", far, "Duplicate", 4, at_mark(0))

    # --- frame, view, then ledger; chunk by chunk --------------------------------------------------------------
    def mended(f, change, key=None):
        f = f.copy()
        change(f)
        return f.rehash(key)

    second = two()[1]
    bad = mended(second, lambda f: chk(f, chunk_id=5, start=9))
    no("both-id-start", "chunk_id and start are wrong", [plain[0], bad], "Shape", 1, lambda f: chk_off(f, "chunk_id"))
    bad = mended(two(None, a)[1], lambda f: chk(f, start=4))
    no("both-start-context", "start and CONTEXT_V1 differ", [plain[0], bad], "Shape", 1, lambda f: chk_off(f, "start"))
    no("both-context-mixed", "CONTEXT_V1 differs and HMAC_V1 is missing", [signed[0], two(None, a)[1]], "ContextDiffers", 1, 4)
    no("both-context-hmac", "CONTEXT_V1 differs and the MAC is wrong", [signed[0], two(None, a, OTHER_KEY)[1]], "ContextDiffers", 1, 4, KEY)
    no("both-mixed-duplicate", "HMAC_V1 is missing and a position marked again", [two(first, None, KEY)[0], two(None, {"passkeys": [2]})[1]], "MixedHmac", 1, lambda f: f.off(END))
    no("both-hmac-duplicate", "a wrong MAC and a position marked again", [two(first, None, KEY)[0], two(None, {"passkeys": [2]}, OTHER_KEY)[1]], "Hmac", 1, lambda f: f.val(HMAC) + 1, KEY)
    ok("both-hmac-duplicate-near", "neither: the same with another position", [two(first, None, KEY)[0], two(None, {"passkeys": [3]}, KEY)[1]], KEY)
    bad = mended(chunk_frame(1, 3, [1, 2, 3]), lambda f: (chk(f, chunk_id=5), spare_bit(f)))
    no("both-view-id", "spare bits and chunk_id: the chunk's view comes first", [plain[0], bad], "SpareBits", 1, lambda f: f.crc_off() - 1)
    bad = mended(chunk_frame(1, 3, [1, 2, 3], key=OTHER_KEY), spare_bit, OTHER_KEY)
    no("both-view-hmac", "spare bits and a wrong MAC: the chunk's view comes first", [signed[0], bad], "SpareBits", 1, lambda f: f.crc_off() - 1, KEY)
    bad = mended(second, lambda f: chk(f, chunk_id=5))
    no("both-crc-id", "the CRC and chunk_id", [plain[0], bad], "Crc", 1, lambda f: f.crc_off(), data=plain[0].bytes() + bad.bytes(crc16(bad.body()) ^ 1))
    bad = second.copy().poke(DIGEST, 1, bytes(32))
    no("digest-second", "the digest of the second", [plain[0], bad], "Digest", 1, lambda f: f.val(DIGEST) + 1)
    no("chunk-by-chunk", "chunk 1 marks a position again, chunk 2 has another magic", two(first, {"passkeys": [2]}), "Duplicate", 1, at_mark(0),
       data=joined(two(first, {"passkeys": [2]})) + b"BIX\x01")
    no("kind", "an index among the chunks", [plain[0], sample_index().build()], "Kind", 1, lambda f: f.field("kind"))
    no("kind-first", "an index alone", [sample_index().build()], "Kind", 0, lambda f: f.field("kind"))
    data = joined(plain)
    for name, more, kind, off in (("byte", b"\x00", "Truncated", 0), ("bytes-3", b"BIT", "Truncated", 0), ("magic", b"BIT\x01", "Truncated", 4), ("zeroes", bytes(64), "Magic", 0),
                                  ("version", b"BIT\x02" + bytes(60), "Magic", 0), ("header", second.bytes()[:40], "Truncated", second.off(FLAGS))):
        c.reject("after-" + name, "after two chunks: " + name, data + more, "ledger", kind, len(data) + off)
    for i in range(2):
        f, start = plain[i], starts_of(plain)[i]
        for n in (1, 5, 13, 20, 40, 50, 80, 110, f.end() - 3, f.end() - 2, f.end() - 1):
            c.reject("cut-%d-%d" % (i, n), "%d bytes of chunk %d" % (n, i), data[:start + n], "ledger", "Truncated", start + cut_at(f, n))

    open_cases(c)
    return c


def open_cases(c):
    """View "ledger+index"."""
    def case(id_, comment, data, index, key):
        out = {"id": id_, "comment": comment, "view": "ledger+index", "hex": data.hex(), "index_hex": None if index is None else index.hex()}
        if key is not None:
            out["key"] = key.hex()
        return out

    def as_bytes(x):
        return x if x is None or isinstance(x, bytes) else (x.build() if isinstance(x, IndexLayout) else x).bytes()

    def ok(id_, comment, data, index, verdict, whole, key=None, error=None):
        """whole is the whole length."""
        data = joined(data) if isinstance(data, list) else data
        expect = {"index": verdict}
        if error:
            expect["index_error"] = {"kind": error[0], "offset": error[1]}
        expect.update(whole_len=whole, torn=len(data) - whole)
        got = open_ledger(data, as_bytes(index), key)
        assert got == expect, (id_, got, expect)
        c.add({**case(id_, comment, data, as_bytes(index), key), "verdict": "accept", "expect": expect})

    def damaged(id_, comment, data, index, chunk, kind, offset, key=None):
        data = joined(data) if isinstance(data, list) else data
        try:
            got = open_ledger(data, as_bytes(index), key)
        except Damaged as error:
            got = (error.chunk, error.error.kind, error.error.offset)
        assert got == (chunk, kind, offset), (id_, got, (chunk, kind, offset))
        c.add({**case(id_, comment, data, as_bytes(index), key), "verdict": "reject", "error": {"kind": kind, "offset": offset}, "damaged": {"chunk": chunk, "offset": offset}})

    frames = sample_frames()
    data, at = joined(frames), starts_of(frames)
    end = len(data)

    def index(n, stride=2, **more):
        return index_of(frames[:n], stride, **more)

    def hole(i, by=b"\x00"):
        """The ledger with the payload of chunk i overwritten, and the offset of the CRC that shows it."""
        start, stop = at[i] + frames[i].payload_off(), at[i] + frames[i].crc_off()
        assert data[start:stop] != by * (stop - start)
        return data[:start] + by * (stop - start) + data[stop:], stop

    # --- whole ledgers -----------------------------------------------------------------------------------------
    ok("open-empty", "the empty ledger without an index", b"", None, None, 0)
    ok("open-empty-index", "the empty ledger with its index", b"", index_of([]), "current", 0)
    ok("open-empty-index-context", "the same, the index with CONTEXT_V1: an empty ledger has none to compare", b"", index_of([], context=NAMED), "current", 0)
    ok("open-none", "a whole ledger without an index", data, None, None, end)
    for n in range(6):
        ok("open-%d" % n, "5 chunks, the index covers %d" % n, data, index(n), "current" if n == 5 else "stale", end)
    for stride in (1, 3, 8):
        ok("open-stride-%d" % stride, "anchor_stride %d" % stride, data, index(5, stride), "current", end)
    ok("open-index-digest", "an index with a digest it need not have, and aligned", data, index(5, digest=True, align=64), "current", end)
    named = sample_frames(context=NAMED)
    ok("open-context", "ledger and index with CONTEXT_V1", named, index_of(named, 2, context=NAMED), "current", len(joined(named)))

    # --- keys --------------------------------------------------------------------------------------------------
    signed = sample_frames(key=KEY)
    whole = len(joined(signed))
    good = index_of(signed, 2, key=KEY)
    ok("open-signed", "ledger and index signed, with the key", signed, good, "current", whole, KEY)
    ok("open-signed-no-key", "the same without the key", signed, good, "current", whole)
    ok("open-signed-stale", "the index covers 3 chunks", signed, index_of(signed[:3], 2, key=KEY), "stale", whole, KEY)
    f = index_of(signed, 2, key=OTHER_KEY).build()
    ok("open-index-other-key", "the index is signed with another key", signed, f, "rejected", whole, KEY, ("Hmac", f.val(HMAC) + 1))
    f = index_of(signed, 2).build()
    ok("open-index-unsigned", "the index is not signed, with the key", signed, f, "rejected", whole, KEY, ("HmacMissing", f.off(END)))

    # --- rejected ------------------------------------------------------------------------------------------------
    f = index(5).build()
    good = f.bytes()
    torn = data[:at[4] + 30]
    for name, comment, bytes_, kind, off in (
            ("empty", "an index of 0 bytes", b"", "Truncated", 0), ("cut", "an index cut short", good[:-1], "Truncated", f.payload_off()),
            ("crc", "a wrong CRC", f.bytes(crc16(f.body()) ^ 1), "Crc", f.crc_off()), ("trailing", "a byte after the index", good + b"\x00", "TrailingBytes", f.end()),
            ("chunk", "a chunk for an index", frames[0].bytes(), "Kind", frames[0].field("kind")), ("zeroes", "an index of zeroes", bytes(200), "Magic", 0)):
        ok("rejected-" + name, comment, data, bytes_, "rejected", end, None, (kind, off))
        ok("rejected-%s-torn" % name, comment + ", and a torn tail", torn, bytes_, "rejected", at[4], None, (kind, off))
    x = index(5).claim(chunk_tokens=2)
    ok("rejected-view", "chunk_tokens under the mean", data, x, "rejected", end, None, ("Shape", x.build().val(INDEX) + 24))
    broken, off = hole(1)
    damaged("rejected-damaged", "the index is refused; a hole in chunk 1 and whole chunks after it", broken, good[:-1], 1, "Crc", off)

    # --- foreign -------------------------------------------------------------------------------------------------
    def foreign(name, comment, change=None, base=None, ledger=None, whole_len=None, verdict="foreign"):
        x = base or index(5)
        if change:
            change(x)
        ok("foreign-" + name, comment, data if ledger is None else ledger, x, verdict, end if whole_len is None else whole_len)

    others = sample_frames()
    others[3] = chunk_frame(3, 9, [70001], spans=[(b"a", 3, 6)])
    foreign("ledger", "the index of a ledger with another token", None, index_of(others, 2))
    foreign("ledger-early", "the same, of the chunks up to that token", None, index_of(others[:4], 2))
    ok("foreign-not-yet", "the same, of the chunks before that token: it is stale", data, index_of(others[:3], 2), "stale", end)
    shorter = [chunk_frame(0, 0, [7, 8, 9, 300, 2, 1, 1, 1, 0, 70000, 4, 5, 6])]
    foreign("split", "the index of the same tokens in one chunk", None, index_of(shorter))
    foreign("root", "another root", lambda x: x.claim(root=bytes(32)))
    foreign("root-bit", "the last bit of the root", lambda x: x.claim(root=x.values["root"][:31] + bytes([x.values["root"][31] ^ 1])))
    foreign("root-earlier", "the root of one chunk less", lambda x: x.claim(root=index(4).values["root"]))
    for i in range(3):
        foreign("prefix-%d" % i, "sha256_prefix of anchor %d" % i, set_in("anchors", i, "sha256_prefix", bytes(8)))
    foreign("prefix-bit", "the last bit of a prefix", lambda x: x.anchors[1].update(sha256_prefix=x.anchors[1]["sha256_prefix"][:7] + bytes([x.anchors[1]["sha256_prefix"][7] ^ 1])))
    for name, entries, i, field, value in (
            ("anchor-start", "anchors", 1, "start", 4), ("anchor-offset", "anchors", 1, "offset", at[2] - 1), ("anchor-offset-chunk", "anchors", 1, "offset", at[1]),
            ("anchor-length", "anchors", 1, "length", 3), ("passkey-position", "passkeys", 1, "position", 6), ("passkey-chunk", "passkeys", 1, "chunk_id", 1),
            ("passkey-offset", "passkeys", 1, "offset", 1), ("passkey-token", "passkeys", 1, "token", 2), ("span-start", "spans", 0, "start", 4), ("span-length", "spans", 0, "length", 5)):
        foreign(name, "%s of entry %d" % (field, i), set_in(entries, i, field, value))
    foreign("passkey-missing", "a passkey left out", lambda x: x.passkeys.pop())
    foreign("passkey-more", "a passkey that no chunk marks", lambda x: x.passkeys.insert(1, {"position": 3, "chunk_id": 1, "offset": 0, "token": 300}))
    foreign("passkeys-none", "all passkeys left out", lambda x: x.passkeys.clear())
    foreign("span-name", "another name", lambda x: setattr(x, "names", b"aacb"))
    foreign("spans-none", "all spans left out", lambda x: (x.spans.clear(), setattr(x, "names", b"")))
    foreign("span-missing", "the last span left out", lambda x: (x.spans.pop(), setattr(x, "names", b"aab")))
    foreign("total", "total_tokens one more", lambda x: x.claim(total_tokens=14))
    foreign("chunk-tokens", "chunk_tokens one more", lambda x: x.claim(chunk_tokens=5))
    foreign("count", "chunk_count one more, of the same anchors", lambda x: x.claim(chunk_count=6))
    foreign("len-less", "ledger_len one less", lambda x: x.claim(ledger_len=end - 1))
    foreign("len-more", "ledger_len one more than the ledger has", lambda x: x.claim(ledger_len=end + 1), verdict="short")
    foreign("len-max", "ledger_len 2^64 - 1", lambda x: x.claim(ledger_len=LAST), verdict="short")
    foreign("len-middle", "ledger_len in the middle of a chunk", lambda x: x.claim(ledger_len=at[4] - 1), index(4))
    foreign("len-other-end", "ledger_len at the end of another chunk", lambda x: x.claim(ledger_len=at[5]), index(4))
    foreign("covers-more", "the index covers 5 chunks, the ledger has 4", None, None, data[:at[4]], at[4], verdict="short")
    foreign("covers-more-cut", "the index covers 5 chunks, the ledger ends within the fifth", None, None, data[:at[5] - 1], at[4], verdict="short")
    foreign("covers-empty", "the index covers 5 chunks, the ledger is empty", None, None, b"", 0, verdict="short")
    foreign("ctx", "another ctx", None, index(5, ctx=bytes(8)))
    foreign("context-more", "the index has CONTEXT_V1, the ledger has none", None, index(5, context=NAMED))
    foreign("context-less", "the ledger has CONTEXT_V1, the index has none, the ctx are equal", None, index_of(named, 2, ctx=named[0].ctx), joined(named), len(joined(named)))
    foreign("context", "another CONTEXT_V1", None, index_of(named, 2, context=CONTEXT_0), joined(named), len(joined(named)))
    foreign("empty-ctx", "an index of no chunk with another ctx", None, index_of([], ctx=bytes(8)))
    foreign("unsigned", "a signed ledger, its index not signed", None, index_of(signed, 2), joined(signed), whole)
    foreign("signed", "a ledger that is not signed, its index signed", None, index_of(frames, 2, key=KEY))
    foreign("torn", "the index of another ledger and a torn tail", None, index_of(others[:4], 2), data[:-1], at[4])

    # --- torn tails --------------------------------------------------------------------------------------------
    last, here = frames[2], at[2]
    cuts = sorted({n for i in range(len(last.items)) for n in (last.off_at(i), last.off_at(i) + 1, last.off_at(i) + 3)} | {1, 3, 4, 8, 11, last.payload_off(), last.crc_off(), last.end() - 1})
    for n in cuts:
        part = data[:here + n]
        if n == 0:
            continue
        ok("torn-%d-none" % n, "%d bytes of chunk 2, no index" % n, part, None, None, here)
        if n in cuts[1::3]:
            ok("torn-%d" % n, "%d bytes of chunk 2, the index covers those before" % n, part, index(2), "current", here)
            ok("torn-%d-stale" % n, "%d bytes of chunk 2, the index covers 1" % n, part, index(1), "stale", here)
    last = frames[4]
    for name, more in (("zeroes", bytes(100)), ("ff", b"\xff" * 100), ("byte", b"\x00"), ("magic", b"BIT\x01"), ("text", b"not a chunk")):
        ok("torn-%s-none" % name, "after the last chunk: %s, no index" % name, data + more, None, None, end)
        ok("torn-%s" % name, "after the last chunk: %s" % name, data + more, index(5), "current", end)
        ok("torn-%s-stale" % name, "after the last chunk: %s; the index covers 3" % name, data + more, index(3), "stale", end)
    broken, off = hole(4)
    ok("torn-hole-last-none", "the payload of the last chunk is zeroes, no index", broken, None, None, at[4])
    ok("torn-hole-last", "the payload of the last chunk is zeroes, the index covers those before", broken, index(4), "current", at[4])
    ok("torn-zero-last", "the last chunk is zeroes, its length is right", data[:at[4]] + bytes(end - at[4]), index(4), "current", at[4])
    ok("torn-zero-last-none", "the same without an index", data[:at[4]] + bytes(end - at[4]), None, None, at[4])
    ok("torn-head-last", "the first 12 bytes of the last chunk are zeroes", data[:at[4]] + bytes(12) + data[at[4] + 12:], index(4), "current", at[4])
    ok("torn-head-last-none", "the same without an index", data[:at[4]] + bytes(12) + data[at[4] + 12:], None, None, at[4])

    # --- holes ---------------------------------------------------------------------------------------------------
    for i in range(4):
        broken, off = hole(i)
        damaged("hole-%d-none" % i, "a hole in chunk %d, whole chunks after it, no index" % i, broken, None, i, "Crc", off)
        for n in range(6):
            if n <= i:
                ok("hole-%d-covers-%d" % (i, n), "a hole in chunk %d, the index covers %d chunks: a torn tail" % (i, n), broken, index(n), "current" if n == i else "stale", at[i])
            elif n in (i + 1, 5):
                damaged("hole-%d-covers-%d" % (i, n), "a hole in chunk %d, the index covers %d chunks" % (i, n), broken, index(n), i, "Crc", off)
    broken, off = hole(4)
    damaged("hole-4-covers-5", "a hole in the last chunk, which the index covers", broken, index(5), 4, "Crc", off)
    broken, off = hole(3)
    ok("hole-3-torn-4", "a hole in chunk 3, chunk 4 is cut short, no index", broken[:-1], None, None, at[3])
    ok("hole-3-hole-4", "holes in chunks 3 and 4, no index", broken[:at[4]] + hole(4)[0][at[4]:], None, None, at[3])
    damaged("hole-3-torn-4-covers-4", "a hole in chunk 3, chunk 4 is cut short, the index covers chunk 3", broken[:-1], index(4), 3, "Crc", off)
    broken = data[:at[2]] + bytes(at[3] - at[2]) + data[at[3]:]
    damaged("zero-2-none", "chunk 2 is zeroes, whole chunks after it, no index", broken, None, 2, "Magic", at[2])
    ok("zero-2-covers-2", "the same, the index covers 2 chunks", broken, index(2), "current", at[2])
    damaged("zero-2-covers-5", "the same, the index covers all", broken, index(5), 2, "Magic", at[2])
    f = frames[2]
    for name, where, kind, off in (("magic", 0, "Magic", 0), ("ctx", 4, "Crc", f.crc_off()), ("length", f.off(CHUNK) + 1, "Truncated", f.off(CHUNK) + 3),
                                   ("payload-len", f.field("payload_len"), "Truncated", f.payload_off()), ("digest", f.val(DIGEST) + 5, "Crc", f.crc_off()),
                                   ("crc", f.crc_off() + 1, "Crc", f.crc_off())):
        broken = bytearray(data)
        broken[at[2] + where] ^= 0x80
        damaged("flip-%s-none" % name, "a bit of chunk 2 changed: %s, no index" % name, bytes(broken), None, 2, kind, at[2] + off)
        damaged("flip-%s" % name, "a bit of chunk 2 changed: %s, the index covers all" % name, bytes(broken), index(5), 2, kind, at[2] + off)
        ok("flip-%s-torn" % name, "a bit of chunk 2 changed: %s, the index covers 2" % name, bytes(broken), index(2), "current", at[2])

    # --- what no crash leaves ------------------------------------------------------------------------------------
    more = chunk_frame(5, 13, [1, 2])
    for name, frame, kind, off in (
            ("flags", with_changes(more, [("flags", lambda f: f.poke(FLAGS, 0, struct.pack(">I", 8)))]), "FlagBits", more.val(FLAGS)),
            ("spare", with_changes(chunk_frame(5, 13, [1, 2, 3]), [("spare", spare_bit)]), "SpareBits", None),
            ("ctx", chunk_frame(5, 13, [1], ctx=bytes(8)), "ContextDiffers", 4),
            ("signed", chunk_frame(5, 13, [1], key=KEY), "MixedHmac", None),
            ("marked", chunk_frame(5, 13, [1], passkeys=[1]), "Duplicate", None)):
        walk = Walk(data + frame.bytes())
        assert walk.failure.kind == kind and (off is None or walk.failure.offset == end + off), (name, walk.failure.kind)
        for with_index in (None, index(5)):
            damaged("never-%s%s" % (name, "" if with_index else "-none"), "after the last chunk a good frame that fails another check: " + kind, data + frame.bytes(), with_index, 5, kind, walk.failure.offset)
    damaged("never-version-none", "after the last chunk a frame of a later version, no index", data + b"BIT\x02" + bytes(40), None, 5, "Magic", end)
    ok("old-version", "the same, the index covers all before it", data + b"BIT\x02" + bytes(40), index(5), "current", end)
    other = sample_index().build()
    damaged("never-kind-none", "after the last chunk an index, whole; no index beside the ledger", data + other.bytes(), None, 5, "Kind", end + other.field("kind"))
    ok("old-kind", "the same, the index covers all before it", data + other.bytes(), index(5), "current", end)
    late = bytearray(more.bytes())
    late[more.off(CHUNK)] = 0x60
    ok("torn-critical", "an unknown critical TLV under a wrong CRC", data + bytes(late), index(5), "current", end)
    late = b"BIT\x01" + late[4:-2] + struct.pack(">H", crc16(bytes(late[4:-2])))
    damaged("never-critical", "an unknown critical TLV under a good CRC", data + late, index(5), 5, "CriticalTlv", end + more.off(CHUNK))
    damaged("never-critical-none", "the same without an index", data + late, None, 5, "CriticalTlv", end + more.off(CHUNK))
    ok("old-content", "after the committed chunks an old one, whole", data + frames[1].bytes(), index(5), "current", end)
    damaged("old-content-none", "the same without an index", data + frames[1].bytes(), None, 5, "Shape", end + chk_off(frames[1], "chunk_id"))
    damaged("no-ledger", "a text for a ledger", b"not a ledger at all", None, 0, "Magic", 0)
    damaged("no-ledger-byte", "a byte that no magic begins with", b"n", None, 0, "Truncated", 0)
    ok("no-ledger-index", "the same under an index of no chunks: it was never committed", b"not a ledger at all", index_of([]), "current", 0)
    ok("first-torn", "the first chunk cut short, no index", data[:40], None, None, 0)
    ok("first-torn-byte", "its first byte", data[:1], None, None, 0)
    signed = sample_frames(key=KEY)
    damaged("never-key", "every chunk fails under a wrong key: nothing may be cut off", signed, None, 0, "Hmac", signed[0].val(HMAC) + 1, OTHER_KEY)

    # --- what follows a torn chunk -----------------------------------------------------------------------------
    cut = data[:at[4] + 60]
    ok("follows-lower", "a torn chunk, then chunk 0 again", cut + frames[0].bytes(), None, None, at[4])
    ok("follows-other-ctx", "a torn chunk, then a whole chunk of another ctx", cut + chunk_frame(9, 50, [1], ctx=bytes(8)).bytes(), None, None, at[4])
    ok("follows-index", "a torn chunk, then an index", cut + index(5).build().bytes(), None, None, at[4])
    ok("follows-torn", "a torn chunk, then one of a higher chunk_id that is torn too", cut + chunk_frame(5, 13, [1]).bytes()[:-1], None, None, at[4])
    later = chunk_frame(9, 50, [1])
    spare = with_changes(chunk_frame(9, 50, [1, 2, 3]), [("spare", spare_bit)])
    ok("follows-not-whole", "a torn chunk, then a frame of a higher chunk_id that the chunk's view refuses", cut + spare.bytes(), None, None, at[4])
    # 14 bytes of LEDGER_CHUNK_V1 and 13 of the next chunk make a TLV; then that chunk's 00 18 01 is a type and a length
    assert last.off(CHUNK) == 46 and later.bytes()[13:16] == b"\x00\x18\x01"
    damaged("follows-higher", "a torn chunk, then a whole one of a higher chunk_id", cut + later.bytes(), None, 4, "Truncated", at[4] + 46 + 27 + 3)
    damaged("follows-expected", "zeroes, then the chunk that was expected", data[:at[4]] + bytes(37) + data[at[4]:], None, 4, "Magic", at[4])
    ok("follows-expected-committed", "the same, the index covers all before it", data[:at[4]] + bytes(37) + data[at[4]:], index(4), "current", at[4])
    damaged("follows-expected-first", "a byte, then the first chunk", b"\x00" + frames[0].bytes(), None, 0, "Magic", 0)
    damaged("follows-first-other-ctx", "a byte, then a chunk: no chunk before it, so any ctx counts", b"\x00" + chunk_frame(9, 50, [1], ctx=bytes(8)).bytes(), None, 0, "Magic", 0)
    damaged("follows-higher-gap", "zeroes, then a whole chunk of a higher chunk_id", data + bytes(37) + later.bytes(), None, 5, "Magic", end)
    damaged("follows-higher-tail", "zeroes, a whole chunk of a higher chunk_id, zeroes", data + bytes(3) + later.bytes() + bytes(9), None, 5, "Magic", end)
    ok("follows-higher-committed", "the same, the index covers all before it", data + bytes(37) + later.bytes(), index(5), "current", end)
    inside = later.bytes()
    inside += bytes(len(inside) % 2)
    holder = chunk_frame(5, 13, list(struct.unpack("<%dH" % (len(inside) // 2), inside)), RAW, U16)
    ok("inside-whole", "a whole chunk whose payload holds a chunk", data + holder.bytes(), None, None, end + holder.end())
    damaged("inside-torn", "a torn chunk whose payload holds a whole chunk of a higher chunk_id", data + holder.bytes()[:-1], None, 5, "Truncated", end + holder.payload_off())
    ok("inside-torn-committed", "the same, the index covers all before it", data + holder.bytes()[:-1], index(5), "current", end)


# ---------------------------------------------------------------------------------------------------------

def proof_cases():
    c = Cases("bit-vectors/proof", "spec/ledger.md", [
        "View \"proof\": a proof file (hex) with the root it has to give, and the chunk's digest (inclusion) or the old root (consistency).",
    ])
    digests = [sha256(bytes([i])) for i in range(20)]
    roots = [tree_hash(digests[:n]) for n in range(21)]
    rng = Lcg(7)

    def draw():
        return b"".join(struct.pack(">I", rng.u32()) for _ in range(8))

    def case(id_, comment, data, root, given):
        return {"id": id_, "comment": comment, "view": "proof", "hex": data.hex(), **{name: value.hex() for name, value in given.items()}, "root": root.hex()}

    def ok(id_, comment, data, root, **given):
        out = {**case(id_, comment, data, root, given), "verdict": "accept"}
        out["expect"] = read_proof(data, root, **given)
        c.add(out)

    def no(id_, comment, data, root, kind="ProofRoot", offset=None, **given):
        try:
            got = read_proof(data, root, **given)
        except Bad as error:
            got = (error.kind, error.offset)
        assert got == (kind, offset), (id_, got, kind, offset)
        c.add({**case(id_, comment, data, root, given), "verdict": "reject", "error": {"kind": kind} if offset is None else {"kind": kind, "offset": offset}})

    # --- trees that can be built -------------------------------------------------------------------------------
    for n in range(1, 21):
        picked = range(n) if n <= 8 else sorted({0, n // 3, split(n), n - 1})
        for m in range(n):
            path = inclusion_path(m, digests[:n])
            assert check_inclusion(m, n, path, leaf_hash(digests[m])) == roots[n] and len(path) == path_length(m, n)
            if m in picked:
                ok("inclusion-%d-of-%d" % (m, n), "chunk %d of %d" % (m, n), proof_bytes(INCLUSION, m, n, path), roots[n], digest=digests[m])
        picked = range(1, n + 1) if n <= 8 else sorted({1, n // 3, split(n), n - 1})
        for m in range(1, n + 1):
            path = consistency_path(m, digests[:n])
            assert check_consistency(m, n, path, roots[m]) == (roots[m], roots[n]) and len(path) == subproof_length(m, n)
            if m in picked:
                ok("consistency-%d-to-%d" % (m, n), "%d chunks, then %d" % (m, n), proof_bytes(CONSISTENCY, m, n, path), roots[n], old_root=roots[m])

    # --- large trees, of which only the path is made ------------------------------------------------------------
    large = (2 ** 10, 2 ** 10 + 1, 2 ** 20 - 1, 2 ** 31 + 1, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 53 + 1, 2 ** 62 + 2 ** 31 + 1, 2 ** 63 - 1, 2 ** 63, 2 ** 63 + 1, U64 - 2, LAST)
    for n in large:
        for m in sorted({0, 1, n // 3, split(n) - 1, split(n), n - 2, n - 1}):
            digest = draw()
            root, path = made_inclusion(m, n, leaf_hash(digest), draw)
            assert len(path) <= 64
            if m == n // 3 or (n in (2 ** 32 + 1, LAST) and m in (0, split(n), n - 1)):
                ok("inclusion-large-%d-of-%d" % (m, n), "chunk %d of %d, %d hashes" % (m, n, len(path)), proof_bytes(INCLUSION, m, n, path), root, digest=digest)
        for m in sorted({1, 2, n // 3, split(n), split(n) + 1, n - 1}):
            if not 0 < m <= n:
                continue
            old, root, path = made_consistency(m, n, draw)
            assert check_consistency(m, n, path, old) == (old, root), (m, n)
            if len(path) > 64:
                continue                                # a proof file cannot hold it
            if m == n // 3 or (n in (2 ** 32 + 1, LAST) and m in (1, split(n), n - 1)):
                ok("consistency-large-%d-to-%d" % (m, n), "%d chunks, then %d, %d hashes" % (m, n, len(path)), proof_bytes(CONSISTENCY, m, n, path), root, old_root=old)
    for m in (3, 2 ** 63 + 1):
        old, root, path = made_consistency(m, LAST, draw)
        assert len(path) == 65
        no("consistency-large-%d-65" % m, "65 hashes are needed: no proof file holds them", proof_bytes(CONSISTENCY, m, LAST, path[:64]), root, "Shape", 5, old_root=old)
    old, root, path = made_consistency(LAST, LAST, draw)
    ok("consistency-largest-equal", "the largest tree with itself", proof_bytes(CONSISTENCY, LAST, LAST, path), root, old_root=old)

    # --- the specification's tables -----------------------------------------------------------------------------
    three = [bytes([x]) * 32 for x in (0x11, 0x22, 0x33)]
    root = bytes.fromhex("9bee4401962e94b921336a7910a5a9718836ffcbc545dde0a3f34d858beb5752")
    left = bytes.fromhex("4635e1fa62a599a7880a8d14a56f720a1d40f6e5448ab5a5e39bedc8bd87fa8e")
    right = bytes.fromhex("5e5caeafc27155c368b6f201107d6f8b270747ce636ac5174a56c6e12ef89ad1")
    old = bytes.fromhex("cc15b132263fd4fd2748c0e7cb9e1c4ad0afe70fcf9382ee644c4da8af0286a5")
    assert tree_hash(three) == root and leaf_hash(three[0]) == left and leaf_hash(three[2]) == right and tree_hash(three[:2]) == old
    ok("spec-inclusion", "the tree of three: chunk 1", proof_bytes(INCLUSION, 1, 3, [left, right]), root, digest=three[1])
    ok("spec-consistency", "the tree of three: from 2", proof_bytes(CONSISTENCY, 2, 3, [right]), root, old_root=old)
    ok("spec-8-as-7", "chunk 0 of 8 with b changed to 7: the same turns", proof_bytes(INCLUSION, 0, 7, inclusion_path(0, digests[:8])), roots[8], digest=digests[0])
    no("spec-8-as-9", "chunk 0 of 8 with b changed to 9", proof_bytes(INCLUSION, 0, 9, inclusion_path(0, digests[:8])), roots[8], "Shape", 5, digest=digests[0])
    no("spec-8-as-4", "chunk 0 of 8 with b changed to 4", proof_bytes(INCLUSION, 0, 4, inclusion_path(0, digests[:8])), roots[8], "Shape", 5, digest=digests[0])

    # --- malformed -------------------------------------------------------------------------------------------------
    path = inclusion_path(5, digests[:11])
    good = proof_bytes(INCLUSION, 5, 11, path)
    root, digest = roots[11], digests[5]
    both = (("inclusion", INCLUSION, good, {"digest": digest}, 4),
            ("consistency", CONSISTENCY, proof_bytes(CONSISTENCY, 5, 11, consistency_path(5, digests[:11])), {"old_root": roots[5]}, 5))
    a, b = (5, 11)
    for name, type_, data, given, count in both:
        end = PROOF_HEADER + 32 * count
        assert len(data) == end and data[5] == count
        for n in (*range(26), 55, 56, end - 1) if type_ == INCLUSION else (0, 3, 4, 5, 8, 16, 23, 24, end - 32, end - 1):
            no("%s-cut-%d" % (name, n), "%d of %d bytes" % (n, end), data[:n], root, "Truncated", 0 if n < PROOF_HEADER else PROOF_HEADER, **given)
        for n in (1, 32):
            no("%s-trailing-%d" % (name, n), "%d bytes follow" % n, data + bytes(n), root, "TrailingBytes", end, **given)
        no("%s-two" % name, "two proofs in one file", data + data, root, "TrailingBytes", end, **given)
        for i in range(4):
            no("%s-magic-%d" % (name, i), "byte %d of the magic" % i, data[:i] + bytes([data[i] ^ 2]) + data[i + 1:], root, "ProofMagic", 0, **given)
        no("%s-frame" % name, "the magic of a frame", b"BIT\x01" + data[4:], root, "ProofMagic", 0, **given)
        no("%s-magic-alone" % name, "4 bytes, not the magic", b"BIT\x01", root, "ProofMagic", 0, **given)
        no("%s-magic-cut" % name, "another magic and cut short", b"BIT\x01" + data[4:20], root, "ProofMagic", 0, **given)
        for value in (b"\x01\x00", b"\x00\x01"):
            no("%s-reserved-%s" % (name, value.hex()), "reserved is not 0", data[:6] + value + data[8:], root, "Reserved", 6, **given)
        hashes = [data[i:i + 32] for i in range(PROOF_HEADER, end, 32)]
        for n in (0, count - 1):
            no("%s-count-%d" % (name, n), "%d hashes where %d are needed" % (n, count), proof_bytes(type_, a, b, hashes[:n]), root, "Shape", 5, **given)
        no("%s-count-more" % name, "a hash too many", proof_bytes(type_, a, b, hashes + hashes[:1]), root, "Shape", 5, **given)
        no("%s-count-64" % name, "64 hashes", proof_bytes(type_, a, b, [bytes(32)] * 64), root, "Shape", 5, **given)
        no("%s-count-65" % name, "65 hashes", proof_bytes(type_, a, b, [bytes(32)] * 65), root, "TooLarge", 5, **given)
        for n in (65, 255):
            no("%s-claims-%d" % (name, n), "count %d" % n, proof_bytes(type_, a, b, hashes, count=n), root, "TooLarge", 5, **given)
        no("%s-claims-less" % name, "count is one less than the hashes that follow", proof_bytes(type_, a, b, hashes, count=count - 1), root, "Shape", 5, **given)
        no("%s-claims-more" % name, "count is one more than the hashes that follow", proof_bytes(type_, a, b, hashes, count=count + 1), root, "Shape", 5, **given)
        for i in range(count):
            wrong = hashes[:i] + [hashes[i][:31] + bytes([hashes[i][31] ^ 1])] + hashes[i + 1:]
            no("%s-hash-%d" % (name, i), "the last bit of hash %d" % i, proof_bytes(type_, a, b, wrong), root, **given)
        no("%s-reversed" % name, "the hashes from the root down", proof_bytes(type_, a, b, hashes[::-1]), root, **given)
        no("%s-swapped" % name, "the first two hashes swapped", proof_bytes(type_, a, b, [hashes[1], hashes[0]] + hashes[2:]), root, **given)
        no("%s-root" % name, "the last bit of the root", data, root[:31] + bytes([root[31] ^ 1]), **given)
        no("%s-root-earlier" % name, "the root of another size", data, roots[10], **given)
        # two faults
        no("%s-both-type-count" % name, "type and count", proof_bytes(2, a, b, hashes, count=65), root, "Code", 4, **given)
        no("%s-both-count-reserved" % name, "count over 64 and reserved", proof_bytes(type_, a, b, hashes, count=65, reserved=1), root, "TooLarge", 5, **given)
        no("%s-both-reserved-sizes" % name, "reserved and sizes", proof_bytes(type_, 12, b, hashes, reserved=1), root, "Reserved", 6, **given)
        no("%s-both-sizes-count" % name, "sizes and count", proof_bytes(type_, 12, b, hashes, count=3), root, "ProofSizes" if type_ else "ProofChunk", 16, **given)
        no("%s-both-count-cut" % name, "count is not that of a and b, and no hash is there", proof_bytes(type_, a, b, [], count=count + 1), root, "Shape", 5, **given)
        no("%s-both-count-trailing" % name, "count is not that of a and b, and bytes follow", proof_bytes(type_, a, b, hashes[:-1]) + b"\x00", root, "Shape", 5, **given)
        no("%s-both-cut-root" % name, "cut short and another root", data[:-1], roots[10], "Truncated", PROOF_HEADER, **given)
        no("%s-both-trailing-root" % name, "a byte follows and another root", data + b"\x00", roots[10], "TrailingBytes", end, **given)
    for value in (2, 255):
        no("type-%d" % value, "type %d" % value, proof_bytes(value, 5, 11, path), root, "Code", 4, digest=digest)
    for m, n in ((11, 11), (12, 11), (0, 0), (1, 0), (LAST, 11), (LAST, LAST)):
        no("inclusion-%d-in-%d" % (m, n), "chunk %d of %d" % (m, n), proof_bytes(INCLUSION, m, n, path), root, "ProofChunk", 16, digest=digest)
    no("inclusion-0-in-0-empty", "a chunk of the empty tree", proof_bytes(INCLUSION, 0, 0, []), roots[0], "ProofChunk", 16, digest=digest)
    for m in (4, 6, 1, 7):
        no("inclusion-as-%d" % m, "the path of chunk 5 for chunk %d" % m, proof_bytes(INCLUSION, m, 11, path), root, digest=digest)
    no("inclusion-as-10", "the path of chunk 5 for chunk 10, which has fewer hashes", proof_bytes(INCLUSION, 10, 11, path), root, "Shape", 5, digest=digest)
    no("inclusion-size-8", "the path in a tree of 11 for one of 8", proof_bytes(INCLUSION, 5, 8, path), root, "Shape", 5, digest=digest)
    no("inclusion-size-17", "the path in a tree of 11 for one of 17", proof_bytes(INCLUSION, 5, 17, path), root, "Shape", 5, digest=digest)
    no("inclusion-digest", "the digest of another chunk", good, root, digest=digests[6])
    no("inclusion-leaf", "the leaf's hash where the digest belongs", good, root, digest=leaf_hash(digest))
    no("inclusion-node", "an inner node passed off as a chunk of a tree half as deep", proof_bytes(INCLUSION, 2, 6, path[1:]), root, digest=node_hash(path[0], leaf_hash(digest)))
    no("inclusion-node-digests", "the two digests below an inner node passed off as one", proof_bytes(INCLUSION, 2, 6, path[1:]), root, digest=node_hash(leaf_hash(digests[4]), leaf_hash(digest)))
    no("inclusion-one-root", "a tree of one: the digest is not the root", proof_bytes(INCLUSION, 0, 1, []), digests[0], digest=digests[0])
    no("inclusion-one-hash", "a tree of one with a hash", proof_bytes(INCLUSION, 0, 1, [roots[1]]), roots[1], "Shape", 5, digest=digests[0])
    no("inclusion-largest-63", "63 hashes where 64 are needed", proof_bytes(INCLUSION, 0, LAST, [bytes(32)] * 63), roots[1], "Shape", 5, digest=digests[0])
    no("consistency-0-and-11", "from 0 to 11", proof_bytes(CONSISTENCY, 0, 11, path), root, "ProofSizes", 8, old_root=roots[5])
    no("consistency-0-and-0", "from 0 to 0", proof_bytes(CONSISTENCY, 0, 0, []), roots[0], "ProofSizes", 8, old_root=roots[0])
    no("consistency-0-to-11-empty", "every tree goes on from the empty one, but there is no proof of it", proof_bytes(CONSISTENCY, 0, 11, []), root, "ProofSizes", 8, old_root=roots[0])
    for m, n in ((12, 11), (LAST, 11), (1, 0)):
        no("consistency-%d-and-%d" % (m, n), "from %d to %d" % (m, n), proof_bytes(CONSISTENCY, m, n, path), root, "ProofSizes", 16, old_root=roots[5])
    no("consistency-equal-hash", "equal sizes with a hash", proof_bytes(CONSISTENCY, 11, 11, [root]), root, "Shape", 5, old_root=root)
    no("consistency-equal-differ", "equal sizes, other roots", proof_bytes(CONSISTENCY, 11, 11, []), root, old_root=roots[10])
    five = both[1][2]
    no("consistency-old-root", "the last bit of the old root", five, root, old_root=roots[5][:31] + bytes([roots[5][31] ^ 1]))
    no("consistency-swapped-roots", "old and new root swapped", five, roots[5], old_root=root)
    eight = consistency_path(8, digests[:11])
    no("consistency-8-with-root", "a complete old tree whose root is sent along", proof_bytes(CONSISTENCY, 8, 11, [roots[8]] + eight), root, "Shape", 5, old_root=roots[8])
    no("consistency-8-old-root", "a complete old tree with another old root", proof_bytes(CONSISTENCY, 8, 11, eight), root, old_root=roots[7])
    no("consistency-8-empty", "a complete old tree and no hash", proof_bytes(CONSISTENCY, 8, 11, []), root, "Shape", 5, old_root=roots[8])
    forked = digests[:3] + [bytes(32)] + digests[4:11]
    no("consistency-forked", "a tree in which an old chunk was changed", proof_bytes(CONSISTENCY, 5, 11, consistency_path(5, forked)), tree_hash(forked), old_root=roots[5])
    no("consistency-forked-old", "the same with the changed tree's old root", proof_bytes(CONSISTENCY, 5, 11, consistency_path(5, forked)), root, old_root=tree_hash(forked[:5]))
    no("as-consistency", "an inclusion proof with the type changed", proof_bytes(CONSISTENCY, 5, 11, path), root, "Shape", 5, old_root=roots[5])
    no("as-inclusion", "a consistency proof with the type changed", proof_bytes(INCLUSION, 5, 11, consistency_path(5, digests[:11])), root, "Shape", 5, digest=digest)
    return c


# ---------------------------------------------------------------------------------------------------------

def pack_cases():
    c = Cases("bit-vectors/pack", "spec/ledger.md", [
        "View \"pack\": tokens of so many bits are the bytes of hex, and the other way round.",
        "View \"choose\": the encoding that a writer that is to choose takes, and the payload (hex).",
    ])

    def packed(id_, comment, bits, tokens):
        data = pack(tokens, bits)
        again, spare = unpack(data, len(tokens), bits)
        assert again == tokens and not any(spare) and len(data) == ceil_div(len(tokens) * bits, 8)
        c.add({"id": id_, "comment": comment, "view": "pack", "verdict": "accept", "bits": bits, "tokens": tokens, "hex": data.hex()})

    def chosen(id_, comment, tokens, encoding, element, bits):
        got = choose(tokens)
        assert got[:3] == (encoding, element, bits), (id_, got)
        c.add({"id": id_, "comment": comment, "view": "choose", "verdict": "accept", "tokens": tokens, "encoding": ("raw", "packed")[encoding], "element": element, "bits": bits,
               "hex": got[3].hex()})

    rng = Lcg(23)
    for bits in range(1, 33):
        top = (1 << bits) - 1
        packed("bits-%d-one" % bits, "one token, the greatest", bits, [top])
        packed("bits-%d-walk" % bits, "each bit alone, between zeroes", bits, [x for j in range(bits) for x in (1 << j, 0)][:2 * bits - 1])
        packed("bits-%d-ones" % bits, "9 of the greatest", bits, [top] * 9)
        packed("bits-%d-edge" % bits, "the greatest at both ends of 33", bits, [top] + [0] * 31 + [top])
        packed("bits-%d-many" % bits, "67 tokens", bits, [rng.u32() >> 32 - bits for _ in range(67)])
    for bits in (1, 3, 8, 11, 16, 17, 31, 32):
        for n in (2, 7, 8, 15, 16, 31, 32, 64, 65) + ((128, 257) if bits in (11, 17) else ()):
            packed("bits-%d-length-%d" % (bits, n), "%d tokens" % n, bits, [rng.u32() >> 32 - bits for _ in range(n)])
    packed("wider", "more bits than needed", 12, [0, 1, 2, 3])
    packed("spec-2", "the table of the specification", 2, [1, 2, 3])
    packed("spec-9", "the table of the specification", 9, [5, 6, 7, 300])

    chosen("choose-spec-2", "the table of the specification", [1, 2, 3], PACKED, U8, 2)
    chosen("choose-spec-9", "the table of the specification", [5, 6, 7, 300], PACKED, U8, 9)
    chosen("choose-spec-tie", "the table of the specification", [1, 65535], RAW, U16, 0)
    chosen("choose-zero", "bits is 1 if all are 0", [0], PACKED, U8, 1)
    chosen("choose-zeroes", "bits is 1 if all are 0", [0] * 20, PACKED, U8, 1)
    chosen("choose-one-255", "one token in one byte", [255], PACKED, U8, 8)
    chosen("choose-one-256", "9 bits take 2 bytes, as raw u16 does", [256], RAW, U16, 0)
    chosen("choose-one-65535", "a tie of 2 bytes", [65535], RAW, U16, 0)
    chosen("choose-one-65536", "17 bits take 3 bytes, raw u32 4", [65536], PACKED, U8, 17)
    chosen("choose-one-24", "24 bits take 3 bytes", [2 ** 24 - 1], PACKED, U8, 24)
    chosen("choose-one-25", "25 bits take 4 bytes, as raw u32 does", [2 ** 24], RAW, U32, 0)
    chosen("choose-one-32", "a tie of 4 bytes", [2 ** 32 - 1], RAW, U32, 0)
    chosen("choose-15-7", "7 tokens of 15 bits take 14 bytes, as raw u16 does", [32767] * 7, RAW, U16, 0)
    chosen("choose-15-8", "8 tokens of 15 bits take 15 bytes, raw u16 16", [32767] * 8, PACKED, U8, 15)
    chosen("choose-31-7", "7 tokens of 31 bits take 28 bytes, as raw u32 does", [2 ** 31 - 1] * 7, RAW, U32, 0)
    chosen("choose-31-8", "8 tokens of 31 bits take 31 bytes, raw u32 32", [2 ** 31 - 1] * 8, PACKED, U8, 31)
    chosen("choose-16-9", "16 bits tie at any length", [65535] * 9, RAW, U16, 0)
    chosen("choose-32-9", "32 bits tie at any length", [2 ** 32 - 1] * 9, RAW, U32, 0)
    chosen("choose-17-9", "one token over 16 bits: 17 bits for all", [1] * 8 + [65536], PACKED, U8, 17)
    chosen("choose-13-2", "2 tokens of 13 bits take 4 bytes, as raw u16 does", [8191] * 2, RAW, U16, 0)
    chosen("choose-12-2", "2 tokens of 12 bits take 3 bytes", [4095] * 2, PACKED, U8, 12)
    return c


def self_test():
    # the tree of the Certificate Transparency project's tests, whose leaves are not digests
    leaves = [bytes.fromhex(x) for x in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")]
    for n, root in (
            (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"), (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"), (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            (4, "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"), (5, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
            (6, "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"), (7, "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328")):
        assert tree_hash(leaves[:n]).hex() == root, n
    # the table of the proof file
    for k in (1, 5, 63):
        assert path_length(0, 2 ** k) == k and path_length(2 ** k, 2 ** k + 1) == 1
    assert path_length(0, 1) == 0 and subproof_length(9, 9) == 0 and subproof_length(4, 8) == 1 and subproof_length(5, 8) == 4
    assert subproof_length(3, LAST) == 65 and max(subproof_length(m, 2 ** 63) for m in (3, 2 ** 62 + 1, 2 ** 63 - 1)) == 64


FILES = (("chunk", chunk_cases), ("index", index_cases), ("ledger", ledger_cases), ("proof", proof_cases), ("pack", pack_cases))
