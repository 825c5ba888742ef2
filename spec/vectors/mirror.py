"""Independent reader and writer of blocks and mirrors, and their test vectors.

Made from spec/README.md, spec/frame.md, spec/beacon.md (MU16) and spec/mirror.md alone; the envelope is that of generate.py, which imports
this module. As there, the verdicts are stated by hand or follow from the layout a case was built with, and the reader
has to agree with every one of them.

Floats of 16 and 32 bits are computed as fractions and rounded here, f64 is Python's float (each operation rounded by itself).
"""

import itertools
import math
import struct
from fractions import Fraction

from generate import (
    ALERT, BODIES, Bad, CALIB, CHUNK, CONTEXT, Cases, DIGEST, DIGEST_LIMIT, ENGRAM, FLAGS, Frame, GIST, HMAC, INDEX, KEY, Lcg, MARKS,
    MIRROR, PAD, RESULTS, context_text, crc16, f32_exact, quantise, read_frame, round_half_even, sha256,
)
from ledger import cut_at, fields, with_changes

U64 = 2 ** 64
U32_MAX = 2 ** 32 - 1
(MU16, F16, BF16, F32) = (1, 5, 6, 7)
SIZE = {MU16: 2, F16: 2, BF16: 2, F32: 4}
NAME = {MU16: "i16", F16: "f16", BF16: "bf16", F32: "f32"}
FLOATS = (F16, BF16, F32)
ELEMENTS = (MU16, F16, BF16, F32)
(REPLACE, ADD) = (0, 1)
MODE = {REPLACE: "replace", ADD: "add"}
# mode, element of the master, element of the values
COMBINATIONS = (
    (REPLACE, MU16, MU16), (REPLACE, F16, F16), (REPLACE, BF16, BF16), (REPLACE, F32, F32),
    (ADD, F16, F16), (ADD, BF16, BF16), (ADD, F32, F32), (ADD, F16, MU16), (ADD, BF16, MU16), (ADD, F32, MU16),
)

# offset and format of MIRROR_V1's fields
MIR = {
    "total_blocks": (0, ">I"), "mode": (4, ">B"), "master_element": (5, ">B"), "reserved": (6, ">H"), "threshold": (8, ">d"),
    "master_digest": (16, ">32s"),
}


# ---------------------------------------------------------------------------------------------------------
# Floats. A value is "nan", or (sign, magnitude) where magnitude is a fraction or "inf".
# ---------------------------------------------------------------------------------------------------------

# bits of the exponent, bits of the fraction, the NaN of a result
FORMAT = {F16: (5, 10, 0x7E00), BF16: (8, 7, 0x7FC0), F32: (8, 23, 0x7FC00000)}


def decode(bits, element):
    e_bits, m_bits, _ = FORMAT[element]
    sign = bits >> (e_bits + m_bits)
    exponent = bits >> m_bits & (1 << e_bits) - 1
    mantissa = bits & (1 << m_bits) - 1
    bias = (1 << (e_bits - 1)) - 1
    if exponent == (1 << e_bits) - 1:
        return "nan" if mantissa else (sign, "inf")
    if exponent == 0:
        return sign, Fraction(mantissa) * Fraction(2) ** (1 - bias - m_bits)
    return sign, Fraction(mantissa | 1 << m_bits) * Fraction(2) ** (exponent - bias - m_bits)


def encode(value, element):
    """The nearest element, halves to even; beyond the largest by half a step or more is infinity."""
    e_bits, m_bits, nan = FORMAT[element]
    if value == "nan":
        return nan
    sign, x = value
    bias = (1 << (e_bits - 1)) - 1
    infinity = (1 << e_bits) - 1 << m_bits
    if x == "inf":
        number = infinity
    elif x == 0:
        number = 0
    else:
        exponent = x.numerator.bit_length() - x.denominator.bit_length()
        if x < Fraction(2) ** exponent:
            exponent -= 1
        exponent = max(exponent, 1 - bias)                  # below it the step stays that of the subnormals
        units = round_half_even(x / Fraction(2) ** (exponent - m_bits))
        # units of 2^(exponent - m_bits): a carry into the next power of two, or out of the subnormals, adds up by itself
        number = min((exponent + bias - 1 << m_bits) + units, infinity)
    return sign << (e_bits + m_bits) | number


def negated(value):
    return value if value == "nan" else (1 - value[0], value[1])


def add(a, b):
    """The exact sum, with the signs of zero of IEEE 754 (round to nearest)."""
    if a == "nan" or b == "nan":
        return "nan"
    if a[1] == "inf" or b[1] == "inf":
        if a[1] == b[1] and a[0] != b[0]:
            return "nan"
        return a if a[1] == "inf" else b
    total = (-a[1] if a[0] else a[1]) + (-b[1] if b[0] else b[1])
    if total == 0:
        return (a[0] if a[0] == b[0] and a[1] == 0 else 0), Fraction(0)
    return (1 if total < 0 else 0), abs(total)


def add_f32(a, b):
    """The sum as an operation of f32."""
    return decode(encode(add(a, b), F32), F32)


def to_float(value):
    """As f64, exactly."""
    if value == "nan":
        return math.nan
    sign, x = value
    number = math.inf if x == "inf" else float(x)
    assert x == "inf" or Fraction(number) == x
    return -number if sign else number


def words(data, element):
    """The elements as unsigned numbers."""
    return list(struct.unpack("<%d%s" % (len(data) // SIZE[element], "I" if element == F32 else "H"), data))


def joined(bits, element):
    return struct.pack("<%d%s" % (len(bits), "I" if element == F32 else "H"), *bits)


def signed(word):
    return word - 65536 if word & 0x8000 else word


# ---------------------------------------------------------------------------------------------------------
# What is left out
# ---------------------------------------------------------------------------------------------------------

def lanes_norm(d):
    s = [0.0] * 16
    for i, x in enumerate(d):
        s[i % 16] = s[i % 16] + x * x
    for half in (8, 4, 2):
        for j in range(half):
            s[j] = s[j] + s[j + half]
    return math.sqrt(s[0] + s[1])


def norm(master, agent, element, delta_q16):
    """Of one block, given as bytes."""
    pairs = list(zip(words(agent, element), words(master, element)))
    if element == MU16:
        total = sum((signed(a) - signed(m)) ** 2 for a, m in pairs)
        assert total < U64
        return math.sqrt(float(total)) * (float(delta_q16) / 65536)
    return lanes_norm([to_float(decode(a, element)) - to_float(decode(m, element)) for a, m in pairs])


def left_out(master, agent, element, delta_q16, threshold):
    if threshold == 0:
        return master == agent
    return norm(master, agent, element, delta_q16) <= threshold


# ---------------------------------------------------------------------------------------------------------
# Differences
# ---------------------------------------------------------------------------------------------------------

def difference(a, m, element):
    """f32(agent) - f32(master) as an f32."""
    return add_f32(decode(a, element), negated(decode(m, element)))


def subtract(a, m, element):
    return encode(difference(a, m, element), element)


def plus(m, v, element):
    return encode(add_f32(decode(m, element), decode(v, element)), element)


def dequantised(q, delta_q16):
    x = Fraction(q * delta_q16, 65536)
    return decode(encode((1 if x < 0 else 0, abs(x)), F32), F32)


def plus_mu16(m, q, element, delta_q16):
    return encode(add_f32(decode(m, element), dequantised(q, delta_q16)), element)


class NonFinite(Exception):
    def __init__(self, row, column):
        super().__init__(row, column)
        self.row, self.column = row, column


def diff(element, dim, delta_q16, master, agent, mode, value_element, value_delta_q16, threshold):
    """Indices, values as bytes, and how many elements are saturated."""
    size = SIZE[element] * dim
    indices, values, saturated = [], b"", 0
    for block in range(len(master) // size):
        m, a = master[block * size:block * size + size], agent[block * size:block * size + size]
        if left_out(m, a, element, delta_q16, threshold):
            continue
        indices.append(block)
        if mode == REPLACE:
            values += a
            continue
        for column, (x, y) in enumerate(zip(words(a, element), words(m, element))):
            if value_element == element:
                values += joined([subtract(x, y, element)], element)
                continue
            d = difference(x, y, element)
            if d == "nan" or d[1] == "inf":
                raise NonFinite(block, column)
            q, over = quantise(encode(d, F32), value_delta_q16)
            saturated += over
            values += struct.pack("<h", q)
    return indices, values, saturated


# ---------------------------------------------------------------------------------------------------------
# The typed views
# ---------------------------------------------------------------------------------------------------------

def foreign(f, own):
    for tlv in f.tlvs:
        if 0x03 <= tlv.type <= 0x7F and tlv.type != own:
            raise Bad("ForeignTlv", tlv.off)


class Blocks:
    pass


def read_blocks(data):
    f = read_frame(data)
    c, off = f.cfg, f.cfg_off
    if c["kind"] != 6:                                          # 1
        raise Bad("Kind", off["kind"])
    foreign(f, None)                                            # 2
    if c["element"] not in SIZE:                                # 3
        raise Bad("Code", off["element"])
    if c["rows"] < 1:                                           # 4
        raise Bad("Shape", off["rows"])
    if c["dim"] < 1:                                            # 5
        raise Bad("Shape", off["dim"])
    length = c["rows"] * c["dim"] * SIZE[c["element"]]          # 6
    if length >= U64:
        raise Bad("Size", off["payload_len"])
    if length != c["payload_len"]:
        raise Bad("Shape", off["payload_len"])
    b = Blocks()
    b.frame, b.element, b.rows, b.dim, b.delta_q16, b.elements = f, c["element"], c["rows"], c["dim"], c["delta_q16"], f.payload
    return b


def blocks_found(b):
    return {"element": b.element, "rows": b.rows, "dim": b.dim, "delta_q16": b.delta_q16, "elements": b.elements.hex(), "digest": sha256(b.elements).hex()}


class Mirror:
    pass


def read_mirror(data):
    f = read_frame(data)
    c, off = f.cfg, f.cfg_off
    if c["kind"] != 3:                                          # 1
        raise Bad("Kind", off["kind"])
    tlv = f.find(MIRROR)
    if not tlv:                                                 # 2
        raise Bad("TlvMissing", f.would_stand(MIRROR))
    foreign(f, MIRROR)                                          # 3
    if c["dim"] < 1:                                            # 4
        raise Bad("Shape", off["dim"])
    m = Mirror()
    m.frame = f
    for name, value in fields(MIR, tlv.value).items():
        setattr(m, name, value)

    def at(name):
        return tlv.val_off + MIR[name][0]

    if m.total_blocks < 1:                                      # 5
        raise Bad("Shape", at("total_blocks"))
    if m.mode > 1:                                              # 6
        raise Bad("Code", at("mode"))
    if m.master_element not in SIZE or (m.master_element == MU16 and m.mode == ADD):    # 7
        raise Bad("Code", at("master_element"))
    if m.reserved:                                              # 8
        raise Bad("Reserved", at("reserved"))
    if not (math.isfinite(m.threshold) and m.threshold >= 0):   # 9
        raise Bad("Number", at("threshold"))
    if (m.mode, m.master_element, c["element"]) not in COMBINATIONS:    # 10
        raise Bad("Code", off["element"])
    if m.total_blocks * c["dim"] * SIZE[m.master_element] >= U64:       # 11
        raise Bad("Size", at("total_blocks"))
    if c["rows"] > m.total_blocks:                              # 12
        raise Bad("PastEnd", off["rows"])
    length = c["rows"] * (4 + c["dim"] * SIZE[c["element"]])    # 13
    if length >= U64:
        raise Bad("Size", off["payload_len"])
    if length != c["payload_len"]:
        raise Bad("Shape", off["payload_len"])
    m.indices = []
    for i in range(c["rows"]):                                  # 14
        index = struct.unpack_from("<I", f.payload, 4 * i)[0]
        if m.indices and index <= m.indices[-1]:
            raise Bad("Order", f.payload_off + 4 * i)
        if index >= m.total_blocks:
            raise Bad("PastEnd", f.payload_off + 4 * i)
        m.indices.append(index)
    m.element, m.dim, m.delta_q16 = c["element"], c["dim"], c["delta_q16"]
    m.values = f.payload[4 * c["rows"]:]
    m.threshold_bits = tlv.value[8:16].hex()
    return m


def mirror_found(m):
    return {
        "total_blocks": m.total_blocks, "dim": m.dim, "mode": MODE[m.mode], "master_element": m.master_element, "element": m.element, "delta_q16": m.delta_q16,
        "threshold": m.threshold_bits, "master_digest": m.master_digest.hex(), "indices": m.indices, "values": m.values.hex(),
    }


def same_context(a, b):
    one, other = a.find(CONTEXT), b.find(CONTEXT)
    return one.value == other.value if one and other else a.ctx == b.ctx


def apply(mirror_data, master_data):
    """The agent's elements."""
    master = read_blocks(master_data)
    m = read_mirror(mirror_data)
    if not same_context(master.frame, m.frame):
        raise Bad("ContextDiffers", None)
    if (master.element, master.dim, master.rows) != (m.master_element, m.dim, m.total_blocks):
        raise Bad("MasterDiffers", None)
    if m.mode == REPLACE and m.element == MU16 and master.delta_q16 != m.delta_q16:
        raise Bad("MasterDiffers", None)
    if sha256(master.elements) != m.master_digest:
        raise Bad("MasterDiffers", None)
    agent = words(master.elements, master.element)
    values = words(m.values, m.element)
    for r, block in enumerate(m.indices):
        for i in range(m.dim):
            at, value = block * m.dim + i, values[r * m.dim + i]
            if m.mode == REPLACE:
                agent[at] = value
            elif m.element == m.master_element:
                agent[at] = plus(agent[at], value, master.element)
            else:
                agent[at] = plus_mu16(agent[at], signed(value), master.element, m.delta_q16)
    return joined(agent, master.element)


# ---------------------------------------------------------------------------------------------------------
# The writer
# ---------------------------------------------------------------------------------------------------------

def sealed(f, **seal):
    f.seal(**seal)
    return f.seal(**dict(seal, digest=True)) if f.crc_off() - 4 > DIGEST_LIMIT else f


def blocks_frame(element, dim, elements, delta_q16=None, context=None, ctx=None, flags=0, rows=None, **seal):
    delta_q16 = (1024 if element == MU16 else 0) if delta_q16 is None else delta_q16
    rows = len(elements) // (dim * SIZE[element]) if rows is None else rows
    return sealed(Frame(6, element, rows, dim, delta_q16, elements, flags, context, ctx), **seal)


def mirror_value(total_blocks=4, mode=REPLACE, master_element=F32, threshold=0.0, master_digest=None, reserved=0):
    return struct.pack(">IBBHd32s", total_blocks, mode, master_element, reserved, threshold, bytes(range(0x40, 0x60)) if master_digest is None else master_digest)


def mirror_frame(indices=(), values=b"", dim=2, element=F32, delta_q16=None, context=None, ctx=None, flags=0, value=None, rows=None, digest=False, key=None,
                 align=None, **mirror):
    delta_q16 = (1024 if element == MU16 else 0) if delta_q16 is None else delta_q16
    payload = struct.pack("<%dI" % len(indices), *indices) + values
    f = Frame(3, element, len(indices) if rows is None else rows, dim, delta_q16, payload, flags, context, ctx)
    f.put(MIRROR, mirror_value(**mirror) if value is None else value)
    return sealed(f, digest=digest, key=key, align=align)


def write_mirror(element, dim, delta_q16, master, agent, mode, value_element, value_delta_q16, threshold, **frame):
    indices, values, _ = diff(element, dim, delta_q16, master, agent, mode, value_element, value_delta_q16, threshold)
    f = mirror_frame(indices, values, dim, value_element, value_delta_q16, total_blocks=len(master) // (dim * SIZE[element]), mode=mode, master_element=element,
                     threshold=threshold, master_digest=sha256(master), **frame)
    read_mirror(f.bytes())
    return f


def mir(f, **values):
    for name, value in values.items():
        off, fmt = MIR[name]
        f.poke(MIRROR, off, struct.pack(fmt, value))
    return f


def mir_off(f, name):
    return f.val(MIRROR) + MIR[name][0]


# ---------------------------------------------------------------------------------------------------------
# Cases
# ---------------------------------------------------------------------------------------------------------

class MirrorCases(Cases):
    @staticmethod
    def run(view, data, key):
        if view == "blocks":
            return blocks_found(read_blocks(data))
        if view == "mirror":
            return mirror_found(read_mirror(data))
        raise AssertionError(view)

    def blocks(self, id_, comment, f, **stated):
        data = f.bytes()
        expect = blocks_found(read_blocks(data))
        for name, value in stated.items():
            assert expect[name] == value, (id_, name, expect[name], value)
        self.accept(id_, comment, data, "blocks", expect)

    def mirror(self, id_, comment, f, **stated):
        data = f.bytes()
        expect = mirror_found(read_mirror(data))
        for name, value in stated.items():
            assert expect[name] == value, (id_, name, expect[name], value)
        self.accept(id_, comment, data, "mirror", expect)

    def no(self, view, id_, comment, f, kind, offset):
        self.reject(id_, comment, f.bytes() if isinstance(f, Frame) else f, view, kind, offset)

    def diff(self, id_, comment, element, dim, master, agent, mode=REPLACE, value_element=None, value_delta_q16=None, threshold=0.0, delta_q16=None, indices=None,
             values=None, saturated=None, error=None):
        """The stated indices, values (elements as unsigned numbers, i16 as numbers), saturated and error are compared with what the writer finds."""
        delta_q16 = (1024 if element == MU16 else 0) if delta_q16 is None else delta_q16
        value_element = element if value_element is None else value_element
        if value_delta_q16 is None:
            value_delta_q16 = (delta_q16 if element == MU16 else 1024) if value_element == MU16 else 0
        master, agent = (x if isinstance(x, bytes) else joined(x, element) for x in (master, agent))
        assert len(master) == len(agent) and len(master) % (dim * SIZE[element]) == 0
        case = {
            "id": id_, "comment": comment, "view": "diff", "element": element, "delta_q16": delta_q16, "dim": dim, "master": master.hex(), "agent": agent.hex(),
            "mode": MODE[mode], "value_element": value_element, "value_delta_q16": value_delta_q16, "threshold": struct.pack(">d", threshold).hex(),
        }
        try:
            got = diff(element, dim, delta_q16, master, agent, mode, value_element, value_delta_q16, threshold)
            assert error is None, (id_, got)
            if values is not None:
                values = struct.pack("<%dh" % len(values), *values) if value_element == MU16 and mode == ADD else joined(values, value_element)
            for stated, found in zip((indices, values, saturated), got):
                assert stated is None or stated == found, (id_, stated, found)
            case["verdict"] = "accept"
            case["expect"] = {"indices": got[0], "payload": (struct.pack("<%dI" % len(got[0]), *got[0]) + got[1]).hex(), "saturated": got[2]}
        except NonFinite as wrong:
            assert error == (wrong.row, wrong.column), (id_, error, wrong)
            case["verdict"] = "reject"
            case["error"] = {"kind": "NonFinite", "row": wrong.row, "column": wrong.column}
        self.add(case)
        return case

    def apply(self, id_, comment, mirror, master, agent=None, error=None, offset=None):
        """agent: the bytes, or the elements as unsigned numbers."""
        mirror_data, master_data = mirror.bytes(), master.bytes()
        case = {"id": id_, "comment": comment, "view": "apply", "hex": mirror_data.hex(), "master_hex": master_data.hex()}
        try:
            got = apply(mirror_data, master_data)
            assert error is None, id_
            if agent is not None:
                agent = agent if isinstance(agent, bytes) else joined(agent, read_blocks(master_data).element)
                assert agent == got, (id_, agent.hex(), got.hex())
            case["verdict"] = "accept"
            case["expect"] = {"agent": got.hex()}
        except Bad as wrong:
            assert (wrong.kind, wrong.offset) == (error, offset), (id_, error, offset, wrong)
            case["verdict"] = "reject"
            case["error"] = {"kind": error} if offset is None else {"kind": error, "offset": offset}
        self.add(case)


def of(element, *numbers):
    """Bits of numbers that are elements exactly; "-0", "inf", "-inf" and "nan" by name."""
    out = []
    for x in numbers:
        if x in ("-0", "inf", "-inf", "nan"):
            value = {"-0": (1, Fraction(0)), "inf": (0, "inf"), "-inf": (1, "inf"), "nan": "nan"}[x]
            out.append(encode(value, element))
            continue
        x = Fraction(x)
        out.append(encode((1 if x < 0 else 0, abs(x)), element))
        sign, magnitude = decode(out[-1], element)
        assert magnitude == abs(x), x
    return out


def drawn(rng, element, n, spread=6):
    """Finite elements around 1, of both signs."""
    out = []
    for _ in range(n):
        u = rng.u32()
        if element == MU16:
            out.append(u >> 16)
            continue
        e_bits, m_bits, _ = FORMAT[element]
        bias = (1 << (e_bits - 1)) - 1
        out.append((u & 1) << (e_bits + m_bits) | (bias - spread // 2 + (u >> 1) % spread) << m_bits | rng.u32() >> (32 - m_bits))
    return out


def disturbed(rng, element, bits, steps=64):
    """The elements, each moved by a few units in the last place."""
    if element == MU16:
        return [(x + rng.u32() % (2 * steps + 1) - steps) % 65536 for x in bits]
    return [x + rng.u32() % (2 * steps + 1) - steps for x in bits]


# what a norm is if the order of the sums is another
def wrong_norms(d):
    def tree(s):
        while len(s) > 1:
            s = [s[j] + s[j + len(s) // 2] for j in range(len(s) // 2)]
        return s[0]

    def neighbours(s):
        while len(s) > 1:
            s = [s[j] + s[j + 1] for j in range(0, len(s), 2)]
        return s[0]

    def lanes(n, fused=False, backwards=False):
        s = [0.0] * n
        for i, x in (reversed(list(enumerate(d))) if backwards else enumerate(d)):
            s[i % n] = float(Fraction(s[i % n]) + Fraction(x) ** 2) if fused else s[i % n] + x * x
        return s

    def in_a_row(s):
        total = 0.0
        for x in s:
            total += x
        return total

    def f32(x):
        return struct.unpack("<f", struct.pack("<f", x))[0]

    single = 0.0
    for x in d:
        single = f32(single + f32(f32(x) * f32(x)))
    chunk = -(-len(d) // 16)
    return {
        "one-lane": math.sqrt(in_a_row(lanes(1))),
        "eight-lanes": math.sqrt(tree(lanes(8))),
        "four-lanes": math.sqrt(tree(lanes(4))),
        "thirty-two-lanes": math.sqrt(tree(lanes(32))),
        "fused": math.sqrt(tree(lanes(16, fused=True))),
        "backwards": math.sqrt(tree(lanes(16, backwards=True))),
        "neighbours": math.sqrt(neighbours(lanes(16))),
        "lanes-in-a-row": math.sqrt(in_a_row(lanes(16))),
        "contiguous": math.sqrt(tree(([in_a_row([x * x for x in d[k:k + chunk]]) for k in range(0, len(d), chunk)] + [0.0] * 16)[:16])),
        "exact": math.sqrt(float(sum(Fraction(x) ** 2 for x in d))),
        "f32": math.sqrt(single),
    }


def blocks_faults():
    def longer(f):
        f.payload += b"\x00"
        f.cfg(payload_len=len(f.payload))

    return [
        ("kind", lambda f: f.cfg(kind=3), "Kind", lambda f: f.field("kind")),
        ("foreign", lambda f: f.put(MIRROR, mirror_value()), "ForeignTlv", lambda f: f.off(MIRROR)),
        ("element", lambda f: f.cfg(element=4), "Code", lambda f: f.field("element")),
        ("rows", lambda f: f.cfg(rows=0), "Shape", lambda f: f.field("rows")),
        ("dim", lambda f: f.cfg(dim=0), "Shape", lambda f: f.field("dim")),
        ("payload-len", longer, "Shape", lambda f: f.field("payload_len")),
    ]


def mirror_faults():
    def longer(f):
        f.payload += b"\x00"
        f.cfg(payload_len=len(f.payload))

    def index(i, value):
        def change(f):
            f.payload = f.payload[:4 * i] + struct.pack("<I", value) + f.payload[4 * i + 4:]
        return change

    return [
        ("kind", lambda f: f.cfg(kind=6), "Kind", lambda f: f.field("kind")),
        ("missing", lambda f: f.drop(MIRROR), "TlvMissing", lambda f: f.off(MIRROR)),
        ("foreign", lambda f: f.put(CALIB, BODIES[CALIB]), "ForeignTlv", lambda f: f.off(CALIB)),
        ("dim", lambda f: f.cfg(dim=0), "Shape", lambda f: f.field("dim")),
        ("total", lambda f: mir(f, total_blocks=0), "Shape", lambda f: mir_off(f, "total_blocks")),
        ("mode", lambda f: mir(f, mode=2), "Code", lambda f: mir_off(f, "mode")),
        ("master-element", lambda f: mir(f, master_element=4), "Code", lambda f: mir_off(f, "master_element")),
        ("reserved", lambda f: mir(f, reserved=1), "Reserved", lambda f: mir_off(f, "reserved")),
        ("threshold", lambda f: mir(f, threshold=-1.0), "Number", lambda f: mir_off(f, "threshold")),
        ("element", lambda f: f.cfg(element=3), "Code", lambda f: f.field("element")),
        ("size", lambda f: mir(f, total_blocks=U32_MAX) and f.cfg(dim=U32_MAX), "Size", lambda f: mir_off(f, "total_blocks")),
        ("rows", lambda f: f.cfg(rows=6), "PastEnd", lambda f: f.field("rows")),
        ("payload-len", longer, "Shape", lambda f: f.field("payload_len")),
        ("order", index(1, 1), "Order", lambda f: f.payload_off() + 4),
        ("past-end", index(2, 5), "PastEnd", lambda f: f.payload_off() + 8),
    ]


# pairs of which the first undoes the second
NOT_BOTH = {("dim", "size"), ("total", "size"), ("size", "rows")}


def base_mirror(**more):
    """Three of five blocks of two f32."""
    return mirror_frame([1, 2, 4], joined(of(F32, 1, 2, 3, 4, 5, 6), F32), total_blocks=5, **more)


def mirror_cases():
    c = MirrorCases("bit-vectors/mirror", "spec/mirror.md", [
        "Views \"blocks\" and \"mirror\" (every input is given to an exact reader), \"diff\" (what a writer leaves out, and the payload) and \"apply\" (the agent of a mirror and its master).",
        "CRC, digest and MAC are good unless the case is about them.",
    ])
    blocks_cases(c)
    view_cases(c)
    diff_cases(c)
    apply_cases(c)
    return c


def blocks_cases(c):
    rng = Lcg(60)

    def no(id_, *rest):
        c.no("blocks", "blocks-" + id_, *rest)

    for element in ELEMENTS:
        c.blocks("blocks-%s" % NAME[element], "three blocks of two %s" % NAME[element], blocks_frame(element, 2, joined(drawn(rng, element, 6), element)), rows=3, dim=2,
                 element=element)
        c.blocks("blocks-%s-one" % NAME[element], "one block of one %s" % NAME[element], blocks_frame(element, 1, joined(drawn(rng, element, 1), element)), rows=1, dim=1)
    c.blocks("blocks-bits", "infinities, NaN of every kind and -0 are elements like others",
             blocks_frame(F16, 4, joined([0x7C00, 0xFC00, 0x7E00, 0x7C01, 0xFFFF, 0x8000, 0x0001, 0x83FF], F16)), elements="007c00fc007e017cffff00800100ff83")
    c.blocks("blocks-step-max", "i16 with the largest step", blocks_frame(MU16, 2, b"\xff\x7f\x00\x80", delta_q16=U32_MAX), delta_q16=U32_MAX)
    c.blocks("blocks-large", "over 4,093 bytes: with a digest", blocks_frame(F32, 100, joined(drawn(rng, F32, 1100), F32)), rows=11)
    plain = joined(of(F32, 1, 2), F32)
    c.blocks("blocks-no-flags", "FLAGS_V1 left out", blocks_frame(F32, 2, plain, flags=None))
    c.blocks("blocks-flags", "flags of the beacon and ignored bits", blocks_frame(F32, 2, plain, flags=0xFFFF0006))
    c.blocks("blocks-skipped", "unknown TLVs and LEDGER_MARKS_V1 are not of 03-7F", blocks_frame(F32, 2, plain).put(0x90, b"?").put(MARKS, bytes(4)))
    f = blocks_frame(F32, 2, plain, context=context_text(2, "m", "p", "s"), digest=True, key=KEY, align=64)
    assert f.payload_off() % 64 == 0
    c.blocks("blocks-everything", "context, digest, MAC and pad, the payload at a multiple of 64", f)
    c.blocks("blocks-context-other-dim", "the context's dim is not the blocks' view's to check", blocks_frame(F32, 2, plain, context=context_text(3)))
    c.blocks("blocks-mac-wrong", "HMAC_V1, which the view does not verify", blocks_frame(F32, 2, plain, key=KEY).poke(HMAC, 1, bytes(32)))

    base = blocks_frame(F32, 2, joined(of(F32, 1, 2, 3, 4), F32))
    faults = blocks_faults()
    for fault in faults:
        f = with_changes(base, [fault])
        no(fault[0], "one fault: " + fault[0], f, fault[2], fault[3](f))
    for one, other in itertools.combinations(faults, 2):
        f = with_changes(base, [one, other])
        no("both-%s-%s" % (one[0], other[0]), "two faults: the first of the order counts", f, one[2], one[3](f))
    f = with_changes(base, [("", longer_by(b"\x00"), None, None)])
    no("both-frame-kind", "the frame's checks come before: the flags, then the kind", f.copy().cfg(kind=3).flag(0x10), "FlagBits", f.val(FLAGS))
    for kind in (0, 1, 2, 4, 5, 7, 8, 255):
        f = base.copy().cfg(kind=kind)
        if kind == 1:
            f.seal(True)
        no("kind-%d" % kind, "kind %d" % kind, f, "Kind", f.field("kind"))
    for type_ in (CALIB, RESULTS, CHUNK, INDEX, GIST, ENGRAM):
        f = base.copy().put(type_, BODIES[type_])
        no("foreign-%02x" % type_, "a TLV of another kind", f, "ForeignTlv", f.off(type_))
    f = base.copy().put(CALIB, BODIES[CALIB]).put(GIST, BODIES[GIST])
    no("foreign-two", "two of them: the first counts", f, "ForeignTlv", f.off(CALIB))
    for element in (0, 2, 3, 4, 8, 9):
        f = base.copy().cfg(element=element)
        no("element-%d" % element, "element %d" % element, f, "Code", f.field("element"))
    for name, rows, dim in (("rows-more", 3, 2), ("rows-less", 1, 2), ("dim-more", 2, 3), ("dim-less", 2, 1), ("swapped", 4, 2), ("rows-max", U32_MAX, 1), ("dim-max", 1, U32_MAX)):
        f = base.copy().cfg(rows=rows, dim=dim)
        no("shape-" + name, "rows %d, dim %d with 16 bytes" % (rows, dim), f, "Shape", f.field("payload_len"))
    f = blocks_frame(F32, 2, b"", rows=2)
    no("no-payload", "no payload", f, "Shape", f.field("payload_len"))
    f = blocks_frame(F16, 2, bytes(16), rows=2)
    no("f16-as-f32", "f16 with the payload of f32", f, "Shape", f.field("payload_len"))
    # products over 64 bits, those that wrap round to the payload's length among them
    f = blocks_frame(F32, U32_MAX, b"", rows=U32_MAX)
    no("size-max", "the largest rows and dim", f, "Size", f.field("payload_len"))
    f = blocks_frame(F32, 2 ** 31, b"", rows=2 ** 31)
    no("size-wraps-to-0", "2^64 bytes, and there are 0", f, "Size", f.field("payload_len"))
    f = blocks_frame(F16, 2 ** 31, b"", rows=2 ** 32 - 2)
    no("size-f16-fits", "2^64 - 2^33 bytes still fit", f, "Shape", f.field("payload_len"))
    rows, dim = 1380655685, 3340214413
    assert rows * dim == 2 ** 62 + 1
    f = blocks_frame(F32, dim, bytes(4), rows=rows)
    no("size-wraps-to-4", "2^64 + 4 bytes, and there are 4", f, "Size", f.field("payload_len"))
    f = blocks_frame(F32, 2 ** 30, b"", rows=U32_MAX)
    no("size-fits", "2^64 - 2^32 bytes still fit", f, "Shape", f.field("payload_len"))
    f = blocks_frame(F32, 2 ** 30 + 1, b"", rows=U32_MAX)
    no("size-over", "the next dim does not", f, "Size", f.field("payload_len"))
    f = blocks_frame(MU16, U32_MAX, b"", rows=U32_MAX)
    no("size-i16", "the largest rows and dim of i16", f, "Size", f.field("payload_len"))
    data = base.bytes()
    no("trailing", "a byte follows", data + b"\x00", "TrailingBytes", len(data))
    no("cut", "the last byte is missing", data[:-1], "Truncated", base.payload_off())
    no("crc", "a wrong CRC", base.bytes(crc16(base.body()) ^ 1), "Crc", base.crc_off())
    f = base.copy().cfg(element=1)
    no("step-missing", "i16 without a step is the frame's to refuse", f, "DeltaQ16", f.field("delta_q16"))


def longer_by(more):
    def change(f):
        f.payload += more
        f.cfg(payload_len=len(f.payload))
    return change


def view_cases(c):
    rng = Lcg(30)

    def ok(id_, *rest, **stated):
        c.mirror("mirror-" + id_, *rest, **stated)

    def no(id_, *rest):
        c.no("mirror", "mirror-" + id_, *rest)

    for mode, master_element, element in COMBINATIONS:
        name = "%s-%s-%s" % (MODE[mode], NAME[master_element], NAME[element])
        for indices in ([0, 2], [], [0, 1, 2, 3]):
            values = joined(drawn(rng, element, 2 * len(indices)), element)
            ok("%s-%d" % (name, len(indices)), "%d of 4 blocks differ" % len(indices), mirror_frame(indices, values, element=element, mode=mode, master_element=master_element),
               indices=indices, values=values.hex())
    ok("first", "the first block alone", mirror_frame([0], bytes(8)), indices=[0])
    ok("last", "the last block alone", mirror_frame([3], bytes(8)), indices=[3])
    ok("one-of-one", "a master of one block of one f16", mirror_frame([0], b"\x00\x3c", dim=1, element=F16, master_element=F16, total_blocks=1), values="003c")
    ok("none-of-one", "a master of one block, no difference", mirror_frame([], dim=1, total_blocks=1), values="")
    ok("largest-index", "the largest index of the largest master", mirror_frame([0, U32_MAX - 1], bytes(16), total_blocks=U32_MAX), indices=[0, U32_MAX - 1])
    ok("nan", "values are any bits", mirror_frame([1], bytes.fromhex("0100807f000080ff")), values="0100807f000080ff")
    ok("step", "add in MU16 with the smallest step", mirror_frame([1], b"\xff\x7f\x00\x80", element=MU16, delta_q16=1, mode=ADD), delta_q16=1)
    ok("step-max", "replace of i16 with the largest step", mirror_frame([1], b"\xff\x7f\x00\x80", element=MU16, delta_q16=U32_MAX, master_element=MU16), delta_q16=U32_MAX)
    for name, value in (("minus-0", -0.0), ("least", 5e-324), ("half", 0.5), ("largest", 1.7976931348623157e308)):
        ok("threshold-" + name, "threshold %r" % value, mirror_frame([1], bytes(8), threshold=value), threshold=struct.pack(">d", value).hex())
    ok("no-flags", "FLAGS_V1 left out", base_mirror(flags=None))
    ok("flags", "flags of the beacon and ignored bits", base_mirror(flags=0xFFFF0006))
    ok("skipped", "unknown TLVs and LEDGER_MARKS_V1 are not of 03-7F", base_mirror().put(0x90, b"?").put(MARKS, bytes(4)))
    f = base_mirror(context=context_text(2, "m", "p", "s"), digest=True, key=KEY, align=64)
    assert f.payload_off() % 64 == 0
    ok("everything", "context, digest, MAC and pad", f)
    ok("context-other-dim", "the context's dim is not the mirror's view's to check", base_mirror(context=context_text(3)))
    ok("mac-wrong", "HMAC_V1, which the view does not verify", base_mirror(key=KEY).poke(HMAC, 1, bytes(32)))
    ok("large", "over 4,093 bytes: with a digest", mirror_frame(list(range(0, 24, 2)), joined(drawn(rng, F32, 12 * 100), F32), dim=100, total_blocks=24))
    ok("digest-any", "the master's digest is any 32 bytes for the view", base_mirror(master_digest=bytes(32)), master_digest="00" * 32)
    # a frame without values may claim a master that fits 64 bits, no more
    for element, total, dim in ((F32, U32_MAX, 2 ** 30), (F32, 2 ** 30, U32_MAX), (F16, U32_MAX, 2 ** 31), (MU16, 2 ** 31, U32_MAX), (F32, 1, U32_MAX), (F32, U32_MAX, 1)):
        f = mirror_frame([], dim=dim, element=element, master_element=element, total_blocks=total)
        assert total * dim * SIZE[element] < U64
        ok("claims-%s-%d-%d" % (NAME[element], total, dim), "no difference to a master that is said to be large", f, indices=[])
    f = mirror_frame([], dim=2 ** 30, element=MU16, mode=ADD, total_blocks=U32_MAX)
    ok("claims-add", "the same, add in MU16", f)

    # --- one fault, and two ----------------------------------------------------------------------------------
    base = base_mirror()
    faults = mirror_faults()
    for fault in faults:
        f = with_changes(base, [fault])
        no(fault[0], "one fault: " + fault[0], f, fault[2], fault[3](f))
    for one, other in itertools.combinations(faults, 2):
        if (one[0], other[0]) not in NOT_BOTH:
            f = with_changes(base, [one, other])
            no("both-%s-%s" % (one[0], other[0]), "two faults: the first of the order counts", f, one[2], one[3](f))
    f = base.copy().cfg(kind=6).flag(0x10)
    no("both-frame-kind", "the frame's checks come before: the flags, then the kind", f, "FlagBits", f.val(FLAGS))
    data = base.copy().cfg(kind=6).bytes()
    no("both-trailing-kind", "the frame's checks come before: what follows, then the kind", data + b"\x00", "TrailingBytes", len(data))

    # --- kind and TLVs ---------------------------------------------------------------------------------------
    for kind in (0, 1, 2, 4, 5, 7, 8, 255):
        f = base.copy().cfg(kind=kind)
        if kind == 1:
            f.seal(True)
        no("kind-%d" % kind, "kind %d" % kind, f, "Kind", f.field("kind"))
    for type_ in (RESULTS, CHUNK, INDEX, GIST, ENGRAM):
        f = base.copy().put(type_, BODIES[type_])
        no("foreign-%02x" % type_, "a TLV of another kind", f, "ForeignTlv", f.off(type_))
    f = base.copy().put(INDEX, BODIES[INDEX]).put(GIST, BODIES[GIST])
    no("foreign-two", "one before and one after: the first counts", f, "ForeignTlv", f.off(INDEX))
    f = base_mirror(context=context_text(2)).drop(MIRROR)
    no("missing-context", "MIRROR_V1 is missing: it would stand before CONTEXT_V1", f, "TlvMissing", f.off(CONTEXT))
    f = base.copy().drop(MIRROR).put(INDEX, BODIES[INDEX])
    no("missing-after-index", "it would stand after LEDGER_INDEX_V1", f, "TlvMissing", f.off(MIRROR))
    for n in (0, 47, 49):
        f = base.copy().put(MIRROR, (mirror_value(5) + b"\x00")[:n])
        no("length-%d" % n, "MIRROR_V1 of %d bytes is the frame's to refuse" % n, f, "TlvLength", f.off(MIRROR) + 1)

    # --- the fields ------------------------------------------------------------------------------------------
    for value in (2, 3, 255):
        f = mir(base.copy(), mode=value)
        no("mode-%d" % value, "mode %d" % value, f, "Code", mir_off(f, "mode"))
    for mode in (REPLACE, ADD):
        for value in (0, 1, 2, 3, 4, 8, 9, 10, 255):
            if (mode, value) != (REPLACE, MU16):
                f = mir(base.copy(), mode=mode, master_element=value)
                no("master-element-%s-%d" % (MODE[mode], value), "%s with a master of element %d" % (MODE[mode], value), f, "Code", mir_off(f, "master_element"))
    f = mirror_frame([1], bytes(4), element=MU16, mode=ADD, master_element=MU16)
    no("add-i16-i16", "there is no add for an i16 master", f, "Code", mir_off(f, "master_element"))
    for value in (1, 0x0100, 0xFFFF):
        f = mir(base.copy(), reserved=value)
        no("reserved-%04x" % value, "reserved is not 0", f, "Reserved", mir_off(f, "reserved"))
    for name, bits in (("nan", "7ff8000000000000"), ("nan-least", "7ff0000000000001"), ("minus-nan", "fff8000000000000"), ("inf", "7ff0000000000000"), ("minus-inf", "fff0000000000000"),
                       ("minus-least", "8000000000000001")):
        f = base.copy().poke(MIRROR, 8, bytes.fromhex(bits))
        no("threshold-" + name, "threshold is not finite, or below 0", f, "Number", mir_off(f, "threshold"))
    for mode in (REPLACE, ADD):
        for master_element in ELEMENTS:
            if (mode, master_element) == (ADD, MU16):
                continue
            for element in range(10):
                if (mode, master_element, element) in COMBINATIONS or (master_element in (F16, BF16) and element not in ELEMENTS):
                    continue
                f = mirror_frame([], element=element, mode=mode, master_element=master_element)
                no("element-%s-%s-%d" % (MODE[mode], NAME[master_element], element), "%s, a master of %s, values of element %d" % (MODE[mode], NAME[master_element], element), f, "Code",
                   f.field("element"))
    # --- lying counts ----------------------------------------------------------------------------------------
    for name, element, total, dim in (("f32-max", F32, U32_MAX, U32_MAX), ("f32-2-64", F32, 2 ** 31, 2 ** 31), ("f32-next", F32, U32_MAX, 2 ** 30 + 1), ("f32-next-total", F32, 2 ** 30 + 1, U32_MAX),
                                      ("f16-next", F16, U32_MAX, 2 ** 31 + 1), ("i16-next", MU16, 2 ** 31 + 1, U32_MAX)):
        assert total * dim * SIZE[element] >= U64
        f = mirror_frame([], dim=dim, element=element, master_element=element, total_blocks=total)
        no("size-" + name, "a master of 2^64 bytes or more", f, "Size", mir_off(f, "total_blocks"))
    f = mirror_frame([], dim=U32_MAX, element=MU16, mode=ADD, total_blocks=2 ** 30 + 1)
    no("size-add-i16", "the master's element counts, not the values'", f, "Size", mir_off(f, "total_blocks"))
    for name, element, total, dim, more in (
            ("wraps-to-0", F32, 2 ** 31, 2 ** 31 - 1, 0), ("wraps-to-0-f16", F16, 2 ** 31, 2 ** 32 - 2, 0), ("over", F32, U32_MAX, 2 ** 30, None)):
        f = mirror_frame([], dim=dim, element=element, master_element=element, total_blocks=total, rows=total)
        length = total * (4 + dim * SIZE[element])
        assert total * dim * SIZE[element] < U64 <= length and (more is None or length % U64 == more)
        no("payload-" + name, "the master fits 64 bits, the payload does not", f, "Size", f.field("payload_len"))
    f = mirror_frame([], dim=2 ** 30 - 1, total_blocks=U32_MAX, rows=U32_MAX)
    assert U32_MAX * (4 + 4 * (2 ** 30 - 1)) == U64 - 2 ** 32
    no("payload-fits", "a payload of 2^64 - 2^32 bytes still fits", f, "Shape", f.field("payload_len"))
    f = mirror_frame([], dim=2, total_blocks=U32_MAX, rows=U32_MAX)
    no("rows-max", "2^32 - 1 rows without a payload", f, "Shape", f.field("payload_len"))
    for rows in (6, 7, U32_MAX):
        f = base.copy().cfg(rows=rows)
        no("rows-%d" % rows, "%d of 5 blocks" % rows, f, "PastEnd", f.field("rows"))
    f = mirror_frame([0, 1], bytes(16), total_blocks=1)
    no("rows-2-of-1", "two differing blocks of one, the payload in agreement", f, "PastEnd", f.field("rows"))
    for name, rows, dim in (("rows-less", 2, 2), ("rows-more", 4, 2), ("rows-none", 0, 2), ("dim-less", 3, 1), ("dim-more", 3, 3), ("dim-max", 3, U32_MAX)):
        f = base.copy().cfg(rows=rows, dim=dim)
        no("shape-" + name, "rows %d, dim %d with 36 bytes" % (rows, dim), f, "Shape", f.field("payload_len"))
    f = mirror_frame([], bytes(12))
    no("shape-no-rows", "no rows and a payload", f, "Shape", f.field("payload_len"))
    for n in (1, 4, 8):
        f = with_changes(base, [("", longer_by(bytes(n)), None, None)])
        no("shape-longer-%d" % n, "%d bytes too many" % n, f, "Shape", f.field("payload_len"))
    f = mirror_frame([1], bytes(8), element=MU16, mode=ADD)
    no("shape-i16-as-f32", "MU16 values with the payload of f32", f, "Shape", f.field("payload_len"))

    # --- indices ---------------------------------------------------------------------------------------------
    for name, indices, kind, at in (
            ("repeated-0", [0, 0], "Order", 1), ("repeated", [1, 2, 2], "Order", 2), ("falling", [2, 1], "Order", 1), ("falling-late", [0, 3, 4, 1], "Order", 3), ("falling-to-0", [1, 0], "Order", 1),
            ("past-first", [5], "PastEnd", 0), ("past-last", [0, 4, 5], "PastEnd", 2), ("past-max", [U32_MAX], "PastEnd", 0), ("past-then-order", [5, 4], "PastEnd", 0), ("order-then-past", [3, 3, 9], "Order", 1),
            ("past-and-repeated", [1, 7, 7], "PastEnd", 1), ("past-middle", [1, 5, 6], "PastEnd", 1), ("max-then-0", [U32_MAX, 0], "PastEnd", 0), ("sign", [0x7FFFFFFF, 0x80000000], "PastEnd", 0),
            ("big-endian", [0x01000000], "PastEnd", 0)):
        f = mirror_frame(indices, bytes(8 * len(indices)), total_blocks=5)
        no("index-" + name, "indices %s of 5 blocks" % indices, f, kind, f.payload_off() + 4 * at)
    f = mirror_frame([0x80000000, 0x7FFFFFFF], bytes(16), total_blocks=U32_MAX)
    no("index-unsigned", "an index is unsigned: 2^31, then 2^31 - 1", f, "Order", f.payload_off() + 4)
    ok("index-unsigned-in-order", "2^31 - 1, then 2^31", mirror_frame([0x7FFFFFFF, 0x80000000], bytes(16), total_blocks=U32_MAX))
    f = mirror_frame([256, 1], bytes(16), total_blocks=1000)
    no("index-little-endian", "256 is over 1, though its first byte is not", f, "Order", f.payload_off() + 4)
    ok("index-little-endian-in-order", "1, then 256", mirror_frame([1, 256], bytes(16), total_blocks=1000), indices=[1, 256])

    # --- truncation ------------------------------------------------------------------------------------------
    small = mirror_frame([1], b"\x00\x3c", dim=1, element=F16, master_element=F16, total_blocks=2, flags=None)
    data = small.bytes()
    ok("small", "the mirror that is cut short below", small, indices=[1])
    for n in range(len(data)):
        no("cut-%03d" % n, "the first %d bytes" % n, data[:n], "Truncated", cut_at(small, n))
    no("trailing", "a byte follows", data + b"\x00", "TrailingBytes", len(data))
    f = small
    no("crc", "a wrong CRC", f.bytes(crc16(f.body()) ^ 1), "Crc", f.crc_off())


# The samples of "diff" and "apply": five blocks, of which 1 and 3 are moved a little, 4 is another; 0 and 2 are the master's.
def sample(rng, element, dim, steps=64):
    master = drawn(rng, element, 5 * dim)
    agent = list(master)
    for block in (1, 3):
        agent[block * dim:block * dim + dim] = disturbed(rng, element, master[block * dim:block * dim + dim], steps)
        agent[block * dim] = master[block * dim] ^ 1                                # so that it differs for certain
    agent[4 * dim:] = drawn(rng, element, dim)
    agent[5 * dim - 1] = master[5 * dim - 1] ^ 2
    return joined(master, element), joined(agent, element)


def norms(element, dim, delta_q16, master, agent):
    size = SIZE[element] * dim
    return [norm(master[at:at + size], agent[at:at + size], element, delta_q16) for at in range(0, len(master), size)]


def diff_cases(c):
    rng = Lcg(31)
    d = c.diff

    # --- every mode and element, lanes with and without a rest -------------------------------------------------
    for mode, element, value_element in COMBINATIONS:
        for dim in (1, 15, 16, 17, 33, 100):
            if dim == 100 and (mode, value_element) == (REPLACE, F32):
                continue                                        # below with a threshold
            master, agent = sample(rng, element, dim)
            delta = 300 if value_element == MU16 and mode == ADD else None
            d("diff-%s-%s-%s-%d" % (MODE[mode], NAME[element], NAME[value_element], dim), "blocks 1, 3 and 4 of 5 differ", element, dim, master, agent, mode, value_element, delta,
              indices=[1, 3, 4])
    for element in ELEMENTS:
        master, agent = sample(rng, element, 3)
        d("diff-%s-same" % NAME[element], "the agent is the master", element, 3, master, master, indices=[], saturated=0)
        d("diff-%s-all" % NAME[element], "every block differs, by one bit", element, 1, [0x3C00, 0x3C01, 0x3C02], [0x3C01, 0x3C00, 0x3C03], indices=[0, 1, 2])
    # --- many blocks, and blocks of many elements -------------------------------------------------------------
    many = [0, 31, 32, 62, 63, 64, 65, 127, 128, 129, 199]
    for element in ELEMENTS:
        master = drawn(rng, element, 200)
        agent = [x ^ (1 if i in many else 0) for i, x in enumerate(master)]
        d("diff-%s-many" % NAME[element], "11 of 200 blocks differ", element, 1, master, agent, indices=many)
        master = [0] * 200
        one, two = (1, 2) if element == MU16 else of(element, 1, 2)
        agent = [two if i in many else 0 if i % 3 else one for i in range(200)]
        d("diff-%s-many-threshold" % NAME[element], "the same with a threshold, up to which others differ", element, 1, master, agent, threshold=1.0, delta_q16=65536 if element == MU16 else 0, indices=many)
        d("diff-%s-long" % NAME[element], "blocks of 600 elements, of which the last differs", element, 600, [0] * 1200, [0] * 1199 + [1], indices=[1])
    for at in (255, 256, 599):
        d("diff-mu16-long-%d" % at, "blocks of 600 elements, of which one has no difference", F16, 600, [0] * 1200, [0x7E00 if i == 600 + at else 0 for i in range(1200)], ADD, MU16, 65536, error=(1, at))
    d("diff-mu16-long-saturated", "the same, two of which are saturated", F16, 600, [0] * 1200, [0x7BFF if i in (600, 1199) else 0x3C00 for i in range(1200)], ADD, MU16, 65536, indices=[0, 1], saturated=2)
    d("diff-one-bit", "one bit of the last element of the last block", F32, 17, [0] * 34, [0] * 33 + [1], indices=[1])

    # --- thresholds at a norm, and one ulp below ---------------------------------------------------------------
    for element in ELEMENTS:
        for dim in (1, 2, 15, 16, 17, 33, 100):
            master, agent = sample(rng, element, dim)
            blocks = [0, 1, 3, 4] if dim < 100 else [1, 3, 4]
            size = SIZE[element] * dim
            master, agent = (b"".join(x[size * b:size * b + size] for b in blocks) for x in (master, agent))
            for delta in ((1024, U32_MAX) if element == MU16 and dim in (15, 33) else (1000003,) if element == MU16 else (0,)):
                found = norms(element, dim, delta, master, agent)
                ordered = sorted(found)
                middle = ordered[len(ordered) // 2]
                below = math.nextafter(middle, 0)
                assert middle > 0 and all(x == middle or x < below or x > middle for x in found)
                name = "diff-%s-%d" % (NAME[element], dim) + ("-step-%d" % delta if element == MU16 else "")
                for suffix, comment, threshold in (("at", "the threshold is a block's norm", middle), ("below", "one ulp below a block's norm", below)):
                    d("%s-%s" % (name, suffix), comment, element, dim, master, agent, threshold=threshold, delta_q16=delta, indices=[i for i, x in enumerate(found) if x > threshold])

    # --- the order of the sums ---------------------------------------------------------------------------------
    # For each other order a block of which it finds another norm: of the two thresholds one tells them apart.
    for element, dim in ((F32, 33), (F32, 100), (BF16, 100), (F16, 100)):
        wanted, blocks = None, []
        while wanted is None or wanted:
            master = drawn(rng, element, dim, 24)
            agent = drawn(rng, element, dim, 24)
            differences = [to_float(decode(a, element)) - to_float(decode(m, element)) for a, m in zip(agent, master)]
            good, others = lanes_norm(differences), wrong_norms(differences)
            if wanted is None:
                wanted = set(others) - ({"fused"} if element != F32 else set()) - ({"backwards"} if dim < 48 else set())
            told = {name for name, value in others.items() if value != good} & wanted
            if len(told) >= max(1, len(wanted) // 2):
                blocks.append((master, agent, good, sorted(told)))
                wanted -= told
        for n, (master, agent, good, told) in enumerate(blocks):
            name = "diff-order-%s-%d-%d" % (NAME[element], dim, n)
            d(name + "-at", "the norm by another order is another: " + ", ".join(told), element, dim, master, agent, threshold=good, indices=[])
            d(name + "-below", "the same, one ulp below", element, dim, master, agent, threshold=math.nextafter(good, 0), indices=[0])

    # --- the square root ---------------------------------------------------------------------------------------
    tiny = Fraction(1, 2 ** 26)
    zero = [0] * 4
    one = of(F32, 1, tiny, 0, 0)
    assert math.sqrt(1 + 2.0 ** -52) == 1
    d("diff-sqrt-rounds-down", "S is 1 + 2^-52, over the square of the threshold; its root is 1", F32, 4, zero, one, threshold=1.0, indices=[])
    d("diff-sqrt-rounds-up", "S is 1 + 2^-51; its root is 1 + 2^-52", F32, 4, zero, of(F32, 1, tiny, 0, tiny), threshold=1.0, indices=[0])
    d("diff-sqrt-next", "the same with that as the threshold", F32, 4, zero, of(F32, 1, tiny, 0, tiny), threshold=1 + 2.0 ** -52, indices=[])
    d("diff-sqrt-of-below", "S is 1 - 2^-53 - ..., its root the number below 1", F32, 2, [0, 0], of(F32, 1 - Fraction(1, 2 ** 24), 0), threshold=math.nextafter(1, 0), indices=[])
    least = of(F32, Fraction(1, 2 ** 149))
    for name, threshold in (("5e-324", 5e-324), ("1e-200", 1e-200), ("below-least", math.nextafter(2.0 ** -149, 0))):
        d("diff-threshold-" + name, "the square of the threshold is 0 or nearly; the blocks are -0 and the least subnormal", F32, 1, [0, 0, 0], of(F32, "-0", 0) + least, threshold=threshold,
          indices=[2])
    d("diff-threshold-least", "the threshold is the least subnormal of f32", F32, 1, [0, 0], of(F32, "-0") + least, threshold=2.0 ** -149, indices=[])
    largest = [0x7F7FFFFF]
    for name, threshold in (("1e200", 1e200), ("largest", 1.7976931348623157e308)):
        d("diff-threshold-" + name, "the square of the threshold is over f64; only what is no number is kept", F32, 1, largest * 2 + of(F32, 0, "inf", 0), [0xFF7FFFFF] + of(F32, "-inf", 1, "inf", 1),
          threshold=threshold, indices=[1, 3])
    d("diff-threshold-f32-range", "a difference beyond f32 is no infinity in f64", F32, 1, largest, [0xFF7FFFFF], threshold=2 * (2.0 ** 128 - 2.0 ** 104), indices=[])
    d("diff-threshold-f32-range-below", "the same, one ulp below", F32, 1, largest, [0xFF7FFFFF], threshold=math.nextafter(2 * (2.0 ** 128 - 2.0 ** 104), 0), indices=[0])
    d("diff-i16-far", "differences of 16-bit integers need 17 bits", MU16, 33, [0x8000] * 66, [0x7FFF] * 33 + [0x7FFE] * 33, threshold=norm(b"\x00\x80" * 33, b"\xfe\x7f" * 33, MU16, 65536),
      delta_q16=65536, indices=[0])
    d("diff-i16-exact", "3, 4, 5 with a step of 1", MU16, 2, [0, 0, 0, 0], [3, 4, 3, 5], threshold=5.0, delta_q16=65536, indices=[1])
    d("diff-i16-step", "3, 4, 5 with a step of 1/65536", MU16, 2, [0, 0, 0, 0], [3, 4, 0xFFFD, 0xFFFB], threshold=5.0 / 65536, delta_q16=1, indices=[1])
    d("diff-i16-step-max", "one with the largest step", MU16, 1, [0, 0], [1, 2], threshold=U32_MAX / 65536, delta_q16=U32_MAX, indices=[1])

    # --- the table of what is left out -------------------------------------------------------------------------
    half = struct.unpack("<2I", struct.pack("<2f", 0.3, 0.4))
    for name, threshold in (("0", 0.0), ("minus-0", -0.0), ("0.5", 0.5)):
        d("diff-table-two-%s" % name, "the table of the specification", F32, 2, [0, 0, 0, 0], list(half) + of(F32, Fraction(1, 2), 0), threshold=threshold, indices=[0] if threshold else [0, 1])
    for element in FLOATS:
        e_bits, m_bits, nan = FORMAT[element]
        sign = 1 << (e_bits + m_bits)
        inf = (1 << e_bits) - 1 << m_bits
        master = of(element, 0, "-0", "nan", "nan", "inf", "inf", "-inf", 1, "nan", "inf") + [1, inf | 1, nan | sign]
        agent = of(element, "-0", "-0", "nan", 1, "inf", "-inf", "-inf", "inf", "-inf", "nan") + [sign | 1, nan | 1, nan]
        special = {
            "0": [0, 3, 5, 7, 8, 9, 10, 11, 12], "0.5": [2, 3, 4, 5, 6, 7, 8, 9, 11, 12],
        }
        for name, threshold in (("0", 0.0), ("minus-0", -0.0), ("0.5", 0.5), ("largest", 1.7976931348623157e308)):
            for mode in (REPLACE, ADD):
                if name in ("minus-0", "largest") and mode == ADD:
                    continue
                d("diff-special-%s-%s-%s" % (NAME[element], MODE[mode], name), "zeroes, NaN, infinities and subnormals", element, 1, master, agent, mode, threshold=threshold,
                  indices=special["0.5" if threshold > 0 else "0"],
                  values=None if mode == REPLACE else [encode(x, element) for x in ((
                      [(1, Fraction(0)), "nan", (1, "inf"), (0, "inf"), "nan", "nan"] + [decode(sign | 2, element), "nan", "nan"]) if threshold == 0 else (
                      ["nan", "nan", "nan", (1, "inf"), "nan", (0, "inf"), "nan", "nan", "nan", "nan"]))])
        d("diff-nan-payload-%s" % NAME[element], "a NaN is itself only with all its bits; replace keeps them", element, 2, [nan, nan | 1] * 2, [nan, nan | 1, nan | 1, nan], indices=[1],
          values=[nan | 1, nan])
        d("diff-nan-in-block-%s" % NAME[element], "the same NaN and the same numbers: left out at 0, kept above", element, 17, [nan] + [0] * 16, [nan] + [0] * 16, threshold=1e300, indices=[0])
        d("diff-nan-last-%s" % NAME[element], "a NaN in the last place only", element, 33, [0] * 66, [0] * 65 + [nan], threshold=1e300, indices=[1])
    # --- differences -------------------------------------------------------------------------------------------
    d("diff-add-zeroes", "the sign of a difference of zeroes", F32, 5, of(F32, 0, "-0", 0, "-0", 0), of(F32, "-0", 0, 0, "-0", 1), ADD, indices=[0], values=of(F32, "-0", 0, 0, 0, 1))
    d("diff-add-f16-ties", "halves to even", F16, 6, of(F16, -1, -1, 1, 1, Fraction(-1, 2), -3), of(F16, 2048, 2050, -2048, -2050, 1024, 4096), ADD,
      values=of(F16, 2048, 2052, -2048, -2052, 1024, 4100))
    d("diff-add-bf16-ties", "halves to even", BF16, 4, of(BF16, -1, -1, 1, 1), of(BF16, 256, 258, -256, -258), ADD, values=of(BF16, 256, 260, -256, -260))
    big = 2 ** 24
    d("diff-add-f32-ties", "halves to even", F32, 4, of(F32, -1, -1, 1, 1), of(F32, big, big + 2, -big, -big - 2), ADD, values=of(F32, big, big + 4, -big, -big - 4))
    d("diff-add-f16-overflow", "beyond the largest by half a step is infinity, by less is not", F16, 5, of(F16, -65504, -16, Fraction(-31, 2), 16, Fraction(31, 2)), of(F16, 65504, 65504, 65504, -65504, -65504), ADD,
      values=of(F16, "inf", "inf", 65504, "-inf", -65504))
    top = Fraction(255 * 2 ** 120)
    d("diff-add-bf16-overflow", "the same for bf16", BF16, 4, of(BF16, -2 ** 119, -(Fraction(2) ** 119 - 2 ** 111), 2 ** 119, -top), of(BF16, top, top, -top, top), ADD, values=of(BF16, "inf", top, "-inf", "inf"))
    top32 = Fraction((2 ** 24 - 1) * 2 ** 104)
    d("diff-add-f32-overflow", "the same for f32", F32, 4, of(F32, -2 ** 103, -(Fraction(2) ** 103 - 2 ** 79), 2 ** 103, -top32), of(F32, top32, top32, -top32, top32), ADD,
      values=of(F32, "inf", top32, "-inf", "inf"))
    for element in FLOATS:
        e_bits, m_bits, _ = FORMAT[element]
        sign, least_normal = 1 << (e_bits + m_bits), 1 << m_bits
        d("diff-add-subnormals-%s" % NAME[element], "differences that are subnormal are exact", element, 5, [1, 2, least_normal, least_normal + 1, sign | 1], [2, 1, least_normal - 1, least_normal, 1], ADD,
          values=[1, sign | 1, sign | 1, sign | 1, 2])
    d("diff-add-f16-cancels", "a master far larger than the agent: the agent's bits are lost", F16, 2, of(F16, 4096, 4096), of(F16, 1, 2 + Fraction(1, 512)), ADD, values=of(F16, -4096, -4094))

    # --- MU16 --------------------------------------------------------------------------------------------------
    d("diff-mu16-zero", "a difference of 0 and of -0", F32, 3, of(F32, "-0", 0, 1), of(F32, 0, "-0", 2), ADD, MU16, 65536, values=[0, 0, 1], saturated=0)
    d("diff-mu16-ties", "halves of a step to even", F32, 6, [0] * 6, of(F32, Fraction(1, 2), Fraction(3, 2), Fraction(5, 2), Fraction(-1, 2), Fraction(-3, 2), Fraction(-5, 2)), ADD, MU16, 65536,
      values=[0, 2, 2, 0, -2, -2])
    d("diff-mu16-saturates", "beyond the range: saturated, no error", F32, 7, [0] * 7,
      of(F32, 32767, Fraction(65535, 2), 32768, 2 ** 100, -32768, Fraction(-65537, 2), -32769), ADD, MU16, 65536, values=[32767, 32767, 32767, 32767, -32768, -32768, -32768], saturated=4)
    d("diff-mu16-f32-rounded-first", "the difference is an f32 before it is quantised: 0.5 + 2^-40 is 0.5", F32, 1, of(F32, Fraction(-1, 2 ** 40)), of(F32, Fraction(1, 2)), ADD, MU16, 65536, values=[0])
    d("diff-mu16-f16-rounded-first", "the same of f16: 24592 + 2^-24 is 24592, 768.5 steps of 32", F16, 1, of(F16, Fraction(-1, 2 ** 24)), of(F16, 24592), ADD, MU16, 2 ** 21, values=[768])
    d("diff-mu16-f16-not-rounded", "the difference is not rounded to f16: 2049 is odd", F16, 2, of(F16, -1, -1), of(F16, 2048, 2050), ADD, MU16, 65536, values=[2049, 2051])
    d("diff-mu16-bf16-not-rounded", "nor to bf16", BF16, 2, of(BF16, -1, -1), of(BF16, 256, 258), ADD, MU16, 65536, values=[257, 259])
    d("diff-mu16-f16-beyond", "a difference beyond f16 is a finite f32", F16, 2, of(F16, -65504, 65504), of(F16, 65504, -65504), ADD, MU16, 65536 * 4, values=[32752, -32752], saturated=0)
    d("diff-mu16-bf16-beyond", "a difference beyond bf16's largest, not beyond f32's", BF16, 1, of(BF16, -(2 ** 119)), of(BF16, top), ADD, MU16, U32_MAX, values=[32767], saturated=1)
    for element in FLOATS:
        huge = {F16: None, BF16: 0x7F7F, F32: 0x7F7FFFFF}[element]
        nan, infinity = FORMAT[element][2], of(element, "inf")[0]
        step = dict(mode=ADD, value_element=MU16, value_delta_q16=65536)
        for name, m, a in (("nan", 0, nan), ("master-nan", nan, 0), ("inf", 0, infinity), ("minus-inf", infinity, 0), ("inf-inf", infinity, infinity)):
            d("diff-mu16-%s-%s" % (NAME[element], name), "a difference that is not finite in a kept block", element, 2, [0, 0, 0, m, nan, 0], [0, 0, 1, a, nan, 0], error=(1, 1), **step)
        if huge:
            d("diff-mu16-%s-overflow" % NAME[element], "a difference of finite numbers beyond f32", element, 1, [0, huge], [0, huge | 0x8000 << (16 if element == F32 else 0)], error=(1, 0), **step)
        d("diff-mu16-%s-left-out" % NAME[element], "what is left out has no difference", element, 2, [nan, infinity, 0, 0], [nan, infinity, 0] + of(element, 1), indices=[1], values=[0, 1], **step)
        d("diff-mu16-%s-kept" % NAME[element], "above threshold 0 the same NaN is kept, and has none", element, 2, [0, 0, nan, 0], of(element, 1, 0) + [nan, 0], threshold=0.25, error=(1, 0), **step)
        d("diff-mu16-%s-first" % NAME[element], "the first in the order of the blocks", element, 2, [0] * 6, [0, 0, 0, infinity, nan, 0], error=(1, 1), **step)
        d("diff-mu16-%s-threshold" % NAME[element], "a threshold and MU16", element, 2, [0] * 6, of(element, 1, 0, 2, 0, 0, -3), threshold=2.0, indices=[2], values=[0, -3], **step)


def apply_cases(c):
    rng = Lcg(32)
    context, other = context_text(2, "m", "p", "s"), context_text(2, "m", "p", "t")

    def whole(id_, comment, element, dim, master, agent, mode=REPLACE, value_element=None, value_delta_q16=None, threshold=0.0, delta_q16=None, expect=None, **frame):
        delta_q16 = (1024 if element == MU16 else 0) if delta_q16 is None else delta_q16
        value_element = element if value_element is None else value_element
        if value_delta_q16 is None:
            value_delta_q16 = (delta_q16 if element == MU16 else 1024) if value_element == MU16 else 0
        master, agent = (x if isinstance(x, bytes) else joined(x, element) for x in (master, agent))
        f = write_mirror(element, dim, delta_q16, master, agent, mode, value_element, value_delta_q16, threshold, **frame)
        c.apply(id_, comment, f, blocks_frame(element, dim, master, delta_q16, **frame), agent if expect == "agent" else expect)

    for mode, element, value_element in COMBINATIONS:
        for dim in (1, 16, 17, 33):
            master, agent = sample(rng, element, dim)
            whole("apply-%s-%s-%s-%d" % (MODE[mode], NAME[element], NAME[value_element], dim), "written, then read", element, dim, master, agent, mode, value_element,
                  3 if mode == ADD and value_element == MU16 else None, expect="agent" if mode == REPLACE else None)
    for element in ELEMENTS:
        master, agent = sample(rng, element, 17)
        found = sorted(norms(element, 17, 1024, master, agent))
        size = SIZE[element] * 17
        kept = [i for i, x in enumerate(norms(element, 17, 1024, master, agent)) if x > found[3]]
        expected = b"".join((agent if i in kept else master)[size * i:size * i + size] for i in range(5))
        whole("apply-threshold-%s" % NAME[element], "what was left out is the master's", element, 17, master, agent, threshold=found[3], expect=expected)
        whole("apply-same-%s" % NAME[element], "no difference: the agent is the master", element, 17, master, master, expect="agent")
        whole("apply-all-%s" % NAME[element], "every block differs", element, 1, [0, 1, 2], [3, 4, 5], expect="agent")

    for mode, element, value_element in COMBINATIONS:
        master = drawn(rng, element, 200)
        agent = [x ^ (3 if i in (0, 63, 64, 128, 199) else 0) for i, x in enumerate(master)]
        whole("apply-%s-%s-%s-many" % (MODE[mode], NAME[element], NAME[value_element]), "5 of 200 blocks differ", element, 1, master, agent, mode, value_element,
              1 if mode == ADD and value_element == MU16 else None, expect="agent" if mode == REPLACE else None)
        if mode == ADD:
            master = drawn(rng, element, 300)
            whole("apply-add-%s-%s-long" % (NAME[element], NAME[value_element]), "a block of 300 elements", element, 300, master, disturbed(rng, element, master), mode, value_element,
                  7 if value_element == MU16 else None)

    def made(id_, comment, element, master, values, expect, value_element=None, value_delta_q16=None, mode=ADD):
        """One block; values are elements as unsigned numbers, or numbers for MU16."""
        value_element = element if value_element is None else value_element
        dim = len(master)
        elements = joined(master, element)
        f = mirror_frame([0], joined([v & 0xFFFF for v in values] if value_element == MU16 else values, value_element), dim, value_element, value_delta_q16, total_blocks=1, mode=mode,
                         master_element=element, master_digest=sha256(elements))
        c.apply(id_, comment, f, blocks_frame(element, dim, elements), expect)

    for element in FLOATS:
        e_bits, m_bits, nan = FORMAT[element]
        name = NAME[element]
        sign, inf, least_normal = 1 << (e_bits + m_bits), of(element, "inf")[0], 1 << m_bits
        n = 2 ** (m_bits + 1)
        made("apply-add-%s-ties" % name, "halves to even", element, of(element, n, n + 2, -n, -n - 2, n), of(element, 1, 1, -1, -1, -1), of(element, n, n + 4, -n, -n - 4, n - 1))
        made("apply-add-%s-near-ties" % name, "just off a half", element, of(element, n, n + 2), of(element, 1 + Fraction(1, 2 ** m_bits), 1 - Fraction(1, 2 ** (m_bits + 1))),
             of(element, n + 2, n + 2))
        top = inf - 1
        half = encode((0, decode(top, element)[1] / (2 ** (m_bits + 1) - 1) / 2), element)          # half a step at the top
        made("apply-add-%s-overflow" % name, "half a step beyond the largest is infinity, less is not", element, [top, top, top | sign, top, top | sign], [half, half - 1, half | sign, top, top | sign],
             [inf, top, inf | sign, inf, inf | sign])
        made("apply-add-%s-subnormals" % name, "subnormals", element, [1, 1, least_normal - 1, least_normal, sign | 1, 3], [1, sign | 1, 1, sign | 1, sign | 1, sign | 5],
             [2, 0, least_normal, least_normal - 1, sign | 2, sign | 2])
        made("apply-add-%s-zeroes" % name, "the signs of zeroes", element, of(element, 0, "-0", 0, "-0", 1, -1), of(element, "-0", 0, 0, "-0", -1, 1), of(element, 0, 0, 0, "-0", 0, 0))
        made("apply-add-%s-nan" % name, "a NaN of a sum has one form", element, [nan | sign, nan | 1, 0, inf | 1, inf, inf, inf | sign], [0, 0, nan | sign | 3, 0, inf | sign, inf, inf], [nan, nan, nan, nan, nan, inf, nan])
        made("apply-add-%s-inf" % name, "infinities", element, [inf, inf | sign, 0, 0], [0, top, inf, inf | sign], [inf, inf | sign, inf, inf | sign])
        made("apply-replace-%s-bits" % name, "replace keeps every bit", element, [0] * 5, [nan | sign, nan | 1, inf | 1, sign, 1], [nan | sign, nan | 1, inf | 1, sign, 1], mode=REPLACE)
        made("apply-mu16-%s-limits" % name, "the limits of q", element, [0] * 4, [32767, -32768, 1, -1], [encode((s, Fraction(x * 3, 65536)), element) for s, x in ((0, 32767), (1, 32768), (0, 1), (1, 1))], MU16, 3)
        made("apply-mu16-%s-zero" % name, "q = 0 is +0, and -0 + 0 is 0; a NaN gets its one form, kept or not", element, [0, sign, nan | 1, inf, top, 1], [0] * 6, [0, 0, nan, inf, top, 1], MU16, 3)
        if element == F32:
            made("apply-mu16-f32-over-half", "1 + 2^-16 is over half a step", element, of(element, n, n + 2, -n), [1, 1, -1], of(element, n + 2, n + 4, -n - 2), MU16, 65537)
        else:
            made("apply-mu16-%s-two-roundings" % name, "the sum is an f32 before it is an element: with 1 + 2^-16 it is a half" if element == F16 else
                 "the sum is an f32 before it is an element: with 1 + 2^-16 it is rounded to a half, then to even", element, of(element, n, n + 2, -n), [1, 1, -1],
                 of(element, n, n + 4, -n), MU16, 65537)
    made("apply-mu16-step-max", "the largest step: x' is rounded to f32", F32, [0, 0, 0], [1, 32767, -32768], [encode((s, Fraction(q * U32_MAX, 65536)), F32) for s, q in ((0, 1), (0, 32767), (1, 32768))], MU16, U32_MAX)
    made("apply-mu16-f16-overflow", "beyond f16", F16, of(F16, 65504, 65504, -65504, 0), [16, 15, -16, 32767], of(F16, "inf", 65504, "-inf", 32768), MU16, 65536)
    made("apply-mu16-f16-overflow-step", "far beyond f16", F16, of(F16, 0, 0), [32767, -32768], of(F16, "inf", "-inf"), MU16, U32_MAX)
    for element in FLOATS:
        made("apply-mu16-%s-x-rounded-first" % NAME[element], "x' is an f32 before it is added: 256 + 2^-16 is 256, 768 + 3 * 2^-16 is 768 + 2^-14", element, of(element, -256, -768), [1, 3],
             of(element, 0, Fraction(1, 2 ** 14)), MU16, 2 ** 24 + 1)

    # --- which master ------------------------------------------------------------------------------------------
    element, dim = F32, 2
    master = joined(of(F32, 1, 2, 3, 4, 5, 6), F32)
    agent = joined(of(F32, 1, 2, 3, 7, 5, 6), F32)

    def pair(**frame):
        return write_mirror(F32, 2, 0, master, agent, REPLACE, F32, 0, 0.0, **frame)

    def dense(**frame):
        return blocks_frame(F32, 2, master, **frame)

    own, foreign_ctx = dense(context=context).ctx, bytes(range(0xB0, 0xB8))
    c.apply("apply-context", "the same context", pair(context=context), dense(context=context), agent)
    c.apply("apply-context-no-ids", "contexts without ids", pair(context=context_text(2)), dense(context=context_text(2)), agent)
    c.apply("apply-context-master-only", "only the master carries it: the ctx are equal", pair(ctx=own), dense(context=context), agent)
    c.apply("apply-context-mirror-only", "only the mirror carries it: the ctx are equal", pair(context=context), dense(ctx=own), agent)
    c.apply("apply-context-neither", "neither does: the ctx are equal", pair(ctx=own), dense(ctx=own), agent)
    c.apply("apply-signed", "digest, MAC and pad of each are its own", pair(context=context, key=KEY, align=64), dense(context=context, digest=True), agent)
    c.apply("apply-context-other", "another context", pair(context=context), dense(context=other), error="ContextDiffers")
    c.apply("apply-context-other-dim", "the contexts' dim is compared with them", pair(context=context_text(3, "m", "p", "s")), dense(context=context), error="ContextDiffers")
    c.apply("apply-context-other-ctx", "neither carries it, the ctx differ", pair(ctx=own), dense(ctx=foreign_ctx), error="ContextDiffers")
    c.apply("apply-context-master-only-other", "only the master carries it, the ctx differ", pair(ctx=foreign_ctx), dense(context=context), error="ContextDiffers")
    c.apply("apply-context-mirror-only-other", "only the mirror carries it, the ctx differ", pair(context=context), dense(ctx=foreign_ctx), error="ContextDiffers")
    c.apply("apply-master-element", "a master of i16 of the same bytes and blocks", pair(), blocks_frame(MU16, 4, master), error="MasterDiffers")
    f16 = joined(of(F16, 1, 2, 3, 4), F16)
    for one, another in ((F16, BF16), (BF16, F16), (F16, MU16), (MU16, F16), (MU16, BF16)):
        f = write_mirror(one, 2, 1024 if one == MU16 else 0, f16, f16, REPLACE, one, 1024 if one == MU16 else 0, 0.0)
        c.apply("apply-master-%s-for-%s" % (NAME[another], NAME[one]), "the same bytes, dim and blocks, another element", f, blocks_frame(another, 2, f16), error="MasterDiffers")
    f = write_mirror(F16, 2, 0, f16, f16[::-1], ADD, MU16, 1024, 0.0)
    c.apply("apply-add-master-i16", "a mirror of MU16 differences is not one of an i16 master", f, blocks_frame(MU16, 2, f16), error="MasterDiffers")
    c.apply("apply-master-dim", "the same bytes in blocks of another dim", pair(), blocks_frame(F32, 3, master), error="MasterDiffers")
    c.apply("apply-master-dim-1", "the same bytes in blocks of 1", pair(), blocks_frame(F32, 1, master), error="MasterDiffers")
    c.apply("apply-master-shorter", "a block less", pair(), blocks_frame(F32, 2, master[:16]), error="MasterDiffers")
    c.apply("apply-master-longer", "a block more", pair(), blocks_frame(F32, 2, master + bytes(8)), error="MasterDiffers")
    c.apply("apply-master-bit", "one bit of the last element", pair(), blocks_frame(F32, 2, master[:-1] + bytes([master[-1] ^ 1])), error="MasterDiffers")
    c.apply("apply-master-minus-0", "-0 for 0 is another master", write_mirror(F32, 1, 0, bytes(8), bytes(8), REPLACE, F32, 0, 0.0), blocks_frame(F32, 1, b"\x00\x00\x00\x80" + bytes(4)), error="MasterDiffers")
    c.apply("apply-agent-as-master", "the agent in the master's place", pair(), blocks_frame(F32, 2, agent), error="MasterDiffers")
    f = pair()
    c.apply("apply-digest-first", "the first byte of the digest", f.copy().poke(MIRROR, 16, bytes([f.item(MIRROR)[1][16] ^ 1])), dense(), error="MasterDiffers")
    c.apply("apply-digest-last", "the last byte of the digest", f.copy().poke(MIRROR, 47, bytes([f.item(MIRROR)[1][47] ^ 1])), dense(), error="MasterDiffers")
    c.apply("apply-both-context-master", "context and digest: the context counts", pair(context=context), blocks_frame(F32, 2, agent, context=other), error="ContextDiffers")
    c.apply("apply-both-context-dim", "context and dim: the context counts", pair(context=context), blocks_frame(F32, 3, master, context=other), error="ContextDiffers")
    i16 = joined([1, 2, 3, 4], MU16)
    f = write_mirror(MU16, 2, 1000, i16, joined([1, 2, 3, 5], MU16), REPLACE, MU16, 1000, 0.0)
    c.apply("apply-step", "i16 of the same step", f, blocks_frame(MU16, 2, i16, 1000), joined([1, 2, 3, 5], MU16))
    c.apply("apply-step-other", "i16 of another step", f, blocks_frame(MU16, 2, i16, 1001), error="MasterDiffers")
    f = write_mirror(MU16, 2, 1000, i16, i16, REPLACE, MU16, 1000, 0.0)
    c.apply("apply-step-other-no-rows", "the same with no difference", f, blocks_frame(MU16, 2, i16, 1001), error="MasterDiffers")
    f = pair()
    c.apply("apply-mirror-bad", "a mirror that its view refuses", mir(f.copy(), mode=2), dense(), error="Code", offset=mir_off(f, "mode"))
    f = mirror_frame([2, 2], bytes(16), total_blocks=3, master_digest=sha256(master))
    c.apply("apply-mirror-order", "indices that are not in order", f, dense(), error="Order", offset=f.payload_off() + 4)
    whole("apply-large", "over 4,093 bytes", F16, 100, *sample_of(rng, F16, 100, 22), mode=ADD)


def sample_of(rng, element, dim, blocks):
    master = drawn(rng, element, blocks * dim)
    agent = list(master)
    for block in range(0, blocks, 5):
        agent[block * dim:block * dim + dim] = drawn(rng, element, dim)
    return master, agent


def self_test():
    # the formats against struct's own f16 and f32, and bf16 as the upper half of an f32
    for bits in list(range(0, 65536, 7)) + [0x7C00, 0xFC00, 0x7BFF, 0x0400, 0x03FF, 0x8001]:
        value = decode(bits, F16)
        if value != "nan":
            assert struct.pack("<e", to_float(value)) == struct.pack("<H", bits) and encode(value, F16) == bits
        value = decode(bits, BF16)
        if value != "nan":
            assert struct.pack("<f", to_float(value)) == struct.pack("<I", bits << 16) and encode(value, BF16) == bits
    rng = Lcg(99)
    for _ in range(2000):
        number = math.ldexp(rng.u32() * 2 ** 21 + rng.u32() % 2 ** 21, rng.u32() % 60 - 90)
        exact = (0, Fraction(number))
        try:
            assert struct.pack("<e", number) == struct.pack("<H", encode(exact, F16)), number
        except OverflowError:
            assert encode(exact, F16) == 0x7C00
        number = math.ldexp(rng.u32() * 2 ** 21 + rng.u32() % 2 ** 21, rng.u32() % 290 - 215)
        exact = (1, Fraction(number))
        try:
            assert struct.pack("<f", -number) == struct.pack("<I", encode(exact, F32)), number
        except OverflowError:
            assert encode(exact, F32) == 0xFF800000
    # rounding twice is rounding once for differences of f16 and bf16
    for element in (F16, BF16):
        for _ in range(2000):
            a, m = (decode(x, element) for x in (rng.u32() >> 16, rng.u32() >> 16))
            exact = add(a, negated(m))
            assert encode(exact, element) == encode(add_f32(a, negated(m)), element)
    assert f32_exact(1) == decode(1, F32)[1]


FILES = (("mirror", mirror_cases),)
