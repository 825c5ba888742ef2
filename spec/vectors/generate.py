#!/usr/bin/env python3
"""Independent reader and writer of the formats, and the test vectors.

Made from spec/README.md, spec/frame.md and spec/beacon.md alone; the ledger is in ledger.py, blocks and mirrors
in mirror.py, certificates in certificate.py, states, the index and the whitening in engram.py, gists in gist.py,
streams in stream.py, the accumulated hash in accumulated.py.
Standard library only.

    python3 spec/vectors/generate.py             write the vectors
    python3 spec/vectors/generate.py --check     exit 1 unless the files on disk are current
    python3 spec/vectors/generate.py --example   print the worked example of spec/frame.md
    python3 spec/vectors/generate.py --results DIR   write what the readers say of the files on disk, for `bitwire vectors check DIR`

The verdicts of the cases are stated by hand, or follow from the layout the case was built with; the reader
below has to agree with every one of them before anything is written.
"""

import copy
import hashlib
import hmac as hmac_module
import json
import math
import os
import re
import struct
import sys
from fractions import Fraction

HERE = os.path.dirname(os.path.abspath(__file__))

# ---------------------------------------------------------------------------------------------------------
# Names and numbers of the tables
# ---------------------------------------------------------------------------------------------------------

MAGIC = b"BIT\x01"
(CONFIG, FLAGS, CALIB, RESULTS) = (0x01, 0x02, 0x03, 0x04)
(CHUNK, INDEX, MIRROR, GIST, ENGRAM) = (0x10, 0x11, 0x12, 0x13, 0x14)
(CONTEXT, MARKS, GIST_METADATA, DIGEST, HMAC, PAD, END) = (0x80, 0x81, 0x82, 0xF0, 0xF1, 0xFE, 0xFF)

# type -> (shortest, longest) length
LENGTHS = {
    CONFIG: (24, 24), FLAGS: (4, 4), CALIB: (32, 65535), RESULTS: (0, 65535),
    CHUNK: (24, 24), INDEX: (88, 88), MIRROR: (48, 48), GIST: (56, 56), ENGRAM: (24, 24),
    CONTEXT: (0, 65535), MARKS: (4, 65535), GIST_METADATA: (0, 65535), DIGEST: (33, 33), HMAC: (33, 33), PAD: (0, 65535), END: (0, 0),
}

# offset and format of CONFIG_V1's fields
CFG = {
    "kind": (0, ">B"), "element": (1, ">B"), "reserved": (2, ">H"), "rows": (4, ">I"), "dim": (8, ">I"),
    "delta_q16": (12, ">I"), "payload_len": (16, ">Q"),
}

(AUTHENTICATED, ALERT, BASELINE) = (1, 2, 4)
DIGEST_LIMIT = 4093

# What DIGEST_V1 and HMAC_V1 leave out of "TLVs except ...". The cases *-other-end hold the hashes that take END the other way.
DIGEST_EXCEPT = (DIGEST, HMAC, PAD, END)
HMAC_EXCEPT = (HMAC, END)


class Bad(Exception):
    """The reader's one error: kind and offset (None where the specification leaves the offset open)."""

    def __init__(self, kind, offset):
        super().__init__("%s at %s" % (kind, offset))
        self.kind = kind
        self.offset = offset


# ---------------------------------------------------------------------------------------------------------
# Hashes
# ---------------------------------------------------------------------------------------------------------

def _crc_table():
    table = []
    for byte in range(256):
        crc = byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
        table.append(crc)
    return table


_CRC = _crc_table()


def crc16(data):
    crc = 0xFFFF
    for byte in data:
        crc = ((crc << 8) & 0xFFFF) ^ _CRC[(crc >> 8) ^ byte]
    return crc


def blake2b64(data):
    return hashlib.blake2b(data, digest_size=8).digest()


def blake2b256(data):
    return hashlib.blake2b(data, digest_size=32).digest()


def sha256(data):
    return hashlib.sha256(data).digest()


def hmac256(key, data):
    return hmac_module.new(key, data, hashlib.sha256).digest()


# ---------------------------------------------------------------------------------------------------------
# The frame reader: the steps are those of "Order of checks"
# ---------------------------------------------------------------------------------------------------------

class Tlv:
    def __init__(self, type_, off, length, value):
        self.type = type_
        self.off = off          # of the type byte
        self.length = length
        self.value = value

    @property
    def len_off(self):
        return self.off + 1

    @property
    def val_off(self):
        return self.off + 3

    def raw(self):
        return struct.pack(">BH", self.type, self.length) + self.value


class Parsed:
    """An accepted frame."""

    def find(self, type_):
        for tlv in self.tlvs:
            if tlv.type == type_:
                return tlv
        return None

    def would_stand(self, type_):
        """Offset of the type byte of a TLV, or where it would stand."""
        for tlv in self.tlvs:
            if tlv.type >= type_:
                return tlv.off
        raise AssertionError("END is always there")

    def flags_off(self):
        tlv = self.find(FLAGS)
        return tlv.val_off if tlv else self.would_stand(FLAGS)

    def except_(self, left_out):
        return b"".join(t.raw() for t in self.tlvs if t.type not in left_out)

    def digest(self):
        return sha256(self.ctx + self.except_(DIGEST_EXCEPT) + self.payload)

    def mac(self, key):
        return hmac256(key, self.ctx + self.except_(HMAC_EXCEPT) + self.payload)


def read_frame(data, exact=True):
    n = len(data)
    # 1, 2
    if n < 4:
        raise Bad("Truncated", 0)
    if data[:4] != MAGIC:
        raise Bad("Magic", 0)
    # 3
    if n < 12:
        raise Bad("Truncated", 4)
    f = Parsed()
    f.ctx = data[4:12]
    f.tlvs = []
    # 4
    at = 12
    previous = None
    while True:
        if n - at < 3:
            raise Bad("Truncated", at)
        type_, length = struct.unpack_from(">BH", data, at)
        if n - at - 3 < length:
            raise Bad("Truncated", at + 3)
        if previous is not None and type_ <= previous:
            raise Bad("TlvOrder", at)
        if previous is None and type_ != CONFIG:
            raise Bad("ConfigNotFirst", at)
        if type_ not in LENGTHS:
            if 0xF0 <= type_:
                raise Bad("ReservedTlv", at)
            if type_ < 0x80:
                raise Bad("CriticalTlv", at)
        else:
            low, high = LENGTHS[type_]
            if not low <= length <= high:
                raise Bad("TlvLength", at + 1)
        f.tlvs.append(Tlv(type_, at, length, data[at + 3:at + 3 + length]))
        previous = type_
        at += 3 + length
        if type_ == END:
            break
    # 5
    cfg = f.tlvs[0]
    f.cfg = {name: struct.unpack_from(fmt, cfg.value, off)[0] for name, (off, fmt) in CFG.items()}
    f.cfg_off = {name: cfg.val_off + off for name, (off, _) in CFG.items()}
    f.payload_off = at
    left = n - at
    if left < 2 or f.cfg["payload_len"] > left - 2:
        raise Bad("Truncated", at)
    crc_off = at + f.cfg["payload_len"]
    f.payload = data[at:crc_off]
    f.end = crc_off + 2
    # 6
    f.crc = struct.unpack_from(">H", data, crc_off)[0]
    if crc16(data[4:crc_off]) != f.crc:
        raise Bad("Crc", crc_off)
    # 7
    if f.cfg["element"] > 9:
        raise Bad("Element", f.cfg_off["element"])
    if f.cfg["reserved"] != 0:
        raise Bad("Reserved", f.cfg_off["reserved"])
    if (f.cfg["delta_q16"] != 0) != (f.cfg["element"] == 1):
        raise Bad("DeltaQ16", f.cfg_off["delta_q16"])
    # 8
    tlv = f.find(FLAGS)
    f.flags = struct.unpack(">I", tlv.value)[0] if tlv else 0
    if f.flags & 0x0000FFF8:
        raise Bad("FlagBits", tlv.val_off)
    # 9
    for type_ in (DIGEST, HMAC):
        tlv = f.find(type_)
        if tlv and tlv.value[0] != 1:
            raise Bad("ValueVersion", tlv.val_off)
    # 10
    tlv = f.find(PAD)
    if tlv:
        for i, byte in enumerate(tlv.value):
            if byte:
                raise Bad("Padding", tlv.val_off + i)
    # 11
    tlv = f.find(CONTEXT)
    if tlv and blake2b64(tlv.value) != f.ctx:
        raise Bad("ContextHash", tlv.val_off)
    # 12
    tlv = f.find(DIGEST)
    if not tlv and (crc_off - 4 > DIGEST_LIMIT or f.cfg["kind"] == 1):
        raise Bad("DigestMissing", f.would_stand(DIGEST))
    # 13
    if tlv and tlv.value[1:] != f.digest():
        raise Bad("Digest", tlv.val_off + 1)
    # 14
    if bool(f.flags & AUTHENTICATED) != (f.find(HMAC) is not None):
        raise Bad("FlagsHmac", f.flags_off())
    # 15
    if exact and f.end != n:
        raise Bad("TrailingBytes", f.end)
    f.header = data[:f.payload_off]
    f.routing_key = blake2b256(f.header + f.payload)
    return f


def verify_frame(data, key):
    if not 16 <= len(key) <= 64:
        raise Bad("KeyLength", 0)
    f = read_frame(data)
    tlv = f.find(HMAC)
    if not tlv:
        raise Bad("HmacMissing", f.would_stand(HMAC))
    if not hmac_module.compare_digest(tlv.value[1:], f.mac(key)):
        raise Bad("Hmac", tlv.val_off + 1)
    return f


# ---------------------------------------------------------------------------------------------------------
# RFC 8785
# ---------------------------------------------------------------------------------------------------------

def es6_number(x):
    """ECMAScript Number::toString of a finite f64. repr gives the same shortest digits, but lays them out otherwise."""
    if x == 0:
        return "0"
    if x < 0:
        return "-" + es6_number(-x)
    match = re.fullmatch(r"(\d+)(?:\.(\d+))?(?:e([+-]\d+))?", repr(x))
    whole, fraction, exponent = match.group(1), match.group(2) or "", int(match.group(3) or 0)
    digits = whole + fraction
    n = len(whole) + exponent                   # x = 0.digits * 10^n
    stripped = digits.lstrip("0")
    n -= len(digits) - len(stripped)
    digits = stripped.rstrip("0")
    k = len(digits)
    if k <= n <= 21:
        return digits + "0" * (n - k)
    if 0 < n <= 21:
        return digits[:n] + "." + digits[n:]
    if -6 < n <= 0:
        return "0." + "0" * -n + digits
    sign = "+" if n - 1 >= 0 else "-"
    mantissa = digits if k == 1 else digits[0] + "." + digits[1:]
    return mantissa + "e" + sign + str(abs(n - 1))


_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class NumberText(str):
    """A number as it stands in the text."""


class JsonReader:
    """RFC 8259, strictly. Objects become lists of pairs, so that a repeated member is seen."""

    def __init__(self, text):
        self.text = text
        self.at = 0

    def fail(self):
        raise Bad("Context", None)

    def space(self):
        while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
            self.at += 1

    def peek(self):
        return self.text[self.at] if self.at < len(self.text) else ""

    def document(self):
        self.space()
        value = self.value()
        self.space()
        if self.at != len(self.text):
            self.fail()
        return value

    def value(self):
        c = self.peek()
        if c == "{":
            return self.object()
        if c == "[":
            return self.array()
        if c == '"':
            return self.string()
        for word, value in (("true", True), ("false", False), ("null", None)):
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return value
        match = _JSON_NUMBER.match(self.text, self.at)
        if not match:
            self.fail()
        self.at = match.end()
        return NumberText(match.group())

    def object(self):
        members = []
        self.at += 1
        self.space()
        if self.peek() == "}":
            self.at += 1
            return ("object", members)
        while True:
            self.space()
            if self.peek() != '"':
                self.fail()
            name = self.string()
            self.space()
            if self.peek() != ":":
                self.fail()
            self.at += 1
            self.space()
            members.append((name, self.value()))
            self.space()
            c = self.peek()
            self.at += 1
            if c == "}":
                return ("object", members)
            if c != ",":
                self.fail()

    def array(self):
        items = []
        self.at += 1
        self.space()
        if self.peek() == "]":
            self.at += 1
            return ("array", items)
        while True:
            self.space()
            items.append(self.value())
            self.space()
            c = self.peek()
            self.at += 1
            if c == "]":
                return ("array", items)
            if c != ",":
                self.fail()

    def unit(self):
        digits = self.text[self.at:self.at + 4]
        if not re.fullmatch("[0-9A-Fa-f]{4}", digits):
            self.fail()
        self.at += 4
        return int(digits, 16)

    def string(self):
        out = []
        self.at += 1
        while True:
            c = self.peek()
            if c == "" or c < " ":
                self.fail()
            self.at += 1
            if c == '"':
                return "".join(out)
            if c != "\\":
                out.append(c)
                continue
            c = self.peek()
            self.at += 1
            if c == "u":
                unit = self.unit()
                if 0xD800 <= unit < 0xDC00:
                    if self.text[self.at:self.at + 2] != "\\u":
                        self.fail()
                    self.at += 2
                    low = self.unit()
                    if not 0xDC00 <= low < 0xE000:
                        self.fail()
                    unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)
                elif 0xDC00 <= unit < 0xE000:
                    self.fail()
                out.append(chr(unit))
            elif c in _ESCAPES and c != "":
                out.append(_ESCAPES[c])
            else:
                self.fail()


_SHORT = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def jcs_string(text):
    return '"' + "".join(_SHORT.get(c) or ("\\u%04x" % ord(c) if c < " " else c) for c in text) + '"'


def jcs(value):
    """The RFC 8785 form of what JsonReader read; refuses repeated members and numbers that overflow."""
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, NumberText):
        number = float(value)
        if math.isinf(number):
            raise Bad("Context", None)
        return es6_number(number)
    if isinstance(value, str):
        return jcs_string(value)
    kind, content = value
    if kind == "array":
        return "[" + ",".join(jcs(item) for item in content) + "]"
    names = [name for name, _ in content]
    if len(set(names)) != len(names):
        raise Bad("Context", None)
    ordered = sorted(content, key=lambda pair: pair[0].encode("utf-16-be"))
    return "{" + ",".join(jcs_string(name) + ":" + jcs(item) for name, item in ordered) + "}"


def context_numbers(value):
    if isinstance(value, NumberText):
        yield value
    elif isinstance(value, tuple):
        for item in value[1]:
            yield from context_numbers(item[1] if value[0] == "object" else item)


def read_context(data):
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Bad("Context", error.start)
    value = JsonReader(text).document()
    canonical = jcs(value).encode("utf-8")
    if canonical != data:
        at = 0
        while at < min(len(canonical), len(data)) and canonical[at] == data[at]:
            at += 1
        raise Bad("Context", at)
    for number in context_numbers(value):
        if not re.fullmatch("-?[0-9]+", number) or abs(int(number)) > 2 ** 53 - 1:
            raise Bad("Context", None)
    if not isinstance(value, tuple) or value[0] != "object":
        raise Bad("Context", None)
    members = dict(value[1])
    dim = members.get("dim")
    if not isinstance(dim, NumberText) or not 0 <= int(dim) <= 2 ** 32 - 1:
        raise Bad("Context", None)
    for name in ("model_id", "pi_id", "space_id"):
        if not isinstance(members.get(name), str) or isinstance(members[name], NumberText):
            raise Bad("Context", None)
    return {
        "ctx": blake2b64(data).hex(), "dim": int(dim), "model_id": members["model_id"],
        "pi_id": members["pi_id"], "space_id": members["space_id"],
    }


# ---------------------------------------------------------------------------------------------------------
# The beacon's typed view
# ---------------------------------------------------------------------------------------------------------

def f32_finite(bits):
    return bits & 0x7F800000 != 0x7F800000


def read_calib(tlv, dim):
    v, at = tlv.value, tlv.val_off
    sigma_kind, has_mu, reserved, its_dim, w, t0, t1 = struct.unpack_from(">BBHIddd", v, 0)
    if sigma_kind > 3:
        raise Bad("Code", at)
    if has_mu > 1:
        raise Bad("Code", at + 1)
    if reserved:
        raise Bad("Reserved", at + 2)
    if its_dim != dim:
        raise Bad("Shape", at + 4)
    if not (math.isfinite(w) and w >= 0):
        raise Bad("Number", at + 8)
    if not math.isfinite(t0):
        raise Bad("Number", at + 16)
    if not (math.isfinite(t1) and t1 >= t0):
        raise Bad("Number", at + 24)
    mu_len = 4 * dim * has_mu
    sigma_len = (0, 8, 4 * dim, 4 * (dim * (dim + 1) // 2))[sigma_kind]
    if tlv.length != 32 + mu_len + sigma_len:
        raise Bad("TlvLength", tlv.len_off)

    def numbers(start, length, width):
        out = []
        for i in range(start, start + length, width):
            if width == 8:
                finite = math.isfinite(struct.unpack_from(">d", v, i)[0])
            else:
                finite = f32_finite(struct.unpack_from(">I", v, i)[0])
            if not finite:
                raise Bad("Number", at + i)
            out.append(v[i:i + width].hex())
        return out

    mu = numbers(32, mu_len, 4)
    sigma = numbers(32 + mu_len, sigma_len, 8 if sigma_kind == 1 else 4)
    return {
        "sigma_kind": sigma_kind, "w": v[8:16].hex(), "t0": v[16:24].hex(), "t1": v[24:32].hex(),
        "mu": mu if has_mu else None, "sigma": sigma,
    }


_NUMBER_RUN = re.compile(rb"[-+.0-9eE]*")


class ResultsReader:
    """RESULTS_V1 token by token; a token that cannot stand there is refused at its first byte."""

    def __init__(self, text):
        self.text = text
        self.at = 0

    def fail(self, at=None):
        raise Bad("Results", self.at if at is None else at)

    def fixed(self, part):
        if not self.text.startswith(part, self.at):
            self.fail()
        self.at += len(part)

    def number(self, low=None):
        run = _NUMBER_RUN.match(self.text, self.at).group()
        text = run.decode("ascii")
        if not _JSON_NUMBER.fullmatch(text):
            self.fail()
        x = float(text)
        if math.isinf(x) or es6_number(x) != text or (low is not None and x < low):
            self.fail()
        self.at += len(run)
        return x

    def number_or_null(self, low=None):
        if self.text.startswith(b"null", self.at):
            self.at += 4
            return None
        return self.number(low)

    def reference(self):
        for name in ("baseline", "none", "window-half"):
            quoted = b'"' + name.encode() + b'"'
            if self.text.startswith(quoted, self.at):
                return name, len(quoted)
        return self.fail()

    def read(self):
        r = {}
        self.fixed(b'{"SDS":')
        r["SDS"] = self.number_or_null()
        self.fixed(b',"cos_mu":')
        r["cos_mu"] = self.number_or_null()
        self.fixed(b',"norm_dmu":')
        r["norm_dmu"] = self.number_or_null(0)
        self.fixed(b',"reference":')
        r["reference"], length = self.reference()
        if r["reference"] == "none":
            agrees = r["SDS"] is None and r["cos_mu"] is None and r["norm_dmu"] is None
        else:
            agrees = r["SDS"] is not None and r["norm_dmu"] is not None
        if not agrees:
            self.fail()
        self.at += length
        r["threshold_SDS"] = None
        if self.text.startswith(b',"thresholds":{"SDS":', self.at):
            self.fixed(b',"thresholds":{"SDS":')
            r["threshold_SDS"] = self.number()
            self.fixed(b'},"tr_Sigma":')
        else:
            self.fixed(b',"thresholds":{},"tr_Sigma":')
        r["tr_Sigma"] = self.number()
        self.fixed(b',"weights":{"mu":')
        r["w_mu"] = self.number(0)
        self.fixed(b',"trS":')
        r["w_trS"] = self.number(0)
        self.fixed(b"}}")
        if self.at != len(self.text):
            self.fail()
        return r


def read_beacon(data):
    f = read_frame(data)
    c, off = f.cfg, f.cfg_off
    if c["kind"] != 0:
        raise Bad("Kind", off["kind"])
    for tlv in f.tlvs:
        if 0x03 <= tlv.type <= 0x7F and tlv.type not in (CALIB, RESULTS):
            raise Bad("ForeignTlv", tlv.off)
    if c["element"] != 1:
        raise Bad("Code", off["element"])
    if c["rows"] < 1:
        raise Bad("Shape", off["rows"])
    if c["dim"] < 1:
        raise Bad("Shape", off["dim"])
    size = c["rows"] * c["dim"] * 2
    if size >= 1 << 64:
        raise Bad("Size", off["payload_len"])
    if size != c["payload_len"]:
        raise Bad("Shape", off["payload_len"])
    calib = f.find(CALIB)
    statistics = read_calib(calib, c["dim"]) if calib else None
    tlv = f.find(RESULTS)
    results = None
    if tlv:
        try:
            results = ResultsReader(tlv.value).read()
        except Bad as error:
            raise Bad(error.kind, tlv.val_off + error.offset)
    alert = baseline = False
    if results:
        alert = (results["SDS"] is not None and results["threshold_SDS"] is not None
                 and results["SDS"] >= results["threshold_SDS"])
        baseline = results["reference"] == "baseline"
    if bool(f.flags & ALERT) != alert or bool(f.flags & BASELINE) != baseline:
        raise Bad("FlagsResults", f.flags_off())
    q = list(struct.unpack("<%dh" % (size // 2), f.payload))
    return {
        "rows": c["rows"], "dim": c["dim"], "delta_q16": c["delta_q16"], "flags": f.flags, "q": q,
        "dequantised_hex": [dequantise(x, c["delta_q16"]) for x in q],
        "calib": statistics,
        "results": results and {k: f64_hex(x) if isinstance(x, float) else x for k, x in results.items()},
    }


def f64_hex(x):
    return struct.pack(">d", x).hex()


def f32_hex(x):
    return struct.pack(">f", x).hex()


# ---------------------------------------------------------------------------------------------------------
# MU16, in integers and fractions only
# ---------------------------------------------------------------------------------------------------------

def f32_exact(bits):
    """The value of finite f32 bits."""
    exponent, mantissa = bits >> 23 & 0xFF, bits & 0x7FFFFF
    if exponent:
        value = Fraction(mantissa | 0x800000) * Fraction(2) ** (exponent - 150)
    else:
        value = Fraction(mantissa) * Fraction(2) ** -149
    return -value if bits >> 31 else value


def round_half_even(x):
    low = x.numerator // x.denominator
    rest = x - low
    if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and low % 2):
        return low + 1
    return low


def quantise(bits, delta):
    """q and whether the element is saturated."""
    rounded = round_half_even(f32_exact(bits) * 65536 / delta)
    return max(-32768, min(32767, rounded)), not -32768 <= rounded <= 32767


def f32_round(x):
    """The f32 nearest to a fraction, ties to even, as bits. Normal numbers and zero only."""
    if x == 0:
        return 0
    sign, x = (1, -x) if x < 0 else (0, x)
    exponent = x.numerator.bit_length() - x.denominator.bit_length()
    if x < Fraction(2) ** exponent:
        exponent -= 1
    mantissa = round_half_even(x / Fraction(2) ** (exponent - 23))
    if mantissa == 1 << 24:
        mantissa, exponent = 1 << 23, exponent + 1
    assert -126 <= exponent <= 127 and 1 << 23 <= mantissa < 1 << 24
    return sign << 31 | (exponent + 127) << 23 | (mantissa - (1 << 23))


def dequantise(q, delta):
    return "%08x" % f32_round(Fraction(q * delta, 65536))


def auto_step(all_bits, dim):
    """The smallest step at which nothing saturates."""
    for i, bits in enumerate(all_bits):
        if not f32_finite(bits):
            return {"kind": "NonFinite", "row": i // dim, "column": i % dim}

    def fits(delta):
        return not any(quantise(bits, delta)[1] for bits in extremes)

    extremes = {max(all_bits, key=f32_exact), min(all_bits, key=f32_exact)}
    low, high = 1, 2 ** 32 - 1
    if not fits(high):
        return {"kind": "StepRange"}
    while low < high:
        middle = (low + high) // 2
        if fits(middle):
            high = middle
        else:
            low = middle + 1
    return low


# ---------------------------------------------------------------------------------------------------------
# The writer
# ---------------------------------------------------------------------------------------------------------

def config(kind=0, element=1, rows=1, dim=2, delta_q16=1024, payload_len=0, reserved=0):
    return struct.pack(">BBHIIIQ", kind, element, reserved, rows, dim, delta_q16, payload_len)


def context_text(dim=2, model_id="", pi_id="", space_id="", **more):
    members = dict(more, dim=NumberText(dim), model_id=model_id, pi_id=pi_id, space_id=space_id)
    return jcs(("object", list(members.items()))).encode("utf-8")


class Frame:
    """A frame to be laid out as told, right or wrong. items are [type, value, claimed length or None]."""

    def __init__(self, kind=0, element=1, rows=1, dim=2, delta_q16=1024, payload=b"\x20\x00\xc0\xff", flags=0,
                 context=None, ctx=None):
        self.ctx = bytes(range(0xA0, 0xA8)) if ctx is None else ctx
        self.payload = payload
        self.items = [[CONFIG, config(kind, element, rows, dim, delta_q16, len(payload)), None], [END, b"", None]]
        if flags is not None:
            self.put(FLAGS, struct.pack(">I", flags))
        if context is not None:
            self.put(CONTEXT, context)
            if ctx is None:
                self.ctx = blake2b64(context)

    def copy(self):
        return copy.deepcopy(self)

    def item(self, type_):
        return next((item for item in self.items if item[0] == type_), None)

    def put(self, type_, value, claim=None):
        """Inserts in order; replaces one that is there."""
        self.items = [item for item in self.items if item[0] != type_]
        at = sum(item[0] < type_ for item in self.items)
        self.items.insert(at, [type_, value, claim])
        return self

    def insert(self, at, type_, value, claim=None):
        self.items.insert(at, [type_, value, claim])
        return self

    def drop(self, type_):
        self.items = [item for item in self.items if item[0] != type_]
        return self

    def poke(self, type_, at, new):
        """Overwrites bytes of a value."""
        item = self.item(type_)
        assert at + len(new) <= len(item[1])
        item[1] = item[1][:at] + new + item[1][at + len(new):]
        return self

    def cfg(self, **fields):
        for name, value in fields.items():
            off, fmt = CFG[name]
            self.poke(CONFIG, off, struct.pack(fmt, value))
        return self

    def flags(self, value):
        return self.poke(FLAGS, 0, struct.pack(">I", value))

    def flag(self, bit, on=True):
        value = struct.unpack(">I", self.item(FLAGS)[1])[0]
        return self.flags(value | bit if on else value & ~bit)

    @staticmethod
    def raw_item(item):
        type_, value, claim = item
        return struct.pack(">BH", type_, len(value) if claim is None else claim) + value

    def without(self, *left_out):
        return b"".join(self.raw_item(item) for item in self.items if item[0] not in left_out)

    def seal(self, digest=False, key=None, pad=None, align=None):
        """Puts PAD_V1, DIGEST_V1 and HMAC_V1 as a writer does; AUTHENTICATED follows the key."""
        if self.item(FLAGS):
            self.flag(AUTHENTICATED, key is not None)
        if digest:
            self.put(DIGEST, bytes(33))
        if key is not None:
            self.put(HMAC, bytes(33))
        if align:
            self.put(PAD, b"")
            pad = -self.payload_off() % align
        if pad is not None:
            self.put(PAD, bytes(pad))
        return self.rehash(key)

    def rehash(self, key=None):
        """Makes the hashes that are there good again."""
        if self.item(DIGEST):
            self.put(DIGEST, b"\x01" + sha256(self.ctx + self.without(*DIGEST_EXCEPT) + self.payload))
        if self.item(HMAC) and key is not None:
            self.put(HMAC, b"\x01" + hmac256(key, self.ctx + self.without(*HMAC_EXCEPT) + self.payload))
        return self

    def body(self):
        return self.ctx + self.without() + self.payload

    def bytes(self, crc=None):
        body = self.body()
        return MAGIC + body + struct.pack(">H", crc16(body) if crc is None else crc)

    # offsets, from the layout
    def off_at(self, index):
        return 12 + sum(3 + len(item[1]) for item in self.items[:index])

    def off(self, type_):
        """Of the type byte, or where it would stand."""
        for index, item in enumerate(self.items):
            if item[0] >= type_:
                return self.off_at(index)
        raise AssertionError(type_)

    def val(self, type_):
        assert self.item(type_), type_
        return self.off(type_) + 3

    def field(self, name):
        return self.val(CONFIG) + CFG[name][0]

    def payload_off(self):
        return self.off_at(len(self.items))

    def crc_off(self):
        return self.payload_off() + len(self.payload)

    def end(self):
        return self.crc_off() + 2

    def expect(self):
        """What a reader of frames has to find."""
        values = {name: struct.unpack_from(fmt, self.item(CONFIG)[1], off)[0] for name, (off, fmt) in CFG.items()}
        del values["reserved"]
        flags = self.item(FLAGS)
        return {
            "ctx": self.ctx.hex(), **values,
            "flags": struct.unpack(">I", flags[1])[0] if flags else 0,
            "tlvs": [[item[0], self.off_at(i), len(item[1])] for i, item in enumerate(self.items)],
            "payload_off": self.payload_off(), "crc": crc16(self.body()),
            "routing_key": blake2b256(MAGIC + self.body()).hex(),
        }


def found(data):
    """The same, from the reader."""
    f = read_frame(data)
    return {
        "ctx": f.ctx.hex(), **{k: v for k, v in f.cfg.items() if k != "reserved"}, "flags": f.flags,
        "tlvs": [[t.type, t.off, t.length] for t in f.tlvs], "payload_off": f.payload_off, "crc": f.crc,
        "routing_key": f.routing_key.hex(),
    }


def calib_value(sigma_kind, dim, mu=None, sigma=(), w=3.0, t0=1.0, t1=2.0, has_mu=None, reserved=0):
    out = struct.pack(">BBHIddd", sigma_kind, (mu is not None) if has_mu is None else has_mu, reserved, dim, w, t0, t1)
    if mu is not None:
        out += struct.pack(">%df" % len(mu), *mu)
    return out + struct.pack(">%d%s" % (len(sigma), "d" if sigma_kind == 1 else "f"), *sigma)


def results_tokens(sds="1.5", cos="0.75", norm="1", reference='"baseline"', threshold="2", tr="0.5", w_mu="1", w_trs="1"):
    out = ['{"SDS":', sds, ',"cos_mu":', cos, ',"norm_dmu":', norm, ',"reference":', reference]
    if threshold is None:
        out += [',"thresholds":{},"tr_Sigma":']
    else:
        out += [',"thresholds":{"SDS":', threshold, '},"tr_Sigma":']
    return out + [tr, ',"weights":{"mu":', w_mu, ',"trS":', w_trs, "}}"]


def results_text(**members):
    return "".join(results_tokens(**members)).encode("utf-8")


def write_beacon(mu_bits, delta_q16, rows=1, calib=None, results=None, context=None, key=None, align=None):
    """A beacon as a writer makes it: quantised, FLAGS_V1 in agreement, digest where it has to be; read back before it is given out."""
    dim = len(mu_bits) // rows
    payload = b"".join(struct.pack("<h", quantise(bits, delta_q16)[0]) for bits in mu_bits)
    f = Frame(0, 1, rows, dim, delta_q16, payload, 0, context_text(dim) if context is None else context)
    if calib is not None:
        f.put(CALIB, calib)
    if results is not None:
        f.put(RESULTS, results)
        r = ResultsReader(results).read()
        f.flag(BASELINE, r["reference"] == "baseline")
        f.flag(ALERT, r["SDS"] is not None and r["threshold_SDS"] is not None and r["SDS"] >= r["threshold_SDS"])
    f.seal(False, key, align=align)
    if f.crc_off() - 4 > DIGEST_LIMIT:
        f.seal(True, key, align=align)
    read_beacon(f.bytes())
    return f


# ---------------------------------------------------------------------------------------------------------
# Cases
# ---------------------------------------------------------------------------------------------------------

class Cases:
    def __init__(self, format_, spec, notes):
        self.file = {"format": format_, "spec": spec, "notes": notes}
        self.cases = []
        self.ids = set()

    def add(self, case):
        if case["id"] in self.ids:
            raise AssertionError("id twice: " + case["id"])
        self.ids.add(case["id"])
        self.cases.append(case)

    def check(self, case, run):
        try:
            got = {"verdict": "accept", "expect": run()}
        except Bad as error:
            got = {"verdict": "reject", "error": {"kind": error.kind, "offset": error.offset}}
        if case["verdict"] == "reject" and got["verdict"] == "reject" and "offset" not in case["error"]:
            del got["error"]["offset"]
        for name in got:
            if got[name] != case.get(name):
                raise AssertionError("%s: stated %s %s, reader %s" % (case["id"], name, case.get(name), got[name]))

    def accept(self, id_, comment, data, view, expect=None, key=None):
        case = {"id": id_, "comment": comment, "view": view, "hex": data.hex()}
        if key is not None:
            case["key"] = key.hex()
        case["verdict"] = "accept"
        case["expect"] = self.run(view, data, key) if expect is None else expect
        self.check(case, lambda: self.run(view, data, key))
        self.add(case)

    def reject(self, id_, comment, data, view, kind, offset=None, key=None):
        case = {"id": id_, "comment": comment, "view": view, "hex": data.hex()}
        if key is not None:
            case["key"] = key.hex()
        case["verdict"] = "reject"
        case["error"] = {"kind": kind}
        if offset is not None:
            case["error"]["offset"] = offset
        self.check(case, lambda: self.run(view, data, key))
        self.add(case)

    @staticmethod
    def run(view, data, key):
        if view == "frame":
            return found(data)
        if view == "verify":
            f = verify_frame(data, key)
            return {"hmac": f.find(HMAC).value[1:].hex()}
        if view == "beacon":
            return read_beacon(data)
        if view == "context":
            return read_context(data)
        raise AssertionError(view)


KEY = bytes(range(0x10, 0x30))
OTHER_KEY = bytes(range(0x11, 0x31))
BODIES = {                                  # a value for each type whose inside the frame parser does not look at
    CALIB: calib_value(0, 2), RESULTS: b"{}", CHUNK: bytes(range(24)), INDEX: bytes(range(88)),
    MIRROR: bytes(range(48)), GIST: bytes(range(56)), ENGRAM: bytes(range(100, 124)), MARKS: b"\x00\x00\x00\x00",
}


def full_frame():
    """Every envelope TLV, signed."""
    return Frame(context=context_text(2)).seal(True, KEY, pad=3)


# Faults of the envelope, in the order of the checks: name, change before sealing, change after sealing, change of
# the bytes, error, offset.
def frame_faults():
    def first_byte(data):
        return b"\x43" + data[1:]

    def flip_crc(f, data):
        return data[:f.crc_off()] + bytes([data[f.crc_off()] ^ 0x80]) + data[f.crc_off() + 1:]

    return [
        ("magic", None, None, lambda f, d: first_byte(d), "Magic", lambda f: 0),
        ("critical-tlv", lambda f: f.put(0x05, b"\x01"), None, None, "CriticalTlv", lambda f: f.off(0x05)),
        ("payload-len", None, lambda f: f.cfg(payload_len=1000), None, "Truncated", lambda f: f.payload_off()),
        ("crc", None, None, flip_crc, "Crc", lambda f: f.crc_off()),
        ("element", lambda f: f.cfg(element=10), None, None, "Element", lambda f: f.field("element")),
        ("reserved", lambda f: f.cfg(reserved=1), None, None, "Reserved", lambda f: f.field("reserved")),
        ("delta", lambda f: f.cfg(delta_q16=0), None, None, "DeltaQ16", lambda f: f.field("delta_q16")),
        ("flag-bits", lambda f: f.flag(0x8000), None, None, "FlagBits", lambda f: f.val(FLAGS)),
        ("digest-version", None, lambda f: f.poke(DIGEST, 0, b"\x02"), None, "ValueVersion", lambda f: f.val(DIGEST)),
        ("hmac-version", None, lambda f: f.poke(HMAC, 0, b"\x00"), None, "ValueVersion", lambda f: f.val(HMAC)),
        ("padding", lambda f: f.poke(PAD, 1, b"\x01"), None, None, "Padding", lambda f: f.val(PAD) + 1),
        ("context-hash", lambda f: setattr(f, "ctx", bytes(8)), None, None, "ContextHash", lambda f: f.val(CONTEXT)),
        ("digest-missing", lambda f: f.cfg(kind=1).drop(DIGEST), None, None, "DigestMissing", lambda f: f.off(DIGEST)),
        ("digest", None, lambda f: f.poke(DIGEST, 32, bytes([f.item(DIGEST)[1][32] ^ 1])), None, "Digest",
         lambda f: f.val(DIGEST) + 1),
        ("flags-hmac", lambda f: f.flag(AUTHENTICATED, False), None, None, "FlagsHmac", lambda f: f.val(FLAGS)),
        ("trailing", None, None, lambda f, d: d + b"\x00", "TrailingBytes", lambda f: f.end()),
    ]


def with_faults(base, faults):
    f = base.copy()
    for fault in faults:
        if fault[1]:
            fault[1](f)
    f.rehash(KEY)
    for fault in faults:
        if fault[2]:
            fault[2](f)
    data = f.bytes()
    for fault in faults:
        if fault[3]:
            data = fault[3](f, data)
    return f, data


def frame_cases():
    c = Cases("bit-vectors/frame", "spec/frame.md", [
        "Views \"frame\" and \"verify\". Every input is given to an exact reader.",
        "CRC, digest and MAC are good unless the case is about them.",
    ])

    def ok(id_, comment, f):
        c.accept(id_, comment, f.bytes(), "frame", f.expect())

    def no(id_, comment, data, kind, offset):
        c.reject(id_, comment, data.bytes() if isinstance(data, Frame) else data, "frame", kind, offset)

    # --- accepted -------------------------------------------------------------------------------------
    ok("minimal", "CONFIG_V1 and END, no payload", Frame(0, 0, 0, 0, 0, b"", None))
    ok("minimal-flags", "CONFIG_V1, FLAGS_V1, END, no payload", Frame(0, 0, 0, 0, 0, b""))
    ok("example", "the worked example", example_frame())
    ok("beacon-no-flags", "FLAGS_V1 left out reads as 0", Frame(flags=None))
    ok("context", "CONTEXT_V1 with the four members",
       Frame(0, 1, 1, 384, 1024, b"", 0, context_text(384, "mymodel", "mypi", "myspace")))
    ok("context-empty", "CONTEXT_V1 of 0 bytes; the frame parser checks the hash alone", Frame(context=b""))
    ok("context-not-json", "CONTEXT_V1 that is no JSON; the frame parser checks the hash alone", Frame(context=b"\xff\x00{"))
    ok("context-other-dim", "CONTEXT_V1 with another dim; the frame parser checks the hash alone", Frame(context=context_text(3)))
    ok("ctx-without-context", "any ctx without CONTEXT_V1", Frame(ctx=b"\xff" * 8))
    for kind in (2, 3, 4, 5, 6, 7, 8, 128, 200, 255):
        ok("kind-%d" % kind, "kind %d" % kind, Frame(kind=kind))
    ok("kind-1", "a ledger chunk has a digest", Frame(kind=1).seal(True))
    for element in range(10):
        ok("element-%d" % element, "element %d" % element, Frame(6, element, 1, 2, 1 if element == 1 else 0))
    ok("delta-max", "delta_q16 of 2^32 - 1", Frame(delta_q16=2 ** 32 - 1))
    ok("rows-dim-max", "rows and dim of 2^32 - 1: the frame parser does not multiply", Frame(rows=2 ** 32 - 1, dim=2 ** 32 - 1))
    ok("rows-dim-zero", "rows and dim of 0 with a payload", Frame(rows=0, dim=0))
    ok("payload-unrelated", "the payload is no multiple of the element", Frame(payload=b"\x01\x02\x03"))
    ok("payload-empty", "payload_len 0 with rows and dim", Frame(payload=b""))
    for bit in (16, 20, 24, 31):
        ok("flag-bit-%d" % bit, "flag bit %d is ignored" % bit, Frame(flags=1 << bit))
    ok("flag-bits-16-31", "all ignored bits", Frame(flags=0xFFFF0000))
    ok("flag-alert", "ALERT is for the beacon's view", Frame(flags=ALERT))
    ok("flag-baseline", "BASELINE is for the beacon's view", Frame(flags=BASELINE))
    ok("flag-all", "all legal bits, with a MAC", Frame(flags=0xFFFF0006).seal(False, KEY))
    ok("skip-82", "GIST_METADATA_V1 that is not UTF-8: the frame parser does not look inside, and any kind may carry it", Frame().put(0x82, b"\xde\xad"))
    for type_ in (0x83, 0x8F, 0x90, 0xC0, 0xEE, 0xEF):
        ok("skip-%02x" % type_, "an unknown TLV of 80-EF is skipped", Frame().put(type_, b"\xde\xad"))
    ok("skip-empty", "an unknown TLV of 0 bytes", Frame().put(0x90, b""))
    ok("skip-many", "many unknown TLVs", Frame().put(0x82, b"1").put(0x83, b"").put(0xA0, b"333").put(0xEF, b"\xff\x00\x00"))
    ok("skip-looks-like-end", "a skipped value that looks like END and a frame", Frame().put(0x90, b"\xff\x00\x00BIT\x01\xff\x00\x00"))
    ok("skip-255", "a TLV of 255 bytes", Frame().put(0xC0, bytes(255)))
    ok("skip-256", "a TLV of 256 bytes", Frame().put(0xC0, bytes(256)))
    for n in (0, 1, 2, 41):
        ok("pad-%d" % n, "PAD_V1 of %d bytes" % n, Frame().seal(pad=n))
    ok("pad-align-64", "payload aligned to 64 bytes", Frame().seal(True, KEY, align=64))
    for type_, value in sorted(BODIES.items()):
        f = Frame().put(type_, value)
        ok("known-%02x" % type_, "known TLV %02X in a frame of another kind or with an opaque value" % type_, f)
    everything = Frame(context=context_text(2))
    for type_, value in BODIES.items():
        everything.put(type_, value)
    everything.put(0xA0, b"?").seal(True, KEY, pad=5)
    ok("everything", "every TLV of the table, and one unknown", everything)
    ok("calib-opaque", "CALIB_STATS_V1 of 32 bytes FF: values of the kinds are not the frame parser's", Frame().put(CALIB, b"\xff" * 32))
    ok("results-empty", "RESULTS_V1 of 0 bytes", Frame().put(RESULTS, b""))
    ok("digest", "a digest that does not have to be there", Frame().seal(True))
    ok("digest-pad", "PAD_V1 is outside the digest: the same DIGEST_V1 as in case digest", Frame().seal(True, pad=7))
    assert Frame().seal(True).item(DIGEST) == Frame().seal(True, pad=7).item(DIGEST)
    ok("hmac", "a MAC", Frame().seal(False, KEY))
    ok("hmac-wrong", "the frame parser does not verify: a MAC of zeroes", Frame().seal(False, KEY).poke(HMAC, 1, bytes(32)))
    ok("digest-hmac", "digest and MAC", Frame().seal(True, KEY))
    ok("digest-hmac-zeroed", "the digest does not cover HMAC_V1", Frame().seal(True, KEY).poke(HMAC, 1, bytes(32)))
    ok("hmac-removed", "HMAC_V1 removed, flags, digest and CRC made good",
       Frame().seal(True, KEY).drop(HMAC).flag(AUTHENTICATED, False).rehash())
    ok("payload-starts-like-frame", "a payload that is a frame", Frame(6, 0, 0, 0, 0, Frame().bytes()))

    # --- the digest limit -------------------------------------------------------------------------------
    big = bytes((i * 7 + 3) & 0xFF for i in range(4100))
    def sized(n, flags=0):
        return Frame(6, 0, 0, 0, 0, big[:n], flags)
    def size_of(f):
        return f.crc_off() - 4 - (36 if f.item(DIGEST) else 0)
    f = sized(4048)
    assert size_of(f) == 4093 and len(f.bytes()) == 4099
    ok("size-4093", "size 4,093 without a digest", f)
    f = sized(4049)
    assert size_of(f) == 4094
    no("size-4094", "size 4,094 without a digest", f, "DigestMissing", f.off(END))
    ok("size-4094-digest", "size 4,094 with a digest", f.seal(True))
    assert size_of(f) == 4094
    f = sized(4006).seal(False, KEY, pad=3)
    assert size_of(f) == 4093
    ok("size-4093-hmac-pad", "HMAC_V1 and PAD_V1 count: 4,093", f)
    f = sized(4006).seal(False, KEY, pad=4)
    assert size_of(f) == 4094
    no("size-4094-hmac-pad", "HMAC_V1 and PAD_V1 count: 4,094", f, "DigestMissing", f.off(HMAC))
    f = Frame(kind=1)
    no("kind-1-no-digest", "a ledger chunk without a digest", f, "DigestMissing", f.off(END))
    f = Frame(kind=1).put(0xEF, b"").seal(False, KEY, pad=0)
    no("kind-1-no-digest-hmac", "the digest would stand before HMAC_V1", f, "DigestMissing", f.off(HMAC))
    f = Frame(kind=1).seal(pad=2)
    no("kind-1-no-digest-pad", "the digest would stand before PAD_V1", f, "DigestMissing", f.off(PAD))

    # --- steps 1 to 3 -----------------------------------------------------------------------------------
    no("empty", "no bytes", b"", "Truncated", 0)
    good = Frame().bytes()
    for i, new in ((0, 0x62), (1, 0x69), (2, 0x00), (3, 0x00), (3, 0x02)):
        no("magic-%d-%02x" % (i, new), "byte %d of the magic is %02X" % (i, new), good[:i] + bytes([new]) + good[i + 1:], "Magic", 0)
    no("magic-short-wrong", "three wrong bytes: Truncated is first", b"XYZ", "Truncated", 0)
    no("magic-only-wrong", "four wrong bytes and nothing else", b"BIT\x02", "Magic", 0)
    no("zeroes", "zeroes", bytes(64), "Magic", 0)
    no("ones", "FF only", b"\xff" * 64, "Magic", 0)
    no("no-magic", "the frame without its magic", good[4:], "Magic", 0)

    # --- truncated at every length ----------------------------------------------------------------------
    f = Frame(payload=b"\x20\x00\xc0\xff").put(0x90, b"\xab").seal(pad=2)
    data = f.bytes()
    for n in range(len(data)):
        if n < 4:
            at = 0
        elif n < 12:
            at = 4
        elif n >= f.payload_off():
            at = f.payload_off()
        else:
            index = max(i for i in range(len(f.items)) if f.off_at(i) <= n)
            start = f.off_at(index)
            at = start if n < start + 3 else start + 3
        no("cut-%d" % n, "the first %d of %d bytes" % (n, len(data)), data[:n], "Truncated", at)
    ok("cut-none", "the frame that the cut-* cases cut", f)

    # --- step 4 -----------------------------------------------------------------------------------------
    f = Frame().seal(True, KEY, pad=2)
    for i, item in enumerate(f.items):
        if item[0] == END:
            continue
        for name, claim in (("ffff", 0xFFFF), ("8000", 0x8000)):
            g = f.copy()
            g.items[i][2] = claim
            no("lie-%02x-%s" % (item[0], name), "the length of TLV %02X says %s" % (item[0], name.upper()), g, "Truncated", f.off_at(i) + 3)
    g = f.copy()
    g.items[-1][2] = 0xFFFF
    no("lie-ff-ffff", "the length of END says FFFF", g, "Truncated", f.off(END) + 3)
    g = f.copy()
    g.items[0][2] = 0
    no("lie-01-0000", "the length of CONFIG_V1 says 0", g, "TlvLength", 13)
    g = Frame().put(0x90, b"\x01\x02")
    rest = len(g.bytes()) - g.val(0x90)
    g.item(0x90)[2] = rest + 1
    no("lie-skip-rest-plus-1", "a skipped TLV one byte longer than what is there", g, "Truncated", g.val(0x90))
    g.item(0x90)[2] = rest
    no("lie-skip-rest", "a skipped TLV that takes all that is there, so END is missing", g, "Truncated", len(g.bytes()))
    g.item(0x90)[2] = rest - 2
    no("lie-skip-rest-minus-2", "a skipped TLV that leaves 2 bytes", g, "Truncated", len(g.bytes()) - 2)
    for type_, (low, high) in sorted(LENGTHS.items()):
        wrong = []
        if low > 0:
            wrong += [0, low - 1]
        if high < 65535:
            wrong.append(high + 1)
        for n in wrong:
            g = Frame()
            if type_ in (DIGEST, HMAC):
                g.flag(AUTHENTICATED, type_ == HMAC)
            g.put(type_, bytes(n))
            no("length-%02x-%d" % (type_, n), "TLV %02X of %d bytes" % (type_, n), g, "TlvLength", g.off(type_) + 1)
    g = Frame()
    g.insert(0, FLAGS, bytes(4))
    g.items.pop(2)
    no("flags-first", "FLAGS_V1 before CONFIG_V1: the first is not CONFIG_V1", g, "ConfigNotFirst", 12)
    no("end-only", "END alone", Frame().drop(CONFIG).drop(FLAGS), "ConfigNotFirst", 12)
    no("config-missing", "CONFIG_V1 left out", Frame().drop(CONFIG), "ConfigNotFirst", 12)
    for type_ in (0x00, 0x05, 0x7F, 0x80, 0x90, 0xF5):
        no("first-%02x" % type_, "TLV %02X is first" % type_, Frame().insert(0, type_, b"\x00"), "ConfigNotFirst", 12)
    no("first-end-length", "END is first and too long: ConfigNotFirst comes before TlvLength", Frame().insert(0, END, b"\x00"), "ConfigNotFirst", 12)
    no("first-flags-length", "FLAGS_V1 is first and too short: ConfigNotFirst comes before TlvLength", Frame().insert(0, FLAGS, b""), "ConfigNotFirst", 12)
    g = Frame().insert(0, FLAGS, b"", 0xFFFF)
    no("first-flags-cut", "FLAGS_V1 is first and not all there: Truncated comes before ConfigNotFirst", g, "Truncated", 15)
    base = full_frame()
    for i, item in enumerate(base.items[:-1]):
        g = base.copy().insert(i + 1, item[0], item[1])
        no("twice-%02x" % item[0], "TLV %02X twice" % item[0], g, "TlvOrder", g.off_at(i + 1))
    for i in range(1, len(base.items) - 2):
        g = base.copy()
        g.items[i], g.items[i + 1] = g.items[i + 1], g.items[i]
        no("swap-%02x-%02x" % (base.items[i][0], base.items[i + 1][0]), "two TLVs in the wrong order", g, "TlvOrder", g.off_at(i + 1))
    g = Frame()
    g.insert(2, CONFIG, g.items[0][1])
    no("config-again", "CONFIG_V1 again after FLAGS_V1", g, "TlvOrder", g.off_at(2))
    g = Frame().put(0x90, b"")
    g.insert(3, 0x90, b"")
    no("skip-twice", "an unknown TLV twice", g, "TlvOrder", g.off_at(3))
    g = Frame()
    g.insert(2, 0x00, b"")
    no("type-00", "TLV 00 can stand nowhere", g, "TlvOrder", g.off_at(2))
    g = Frame().put(0x90, b"")
    g.insert(3, 0x05, b"")
    no("order-before-critical", "an unknown critical TLV out of order: TlvOrder comes before CriticalTlv", g, "TlvOrder", g.off_at(3))
    g = Frame().seal(pad=0)
    g.insert(3, 0xF5, b"")
    no("order-before-reserved", "a reserved TLV out of order: TlvOrder comes before ReservedTlv", g, "TlvOrder", g.off_at(3))
    g = Frame()
    g.insert(2, FLAGS, b"\x00")
    no("order-before-length", "FLAGS_V1 again and too short: TlvOrder comes before TlvLength", g, "TlvOrder", g.off_at(2))
    g = Frame()
    g.insert(2, FLAGS, b"", 0x7FFF)
    no("cut-before-order", "FLAGS_V1 again and not all there: Truncated comes before TlvOrder", g, "Truncated", g.off_at(2) + 3)
    g = Frame()
    g.insert(2, 0x05, b"", 0x7FFF)
    no("cut-before-critical", "an unknown critical TLV that is not all there", g, "Truncated", g.off_at(2) + 3)
    for type_ in [0x05, 0x06, 0x0F, 0x15, 0x16, 0x40, 0x7F]:
        g = Frame().put(type_, b"\x01")
        no("critical-%02x" % type_, "unknown TLV %02X" % type_, g, "CriticalTlv", g.off(type_))
    g = Frame(kind=200).put(0x20, b"")
    no("critical-unknown-kind", "an unknown critical TLV in an unknown kind", g, "CriticalTlv", g.off(0x20))
    for type_ in range(0xF2, 0xFE):
        g = Frame().put(type_, b"")
        no("reserved-%02x" % type_, "reserved TLV %02X" % type_, g, "ReservedTlv", g.off(type_))
    g = Frame().put(FLAGS, b"\x00" * 5).put(0x05, b"")
    no("walk-length-then-critical", "the walk goes from left to right: the length of FLAGS_V1 before the unknown type after it", g, "TlvLength", g.off(FLAGS) + 1)
    g = Frame().put(0x05, b"").put(CONTEXT, b"").put(DIGEST, bytes(3))
    no("walk-critical-then-length", "the unknown type before the length of DIGEST_V1 after it", g, "CriticalTlv", g.off(0x05))
    g = Frame().put(FLAGS, b"\x00" * 3).put(0x90, b"", 0x7FFF)
    no("walk-length-then-cut", "the length of FLAGS_V1 before the TLV after it that is not all there", g, "TlvLength", g.off(FLAGS) + 1)
    g = Frame(payload=b"").drop(END)
    no("end-missing", "no END: the CRC stands where a TLV's type and length would", g.bytes(), "Truncated", g.payload_off())
    g = Frame(payload=b"\x00\x00\x00").drop(END)
    no("end-missing-zeroes", "no END, payload of zeroes: TLV 00 out of order", g.bytes(), "TlvOrder", g.payload_off())
    g = Frame()
    g.items[-1] = [END, b"\x00", None]
    no("end-length-1", "END with a length of 1", g, "TlvLength", g.off(END) + 1)
    g = Frame(payload=b"")
    g.items[-1][2] = 1
    no("end-length-1-eats-crc", "END says 1 and takes the CRC's first byte", g, "TlvLength", g.off(END) + 1)
    no("end-length-1-cut", "END says 1 and nothing follows", g.bytes()[:-2], "Truncated", g.off(END) + 3)

    # --- step 5 -----------------------------------------------------------------------------------------
    f = Frame().seal(False, KEY)
    at = f.payload_off()
    for name, n in (
            ("plus-1", 5), ("plus-2", 6), ("u16", 0xFFFF), ("2-31", 1 << 31), ("2-32", 1 << 32), ("2-32-plus-4", (1 << 32) + 4),
            ("2-63", 1 << 63), ("2-63-minus-1", (1 << 63) - 1), ("max", 2 ** 64 - 1), ("max-minus-1", 2 ** 64 - 2),
            ("wrap-0", 2 ** 64 - at), ("wrap-minus-2", 2 ** 64 - at - 2), ("wrap-4", 2 ** 64 - at + 4)):
        no("payload-len-" + name, "payload_len %d" % n, f.copy().cfg(payload_len=n), "Truncated", at)
    g = f.copy().cfg(payload_len=3)
    no("payload-len-minus-1", "payload_len one short, CRC where it was: the CRC is read one byte early", g, "Crc", at + 3)
    g = f.copy().cfg(payload_len=0)
    no("payload-len-0", "payload_len 0 before a payload", g, "Crc", at)
    g = Frame()
    body = g.copy().cfg(payload_len=3)
    body.payload = body.payload[:3]
    no("payload-len-minus-1-good", "payload_len one short and a good CRC: a byte is left", body.bytes() + b"\xff", "TrailingBytes", body.end())
    g = Frame(payload=b"")
    no("no-crc", "no payload and no CRC", g.bytes()[:-2], "Truncated", g.payload_off())
    no("half-crc", "no payload and one byte of the CRC", g.bytes()[:-1], "Truncated", g.payload_off())
    no("half-crc-payload-len", "one byte is left and payload_len is 1", g.copy().cfg(payload_len=1).bytes()[:-1], "Truncated", g.payload_off())
    no("payload-len-eats-crc", "payload_len takes the CRC as well", g.copy().cfg(payload_len=2), "Truncated", g.payload_off())

    # --- step 6 -----------------------------------------------------------------------------------------
    f = Frame(context=context_text(2)).seal(True, KEY, pad=2)
    good = f.bytes()
    for name, at in (("ctx", 4), ("kind", 15), ("flags", f.val(FLAGS)), ("context", f.val(CONTEXT)),
                     ("digest", f.val(DIGEST) + 5), ("hmac", f.val(HMAC) + 32), ("pad", f.val(PAD)),
                     ("payload-last", f.crc_off() - 1), ("crc", f.crc_off()), ("crc-last", f.crc_off() + 1)):
        bad = good[:at] + bytes([good[at] ^ 0x01]) + good[at + 1:]
        no("crc-flip-" + name, "one bit flipped at offset %d" % at, bad, "Crc", f.crc_off())
    f = Frame()
    body = f.body()
    assert crc16(b"123456789") == 0x29B1
    no("crc-zero", "CRC of 0", f.bytes(0), "Crc", f.crc_off())
    no("crc-little-endian", "CRC in little-endian", f.bytes(crc16(body) >> 8 | (crc16(body) & 0xFF) << 8), "Crc", f.crc_off())
    no("crc-final-xor", "CRC with a final XOR", f.bytes(crc16(body) ^ 0xFFFF), "Crc", f.crc_off())
    no("crc-with-magic", "CRC over the magic too", f.bytes(crc16(MAGIC + body)), "Crc", f.crc_off())
    no("crc-without-ctx", "CRC without ctx", f.bytes(crc16(body[8:])), "Crc", f.crc_off())
    no("crc-without-payload", "CRC without the payload", f.bytes(crc16(body[:-4])), "Crc", f.crc_off())
    no("crc-without-end", "CRC without END", f.bytes(crc16(f.ctx + f.without(END) + f.payload)), "Crc", f.crc_off())

    # --- steps 7 to 10 ----------------------------------------------------------------------------------
    for element in (10, 0x80, 0xFF):
        for delta in (0, 1024):
            g = Frame(element=element, delta_q16=delta)
            no("element-%d-delta-%d" % (element, delta), "element %d" % element, g, "Element", g.field("element"))
    for value in (1, 0x100, 0x8000, 0xFFFF):
        g = Frame().cfg(reserved=value)
        no("reserved-value-%04x" % value, "reserved is %04X" % value, g, "Reserved", g.field("reserved"))
    g = Frame(delta_q16=0)
    no("delta-0-i16", "element i16 without a step", g, "DeltaQ16", g.field("delta_q16"))
    for element in (0, 2, 7, 9):
        for delta in (1, 2 ** 31) if element == 7 else (1,):
            g = Frame(6, element, 1, 2, delta)
            no("delta-%d-element-%d" % (delta, element), "a step with element %d" % element, g, "DeltaQ16", g.field("delta_q16"))
    for bit in (3, 4, 7, 8, 14, 15):
        g = Frame(flags=1 << bit)
        no("flag-bit-%d" % bit, "flag bit %d" % bit, g, "FlagBits", g.val(FLAGS))
    g = Frame(flags=0xFFFFFFFF)
    no("flag-bits-all", "all flags", g, "FlagBits", g.val(FLAGS))
    for version in (0, 2, 0xFF):
        g = Frame().seal(True).poke(DIGEST, 0, bytes([version]))
        no("digest-version-%d" % version, "version %d" % version, g, "ValueVersion", g.val(DIGEST))
        g = Frame().seal(False, KEY).poke(HMAC, 0, bytes([version]))
        no("hmac-version-%d" % version, "version %d" % version, g, "ValueVersion", g.val(HMAC))
    for n, at in ((1, 0), (8, 0), (8, 3), (8, 7)):
        g = Frame().seal(True, KEY, pad=n).poke(PAD, at, b"\x80").rehash(KEY)
        no("padding-%d-of-%d" % (at, n), "byte %d of PAD_V1 is 80" % at, g, "Padding", g.val(PAD) + at)
    g = Frame().seal(pad=8).poke(PAD, 2, b"\x01\x00\x01")
    no("padding-two", "two bytes of PAD_V1 are not 0: the first counts", g, "Padding", g.val(PAD) + 2)

    # --- steps 11 to 15 ---------------------------------------------------------------------------------
    text = context_text(2)
    long_hash = hashlib.blake2b(text).digest()
    for name, ctx in (("zero", bytes(8)), ("first-byte", bytes([blake2b64(text)[0] ^ 1]) + blake2b64(text)[1:]),
                      ("last-byte", blake2b64(text)[:7] + bytes([blake2b64(text)[7] ^ 0x80])), ("blake2b-512-prefix", long_hash[:8]),
                      ("blake2b-256-prefix", blake2b256(text)[:8]), ("sha256-prefix", sha256(text)[:8]),
                      ("reversed", blake2b64(text)[::-1]), ("with-header", blake2b64(b"\x80" + struct.pack(">H", len(text)) + text))):
        g = Frame(context=text, ctx=ctx).seal(True)
        no("context-hash-" + name, "ctx is not BLAKE2b-64 of CONTEXT_V1", g, "ContextHash", g.val(CONTEXT))
    g = Frame(context=text)
    g.put(CONTEXT, context_text(3))
    no("context-swapped", "CONTEXT_V1 of another frame", g, "ContextHash", g.val(CONTEXT))
    g = Frame(context=b"", ctx=bytes(8))
    no("context-empty-zero", "CONTEXT_V1 of 0 bytes and ctx 0", g, "ContextHash", g.val(CONTEXT))
    f = Frame(context=text).seal(True, KEY, pad=2)
    raw = f.item(DIGEST)[1]
    for name, new in (("first-byte", b"\x01" + bytes([raw[1] ^ 1]) + raw[2:]), ("last-byte", raw[:32] + bytes([raw[32] ^ 1])), ("zero", b"\x01" + bytes(32)),
                      ("other-end", b"\x01" + sha256(f.ctx + f.without(*{END} ^ set(DIGEST_EXCEPT)) + f.payload)),
                      ("with-pad", b"\x01" + sha256(f.ctx + f.without(DIGEST, HMAC, END) + f.payload)),
                      ("with-hmac", b"\x01" + sha256(f.ctx + f.without(DIGEST, PAD, END) + f.payload)),
                      ("with-magic", b"\x01" + sha256(MAGIC + f.ctx + f.without(*DIGEST_EXCEPT) + f.payload)),
                      ("without-ctx", b"\x01" + sha256(f.without(*DIGEST_EXCEPT) + f.payload)),
                      ("without-flags", b"\x01" + sha256(f.ctx + f.without(FLAGS, *DIGEST_EXCEPT) + f.payload)),
                      ("without-context", b"\x01" + sha256(f.ctx + f.without(CONTEXT, *DIGEST_EXCEPT) + f.payload)),
                      ("payload-only", b"\x01" + sha256(f.payload)),
                      ("values-only", b"\x01" + sha256(f.ctx + b"".join(i[1] for i in f.items if i[0] not in DIGEST_EXCEPT) + f.payload)),
                      ("unsigned-twin", Frame(context=text).seal(True).item(DIGEST)[1])):
        g = f.copy().put(DIGEST, new)
        no("digest-" + name, "a wrong digest: " + name, g, "Digest", g.val(DIGEST) + 1)
    f = Frame().put(0x90, b"\x01\x02").seal(True)
    for name, change in (("ctx", lambda g: setattr(g, "ctx", b"\x00" * 8)), ("rows", lambda g: g.cfg(rows=9)), ("flags", lambda g: g.flags(ALERT)),
                         ("high-flags", lambda g: g.flags(1 << 31)), ("skipped", lambda g: g.poke(0x90, 1, b"\x03")), ("skipped-type", lambda g: g.item(0x90).__setitem__(0, 0x91)),
                         ("payload", lambda g: setattr(g, "payload", b"\x20\x00\xc0\xfe"))):
        g = f.copy()
        change(g)
        no("digest-stale-" + name, "%s changed under a digest, the CRC made good" % name, g, "Digest", g.val(DIGEST) + 1)
    g = Frame().put(HMAC, b"\x01" + bytes(32))
    no("flags-hmac-clear", "HMAC_V1 without AUTHENTICATED", g, "FlagsHmac", g.val(FLAGS))
    g = Frame(flags=AUTHENTICATED)
    no("flags-hmac-set", "AUTHENTICATED without HMAC_V1", g, "FlagsHmac", g.val(FLAGS))
    g = Frame(flags=0xFFFF0007)
    no("flags-hmac-set-others", "AUTHENTICATED among other bits without HMAC_V1", g, "FlagsHmac", g.val(FLAGS))
    g = Frame(flags=None).put(HMAC, b"\x01" + bytes(32))
    no("flags-hmac-absent", "HMAC_V1 and no FLAGS_V1, which would stand at HMAC_V1", g, "FlagsHmac", g.off(HMAC))
    g = Frame(flags=None, context=text).put(HMAC, b"\x01" + bytes(32))
    no("flags-hmac-absent-context", "HMAC_V1 and no FLAGS_V1, which would stand at CONTEXT_V1", g, "FlagsHmac", g.off(CONTEXT))
    g = Frame(flags=None).put(CALIB, bytes(32)).put(HMAC, b"\x01" + bytes(32))
    no("flags-hmac-absent-calib", "HMAC_V1 and no FLAGS_V1, which would stand at CALIB_STATS_V1", g, "FlagsHmac", g.off(CALIB))
    f = Frame()
    for name, more in (("zero", b"\x00"), ("newline", b"\n"), ("two", b"\xff\xff"), ("frame", f.bytes())):
        no("trailing-" + name, "bytes after the CRC", f.bytes() + more, "TrailingBytes", f.end())
    g = Frame(0, 0, 0, 0, 0, b"", None)
    no("trailing-minimal", "a byte after the minimal frame", g.bytes() + b"\x00", "TrailingBytes", g.end())

    # --- the order: two faults, the first wins ------------------------------------------------------------
    faults = frame_faults()
    base = full_frame()
    for i, first in enumerate(faults):
        g, data = with_faults(base, [first])
        no("fault-" + first[0], "one fault", data, first[4], first[5](g))
        for second in faults[i + 1:i + 3] + faults[-1:] * (i < len(faults) - 3):
            names = {first[0], second[0]}
            if "digest-missing" in names and names & {"digest", "digest-version"}:
                continue
            g, data = with_faults(base, [first, second])
            no("order-%s-%s" % (first[0], second[0]), "two faults: %s comes first" % first[0], data, first[4], first[5](g))

    # --- verify -------------------------------------------------------------------------------------------
    def verified(id_, comment, f, key):
        c.accept(id_, comment, f.bytes(), "verify", {"hmac": f.item(HMAC)[1][1:].hex()}, key)

    def refused(id_, comment, f, key, kind, offset):
        c.reject(id_, comment, f.bytes() if isinstance(f, Frame) else f, "verify", kind, offset, key)

    keys = (
        ("16", b"\x0b" * 16), ("20", b"\x0b" * 20), ("25", bytes(range(1, 26))), ("32", KEY), ("63", b"\xaa" * 63), ("64", b"\xaa" * 64),
        ("zero-16", bytes(16)), ("zero-64", bytes(64)),
    )
    for name, key in keys:
        verified("verify-key-" + name, "a key of %d bytes" % len(key), Frame().seal(False, key), key)
    verified("verify-key-trailing-zeroes", "keys that differ in trailing zero bytes are equivalent", Frame().seal(False, b"\x0b" * 16), b"\x0b" * 16 + bytes(48))
    for n in (0, 1, 15, 65, 128):
        key = b"\x0b" * n
        refused("verify-key-length-%d" % n, "a key of %d bytes" % n, Frame().seal(False, key), key, "KeyLength", 0)
    full = full_frame()
    verified("verify-full", "digest, MAC, context and pad", full, KEY)
    f = Frame().put(0x90, b"\x01\x02\x03").seal(True, KEY, pad=4)
    verified("verify-skipped", "an unknown TLV is covered", f, KEY)
    verified("verify-kind-200", "an unknown kind", Frame(kind=200).seal(False, KEY), KEY)
    verified("verify-empty-payload", "no payload", Frame(payload=b"").seal(False, KEY), KEY)
    verified("verify-align-64", "payload aligned to 64 bytes", Frame().seal(True, KEY, align=64), KEY)
    at = f.val(HMAC) + 1
    tag = f.item(HMAC)[1][1:]
    refused("verify-other-key", "another key", f, OTHER_KEY, "Hmac", at)
    refused("verify-key-prefix", "the key cut to 31 bytes", f, KEY[:31], "Hmac", at)
    refused("verify-key-reversed", "the key reversed", f, KEY[::-1], "Hmac", at)
    refused("verify-key-hashed", "the key's SHA-256", f, sha256(KEY), "Hmac", at)
    for name, new in (("zero", bytes(32)), ("half", tag[:16] + bytes(16)), ("first-bit", bytes([tag[0] ^ 0x80]) + tag[1:]), ("last-bit", tag[:31] + bytes([tag[31] ^ 1])),
                      ("other-frame", Frame().seal(False, KEY).item(HMAC)[1][1:]),
                      ("with-magic", hmac256(KEY, MAGIC + f.ctx + f.without(*HMAC_EXCEPT) + f.payload)),
                      ("other-end", hmac256(KEY, f.ctx + f.without(*{END} ^ set(HMAC_EXCEPT)) + f.payload)),
                      ("without-pad", hmac256(KEY, f.ctx + f.without(PAD, *HMAC_EXCEPT) + f.payload)),
                      ("without-digest", hmac256(KEY, f.ctx + f.without(DIGEST, *HMAC_EXCEPT) + f.payload)),
                      ("plain-sha256", sha256(KEY + f.ctx + f.without(*HMAC_EXCEPT) + f.payload)),
                      ("digest", f.item(DIGEST)[1][1:])):
        refused("verify-tag-" + name, "a wrong tag: " + name, f.copy().put(HMAC, b"\x01" + new), KEY, "Hmac", at)
    g = f.copy().put(PAD, bytes(5))
    refused("verify-pad-longer", "PAD_V1 a byte longer: the digest is good, the MAC is not", g, KEY, "Hmac", g.val(HMAC) + 1)
    g = f.copy().drop(PAD)
    refused("verify-pad-gone", "PAD_V1 removed", g, KEY, "Hmac", g.val(HMAC) + 1)
    g = f.copy().put(PAD, bytes(5))
    verified("verify-pad-longer-signed", "the same, signed again; the digest is that of the frame with the shorter PAD_V1", g.rehash(KEY), KEY)
    assert g.item(DIGEST) == f.item(DIGEST)
    for name, change in (("ctx", lambda g: setattr(g, "ctx", bytes(8))), ("kind", lambda g: g.cfg(kind=3)), ("flags", lambda g: g.flag(ALERT)),
                         ("high-flags", lambda g: g.flag(1 << 20)), ("skipped", lambda g: g.poke(0x90, 0, b"\x09")), ("skipped-gone", lambda g: g.drop(0x90)),
                         ("payload", lambda g: setattr(g, "payload", bytes(4))), ("digest-gone", lambda g: g.drop(DIGEST))):
        g = f.copy()
        change(g)
        g.rehash()
        refused("verify-changed-" + name, "%s changed, digest and CRC made good" % name, g, KEY, "Hmac", g.val(HMAC) + 1)
    g = Frame()
    refused("verify-none", "no HMAC_V1", g, KEY, "HmacMissing", g.off(END))
    g = Frame().seal(True, pad=1)
    refused("verify-none-pad", "no HMAC_V1, which would stand at PAD_V1", g, KEY, "HmacMissing", g.off(PAD))
    g = full.copy().drop(HMAC).flag(AUTHENTICATED, False).rehash()
    refused("verify-removed", "HMAC_V1 removed, flags, digest and CRC made good", g, KEY, "HmacMissing", g.off(PAD))
    g = full.copy().drop(HMAC).rehash()
    refused("verify-removed-flag-left", "HMAC_V1 removed, AUTHENTICATED left", g, KEY, "FlagsHmac", g.val(FLAGS))
    g = full.copy().flag(AUTHENTICATED, False).rehash(KEY)
    refused("verify-flag-cleared", "AUTHENTICATED cleared, hashes made good", g, KEY, "FlagsHmac", g.val(FLAGS))
    g = full.copy().poke(DIGEST, 1, bytes(32)).poke(HMAC, 1, bytes(32))
    refused("verify-digest-first", "digest and MAC wrong: the frame's checks come first", g, KEY, "Digest", g.val(DIGEST) + 1)
    g = full.copy().poke(HMAC, 1, bytes(32))
    refused("verify-crc-first", "CRC and MAC wrong", g.bytes(0), KEY, "Crc", g.crc_off())
    refused("verify-trailing-first", "a byte after the frame and MAC wrong", g.bytes() + b"\x00", KEY, "TrailingBytes", g.end())
    g = full.copy().poke(HMAC, 0, b"\x02")
    refused("verify-version", "HMAC_V1 of another version", g, KEY, "ValueVersion", g.val(HMAC))
    g = full.copy()
    g.item(HMAC)[1] = g.item(HMAC)[1][:17]
    refused("verify-tag-truncated", "a tag of 16 bytes", g, KEY, "TlvLength", g.off(HMAC) + 1)
    g.item(HMAC)[1] = b"\x01"
    refused("verify-tag-empty", "no tag", g, KEY, "TlvLength", g.off(HMAC) + 1)
    return c


def example_frame():
    half, minus_one = 0x3F000000, 0xBF800000
    return write_beacon([half, minus_one], 1024)


# ---------------------------------------------------------------------------------------------------------

def results_frame(text, flags=None, **members):
    """A beacon that carries the text; the flags agree unless told."""
    f = Frame(flags=BASELINE if flags is None else flags).put(RESULTS, text)
    return f


NULLS = {"sds": "null", "cos": "null", "norm": "null", "reference": '"none"'}


def beacon_faults():
    def nan_mu(f):
        f.poke(CALIB, 32, b"\x7f\xc0\x00\x00")

    def longer(f):
        f.put(CALIB, f.item(CALIB)[1] + bytes(4))

    def payload(f):
        f.payload += b"\x00\x00"
        f.cfg(payload_len=len(f.payload))

    d = struct.Struct(">d").pack
    return [
        ("kind", lambda f: f.cfg(kind=3), None, None, "Kind", lambda f: f.field("kind")),
        ("foreign", lambda f: f.put(MIRROR, bytes(48)), None, None, "ForeignTlv", lambda f: f.off(MIRROR)),
        ("element", lambda f: f.cfg(element=3, delta_q16=0), None, None, "Code", lambda f: f.field("element")),
        ("rows", lambda f: f.cfg(rows=0), None, None, "Shape", lambda f: f.field("rows")),
        ("dim", lambda f: f.cfg(dim=0), None, None, "Shape", lambda f: f.field("dim")),
        ("size", lambda f: f.cfg(rows=2 ** 32 - 1, dim=2 ** 32 - 1), None, None, "Size", lambda f: f.field("payload_len")),
        ("payload", payload, None, None, "Shape", lambda f: f.field("payload_len")),
        ("sigma-kind", lambda f: f.poke(CALIB, 0, b"\x04"), None, None, "Code", lambda f: f.val(CALIB)),
        ("has-mu", lambda f: f.poke(CALIB, 1, b"\x02"), None, None, "Code", lambda f: f.val(CALIB) + 1),
        ("calib-reserved", lambda f: f.poke(CALIB, 3, b"\x01"), None, None, "Reserved", lambda f: f.val(CALIB) + 2),
        ("calib-dim", lambda f: f.poke(CALIB, 4, b"\x00\x00\x00\x03"), None, None, "Shape", lambda f: f.val(CALIB) + 4),
        ("w", lambda f: f.poke(CALIB, 8, d(-1.0)), None, None, "Number", lambda f: f.val(CALIB) + 8),
        ("t0", lambda f: f.poke(CALIB, 16, d(math.inf)), None, None, "Number", lambda f: f.val(CALIB) + 16),
        ("t1", lambda f: f.poke(CALIB, 24, d(-5.0)), None, None, "Number", lambda f: f.val(CALIB) + 24),
        ("calib-length", longer, None, None, "TlvLength", lambda f: f.off(CALIB) + 1),
        ("calib-number", nan_mu, None, None, "Number", lambda f: f.val(CALIB) + 32),
        ("results", lambda f: f.put(RESULTS, f.item(RESULTS)[1] + b" "), None, None, "Results", lambda f: f.val(RESULTS) + len(results_text())),
        ("flags-results", lambda f: f.flag(ALERT), None, None, "FlagsResults", lambda f: f.val(FLAGS)),
    ]


def beacon_cases():
    c = Cases("bit-vectors/beacon", "spec/beacon.md", [
        "View \"beacon\". Every input is given to an exact reader.",
        "CRC, digest and MAC are good unless the case is about them.",
    ])

    def ok(id_, comment, f, **stated):
        data = f.bytes()
        expect = read_beacon(data)
        for name, value in stated.items():
            assert expect[name] == value, (id_, name, expect[name], value)
        c.accept(id_, comment, data, "beacon", expect)

    def no(id_, comment, f, kind, offset):
        c.reject(id_, comment, f.bytes() if isinstance(f, Frame) else f, "beacon", kind, offset)

    # --- shapes -------------------------------------------------------------------------------------------
    ok("example", "the worked example", example_frame(), rows=1, dim=2, q=[32, -64], dequantised_hex=["3f000000", "bf800000"], calib=None, results=None)
    ok("no-flags", "FLAGS_V1 left out", Frame(flags=None), flags=0)
    ok("one", "one element", Frame(dim=1, payload=b"\xff\x7f"), q=[32767])
    ok("matrix", "three rows of two", Frame(rows=3, payload=struct.pack("<6h", 1, -1, 256, -256, 32767, -32768)), q=[1, -1, 256, -256, 32767, -32768])
    ok("column", "four rows of one", Frame(rows=4, dim=1, payload=struct.pack("<4h", 0, 1, 2, 3)), q=[0, 1, 2, 3])
    ok("step-1", "delta_q16 of 1", Frame(delta_q16=1, payload=struct.pack("<2h", 1, -32768)), dequantised_hex=["37800000", "bf000000"])
    ok("step-max", "delta_q16 of 2^32 - 1", Frame(delta_q16=2 ** 32 - 1, payload=struct.pack("<2h", 1, -32768)))
    ok("step-odd", "delta_q16 of 65537: x' needs rounding", Frame(delta_q16=65537, payload=struct.pack("<2h", 32767, -32767)))
    ok("skipped", "unknown TLVs and LEDGER_MARKS_V1 are not of 03-7F", Frame().put(0x90, b"?").put(MARKS, bytes(4)))
    ok("ignored-flags", "flag bits 16-31", Frame(flags=0xFFFF0000))
    ok("signed", "digest, MAC, context and pad", Frame(context=context_text(2, "m", "p", "s")).seal(True, KEY, align=64))
    ok("context-other-dim", "the context's dim is not the beacon's view's to check", Frame(context=context_text(3)))
    for kind in (1, 2, 5, 8, 255):
        f = Frame(kind=kind).seal(kind == 1)
        no("kind-%d" % kind, "kind %d" % kind, f, "Kind", f.field("kind"))
    for type_ in (CHUNK, INDEX, MIRROR, GIST, ENGRAM):
        f = Frame().put(type_, BODIES[type_])
        no("foreign-%02x" % type_, "TLV %02X does not belong to a beacon" % type_, f, "ForeignTlv", f.off(type_))
    f = Frame().put(CHUNK, BODIES[CHUNK]).put(GIST, BODIES[GIST])
    no("foreign-two", "two foreign TLVs: the first counts", f, "ForeignTlv", f.off(CHUNK))
    f = Frame().put(CALIB, calib_value(0, 2)).put(RESULTS, results_text(**NULLS)).put(CHUNK, BODIES[CHUNK])
    no("foreign-after", "a foreign TLV after the beacon's own", f, "ForeignTlv", f.off(CHUNK))
    for element in (0, 2, 3, 5, 9):
        f = Frame(element=element, delta_q16=0)
        no("element-%d" % element, "element %d" % element, f, "Code", f.field("element"))
    f = Frame(rows=0)
    no("rows-0", "rows 0", f, "Shape", f.field("rows"))
    f = Frame(rows=0, payload=b"")
    no("rows-0-empty", "rows 0 and no payload", f, "Shape", f.field("rows"))
    f = Frame(dim=0)
    no("dim-0", "dim 0", f, "Shape", f.field("dim"))
    f = Frame(dim=0, payload=b"")
    no("dim-0-empty", "dim 0 and no payload", f, "Shape", f.field("dim"))
    f = Frame(rows=0, dim=0, payload=b"")
    no("rows-dim-0", "rows and dim 0", f, "Shape", f.field("rows"))
    wrap_rows, wrap_dim = 2147549185, 4294836226
    assert wrap_rows * wrap_dim * 2 == 2 ** 64 + 4
    for name, rows, dim, payload, kind in (
            ("max-max", 2 ** 32 - 1, 2 ** 32 - 1, 4, "Size"), ("wraps-to-4", wrap_rows, wrap_dim, 4, "Size"), ("wraps-just", 2 ** 31 + 1, 2 ** 32 - 1, 4, "Size"),
            ("fits-just", 2 ** 31, 2 ** 32 - 1, 4, "Shape"), ("sign-bit", 2 ** 31, 2 ** 31, 0, "Shape"), ("wraps-u32", 2 ** 16, 2 ** 16, 0, "Shape"),
            ("wraps-u32-by-2", 2 ** 31, 1, 0, "Shape"), ("wraps-u32-to-4", 2 ** 31 + 2, 1, 4, "Shape"), ("dim-max", 1, 2 ** 32 - 1, 2, "Shape"),
            ("one-short", 1, 2, 3, "Shape"), ("one-long", 1, 2, 5, "Shape"), ("half", 1, 2, 2, "Shape"), ("twice", 1, 2, 8, "Shape"), ("no-payload", 1, 2, 0, "Shape")):
        f = Frame(rows=rows, dim=dim, payload=bytes(payload))
        no("size-" + name, "%d rows of %d with %d bytes" % (rows, dim, payload), f, kind, f.field("payload_len"))

    # --- CALIB_STATS_V1 -----------------------------------------------------------------------------------
    mu = [0.5, -1.0]
    sigmas = {0: [], 1: [1.25], 2: [0.25, 1.0], 3: [0.25, 0.125, 1.0]}
    names = {0: "none", 1: "trace", 2: "diagonal", 3: "full"}

    def calib_frame(*args, **kw):
        dim = args[1]
        return Frame(dim=dim, payload=bytes(2 * dim)).put(CALIB, calib_value(*args, **kw))

    for kind in range(4):
        for with_mu in (False, True):
            f = calib_frame(kind, 2, mu if with_mu else None, sigmas[kind])
            name = names[kind] + ("-mu" if with_mu else "")
            ok("calib-" + name, "sigma %s, %s mu" % (names[kind], "with" if with_mu else "without"), f)
            length = len(f.item(CALIB)[1])
            for delta in (-4, 1, 4):
                if length + delta < 32 or (delta == 1 and kind != 2):
                    continue
                value = f.item(CALIB)[1]
                g = f.copy().put(CALIB, value[:delta] if delta < 0 else value + bytes(delta))
                no("calib-%s-length%+d" % (name, delta), "the value is %+d bytes" % delta, g, "TlvLength", g.off(CALIB) + 1)
    for dim in (1, 3, 7, 16):
        full = [float(i) for i in range(dim * (dim + 1) // 2)]
        ok("calib-full-dim-%d" % dim, "the upper triangle of dim %d" % dim, calib_frame(3, dim, None, full))
    ok("calib-full-dim-7-mu", "mu and the upper triangle of dim 7", calib_frame(3, 7, [0.1 * i for i in range(7)], [0.5] * 28))
    ok("calib-diagonal-dim-33", "mu and the diagonal of dim 33", calib_frame(2, 33, [1.5] * 33, [i / 3 for i in range(33)]))
    no("calib-full-square", "a full square of dim 2", calib_frame(3, 2, None, [1, 2, 2, 4]), "TlvLength", 12 + 27 + 7 + 1)
    no("calib-trace-f32", "a trace as f32", calib_frame(0, 2, None, [1.0]).poke(CALIB, 0, b"\x01"), "TlvLength", 12 + 27 + 7 + 1)
    no("calib-none-with-number", "sigma none with a number", calib_frame(0, 2, None, [1.0]), "TlvLength", 12 + 27 + 7 + 1)
    no("calib-mu-not-announced", "has_mu 0 and a mu", calib_frame(0, 2, mu, has_mu=0), "TlvLength", 12 + 27 + 7 + 1)
    no("calib-mu-announced", "has_mu 1 and no mu", calib_frame(1, 2, None, [1.0], has_mu=1), "TlvLength", 12 + 27 + 7 + 1)
    f = calib_frame(0, 2)
    f.put(CALIB, f.item(CALIB)[1][:31])
    no("calib-31", "31 bytes: the frame parser refuses them", f, "TlvLength", f.off(CALIB) + 1)
    ok("calib-matrix", "CALIB_STATS_V1 has one mu, whatever rows is",
       Frame(rows=3, payload=bytes(12)).put(CALIB, calib_value(2, 2, mu, [1.0, 2.0])))
    ok("calib-w-0", "w 0", calib_frame(0, 2, w=0.0))
    ok("calib-w-minus-0", "w -0 is >= 0", calib_frame(0, 2, w=-0.0))
    ok("calib-w-fraction", "w need not be whole", calib_frame(0, 2, w=0.5))
    ok("calib-w-max", "w the largest f64", calib_frame(0, 2, w=sys.float_info.max))
    ok("calib-t-0", "t0 and t1 0", calib_frame(0, 2, t0=0.0, t1=0.0))
    ok("calib-t-negative", "negative times", calib_frame(0, 2, t0=-2.0, t1=-1.0))
    ok("calib-t-zeroes", "t0 0 and t1 -0 are equal", calib_frame(0, 2, t0=0.0, t1=-0.0))
    ok("calib-t-denormal", "t1 the smallest f64 over t0", calib_frame(0, 2, t0=0.0, t1=5e-324))
    ok("calib-sigma-negative", "only finiteness is checked of sigma", calib_frame(2, 2, None, [-1.0, -0.0]))
    ok("calib-trace-negative", "only finiteness is checked of a trace", calib_frame(1, 2, None, [-1.0]))
    ok("calib-extremes", "the largest, smallest and denormal f32", calib_frame(2, 2, [struct.unpack(">f", b"\x7f\x7f\xff\xff")[0], -1e-45], [1.1754943508222875e-38, 0.0]))
    ok("calib-not-mu", "mu of CALIB_STATS_V1 is not compared with the payload", calib_frame(0, 2, [100.0, 200.0]))
    base = calib_frame(2, 2, mu, [0.25, 1.0])
    v = base.val(CALIB)
    d, s = struct.Struct(">d").pack, struct.Struct(">f").pack
    nan, inf = math.nan, math.inf
    for value in (4, 5, 0x80, 0xFF):
        no("calib-sigma-kind-%d" % value, "sigma_kind %d" % value, base.copy().poke(CALIB, 0, bytes([value])), "Code", v)
    for value in (2, 0x80, 0xFF):
        no("calib-has-mu-%d" % value, "has_mu %d" % value, base.copy().poke(CALIB, 1, bytes([value])), "Code", v + 1)
    for value in (b"\x00\x01", b"\x01\x00", b"\xff\xff"):
        no("calib-reserved-" + value.hex(), "reserved %s" % value.hex().upper(), base.copy().poke(CALIB, 2, value), "Reserved", v + 2)
    for value in (0, 1, 3, 2 ** 31 + 2, 2 ** 32 - 1, 2 << 24):
        no("calib-dim-%d" % value, "dim %d where CONFIG_V1 has 2" % value, base.copy().poke(CALIB, 4, struct.pack(">I", value)), "Shape", v + 4)
    for name, at, value in (
            ("w-nan", 8, nan), ("w-inf", 8, inf), ("w-minus-inf", 8, -inf), ("w-minus-1", 8, -1.0), ("w-minus-denormal", 8, -5e-324),
            ("t0-nan", 16, nan), ("t0-inf", 16, inf), ("t0-minus-inf", 16, -inf),
            ("t1-nan", 24, nan), ("t1-inf", 24, inf), ("t1-minus-inf", 24, -inf), ("t1-before-t0", 24, 0.9999999999999999)):
        no("calib-" + name, name.replace("-", " "), base.copy().poke(CALIB, at, d(value)), "Number", v + at)
    no("calib-t0-after-t1", "t0 over t1 is reported at t1", base.copy().poke(CALIB, 16, d(2.5)), "Number", v + 24)
    no("calib-w-signalling-nan", "w a signalling NaN", base.copy().poke(CALIB, 8, bytes.fromhex("7ff0000000000001")), "Number", v + 8)
    for name, at in (("mu-first", 32), ("mu-last", 36), ("sigma-first", 40), ("sigma-last", 44)):
        for kind, bits in (("nan", "7fc00000"), ("inf", "7f800000"), ("minus-inf", "ff800000"), ("signalling-nan", "7f800001"), ("minus-nan", "ffffffff")):
            if kind not in (("inf",) if name in ("mu-last", "sigma-first") else ("nan", "inf") if name == "sigma-last" else ("nan", "inf", "minus-inf", "signalling-nan", "minus-nan")):
                continue
            no("calib-%s-%s" % (name, kind), "%s is %s" % (name.replace("-", " "), kind), base.copy().poke(CALIB, at, bytes.fromhex(bits)), "Number", v + at)
    g = base.copy().poke(CALIB, 36, bytes.fromhex("7f800000")).poke(CALIB, 40, bytes.fromhex("7fc00000"))
    no("calib-mu-before-sigma", "a number of mu and one of sigma: mu's counts", g, "Number", v + 36)
    for name, value in (("nan", nan), ("inf", inf), ("minus-inf", -inf)):
        no("calib-trace-" + name, "the trace is " + name, calib_frame(1, 2, mu, [value]), "Number", v + 40)
        no("calib-trace-%s-no-mu" % name, "the trace is %s, no mu" % name, calib_frame(1, 2, None, [value]), "Number", v + 32)
    for i in range(3):
        numbers = [1.0, 2.0, 3.0]
        numbers[i] = inf
        no("calib-full-inf-%d" % i, "number %d of the triangle is infinite" % i, calib_frame(3, 2, mu, numbers), "Number", v + 40 + 4 * i)

    # --- RESULTS_V1: accepted -----------------------------------------------------------------------------
    def R(text_members=None, flags=BASELINE, **members):
        return Frame(flags=flags).put(RESULTS, results_text(**dict(text_members or {}, **members)))

    example_text = b'{"SDS":1.5,"cos_mu":0.75,"norm_dmu":1,"reference":"baseline","thresholds":{"SDS":2},"tr_Sigma":0.5,"weights":{"mu":1,"trS":1}}'
    assert results_text() == example_text
    ok("results-example", "the text of the specification", Frame(flags=BASELINE).put(RESULTS, example_text))
    ok("results-no-threshold", "no threshold", R(threshold=None))
    ok("results-none", "no reference", R(NULLS, 0))
    ok("results-none-no-threshold", "no reference, no threshold", R(NULLS, 0, threshold=None))
    ok("results-window-half", "against the first half", R(reference='"window-half"', flags=0))
    ok("results-window-half-no-threshold", "against the first half, no threshold", R(reference='"window-half"', threshold=None, flags=0))
    ok("results-cos-null", "mu or mu_ref is zero", R(cos="null"))
    ok("results-cos-null-half", "mu or mu_ref is zero", R(reference='"window-half"', cos="null", flags=0))
    ok("results-alert", "SDS over the threshold", R(sds="2.5", flags=BASELINE | ALERT))
    ok("results-alert-equal", "SDS at the threshold", R(sds="2", flags=BASELINE | ALERT))
    ok("results-alert-half", "an alert without a baseline", R(sds="3", reference='"window-half"', flags=ALERT))
    ok("results-alert-last-bit", "SDS one ulp over the threshold", R(sds="0.30000000000000004", threshold="0.3", flags=BASELINE | ALERT))
    ok("results-no-alert-last-bit", "SDS one ulp under the threshold", R(sds="0.3", threshold="0.30000000000000004"))
    ok("results-alert-zero", "SDS 0 at the threshold 0", R(sds="0", threshold="0", flags=BASELINE | ALERT))
    ok("results-alert-negative-threshold", "a negative threshold", R(sds="0", threshold="-1", flags=BASELINE | ALERT))
    ok("results-none-threshold-zero", "no SDS, so no alert at any threshold", R(NULLS, 0, threshold="0"))
    ok("results-weights-zero", "weights of 0", R(w_mu="0", w_trs="0"))
    ok("results-sds-not-recomputed", "SDS is not held against the other members", R(sds="-7"))
    ok("results-cos-rounding", "a cosine just over 1", R(cos="1.0000000000000002"))
    ok("results-cos-negative", "a negative cosine", R(cos="-1"))
    ok("results-tr-negative", "no range is stated for tr_Sigma", R(tr="-0.5"))
    ok("results-calib", "RESULTS_V1 after CALIB_STATS_V1", R().put(CALIB, calib_value(1, 2, mu, [0.5])))
    ok("results-signed", "signed, with a digest", R(flags=BASELINE).seal(True, KEY))
    ok("results-ignored-flags", "flag bits 16-31", R(flags=0xABCD0000 | BASELINE))
    ok("results-no-flags", "FLAGS_V1 left out, no alert and no baseline", Frame(flags=None).put(RESULTS, results_text(**NULLS)))
    good_numbers = (
        "0", "1", "-1", "0.1", "-0.1", "123456789", "9007199254740992", "-9007199254740991", "9007199254740994", "100000000000000000000", "123456789012345680000",
        "295147905179352830000", "999999999999999900000", "1e+21", "1.5e+21", "-1e+21", "1e+22", "1e+23", "9.999999999999997e+22", "1.0000000000000001e+23",
        "1e+100", "1.7976931348623157e+308", "-1.7976931348623157e+308", "0.000001", "-0.0000033333333333333333", "0.0000012345", "9.999999999999997e-7", "1e-7", "1.5e-7",
        "1e-10", "1e-100", "2.2250738585072014e-308", "2.225073858507201e-308", "5e-324", "-5e-324", "333333333.3333332", "333333333.33333325", "1424953923781206.2", "0.30000000000000004",
    )
    for i in range(0, len(good_numbers), 4):
        four = (good_numbers[i:i + 4] * 4)[:4]
        for text in four:
            assert es6_number(float(text)) == text
        members = dict(zip(("sds", "cos", "threshold", "tr"), four))
        over = float(members["sds"]) >= float(members["threshold"])
        ok("numbers-%d" % i, "SDS, cos_mu, thresholds.SDS, tr_Sigma in the form of RFC 8785: " + ", ".join(four), R(flags=BASELINE | (ALERT if over else 0), **members))
    for name in ("sds", "cos", "norm", "threshold", "w_mu", "w_trs"):
        ok("number-5e-324-" + name, "5e-324 for " + name, R(flags=BASELINE | (ALERT if name == "threshold" else 0), **{name: "5e-324"}))

    # --- RESULTS_V1: refused ------------------------------------------------------------------------------
    token_of = {"sds": 1, "cos": 3, "norm": 5, "reference": 7, "threshold": 9, "tr": 11, "w_mu": 13, "w_trs": 15}
    tokens = results_tokens()
    vr = Frame().put(RESULTS, b"").val(RESULTS)

    def start(index, toks=None):
        return vr + sum(len(t.encode()) for t in (toks or tokens)[:index])

    def bad_text(id_, comment, text, at, flags=BASELINE):
        no(id_, comment, Frame(flags=flags).put(RESULTS, text.encode() if isinstance(text, str) else text), "Results", at)

    def bad_token(id_, comment, index, new, shift=0, toks=None, flags=BASELINE):
        toks = list(toks or tokens)
        at = start(index, toks) + shift
        toks[index] = new
        bad_text(id_, comment, "".join(toks), at, flags)

    bad_numbers = (
        "1.0", "1e0", "-0", "-0.0", "0.0", "01", "+1", "+0", "1E5", "1e5", "1e+5", "0.10", ".5", "5.", "1e400",
        "1e+400", "1.7976931348623159e+308", "1e-400", "4.9e-324", "2e-324", "1E+21", "1e21", "1.0e+21", "1000000000000000000000", "0.0000001", "1e-07", "1e-6", "9007199254740993",
        "123456789012345678901", "0.1000000000000000055511151231257827", "0.30000000000000003", "2.2250738585072011e-308", "-", "--1", "1-", "1e", "1e+",
    )
    for text in bad_numbers:
        bad_token("bad-number-" + text, "tr_Sigma is %s" % text, 11, text)
    for text in ("", "NaN", "Infinity", "null", "nul", "true", '"1"', '"', "{}", "[1]", "x", " 0.5", "\n0.5", "\u0661"):
        bad_token("no-number-" + text.encode("ascii", "backslashreplace").decode().replace(" ", "space").replace("\t", "tab").replace("\n", "newline"),
                  "tr_Sigma does not begin a number", 11, text)
    for text in ("-Infinity", "-x"):
        bad_token("bad-number-" + text, "a minus with no digits after it", 11, text)
    for text, shift in (("0.5 ", 3), ("0.5\n", 3), ("1_0", 1), ("0x10", 1), ("0.5f", 3), ("1,0", 1), ("0.5\u0660", 3)):
        bad_token("after-number-" + text.encode("ascii", "backslashreplace").decode().replace(" ", "space").replace("\n", "newline"),
                  "the number ends before what stands after it, which is not the fixed part", 11, text, shift)
    for name in token_of:
        if name in ("reference", "tr"):
            continue
        for text in ("1.0", "1e400", "nul", " 1"):
            bad_token("bad-%s-%s" % (name, text.replace(" ", "space")), "%s is %s" % (name, text), token_of[name], text)
        bad_token("after-" + name, "a space after " + name, token_of[name], tokens[token_of[name]] + " ", len(tokens[token_of[name]]))
    for name in ("threshold", "tr", "w_mu", "w_trs"):
        bad_token("null-" + name, name + " can not be null", token_of[name], "null")
    for name in ("sds", "cos", "norm"):
        toks = results_tokens(**NULLS)
        at = token_of[name]
        bad_token("after-null-" + name, "null and a letter", at, "nullx", 4, toks, 0)
        bad_token("upper-null-" + name, "Null is no null", at, "Null", 0, toks, 0)
    for name in ("norm", "w_mu", "w_trs"):
        for text in ("-1", "-5e-324"):
            bad_token("range-%s-%s" % (name, text), "%s is below 0" % name, token_of[name], text)
    for text in ("baseline", "'baseline'", '"Baseline"', '"window_half"', '"window-half', '"baseline "', '""', "null", "1", '"none', '"n\\u006fne"', '"baselin"', '"baselines"'):
        bad_token("reference-" + text, "the reference is " + text, 7, text)
    bad_token("reference-space-before", "a space before the reference", 7, ' "baseline"')
    bad_token("reference-space-after", "a space after the reference", 7, '"baseline" ', len('"baseline"'))
    for i, part in enumerate(tokens):
        if i % 2:
            continue
        changes = [("cut-last", part[:-1]), ("space-last", part + " "), ("gone", "")]
        if i in (2, 6, 10):
            changes += [("cut-first", part[1:]), ("case", part.swapcase()), ("space-first", " " + part), ("space-middle", part[:2] + " " + part[2:])]
        for name, new in changes:
            if new == part:
                continue
            if (i == 16 and name == "space-last") or (i in (2, 4, 10, 12, 14) and name == "gone"):
                continue                         # bytes after the text; two numbers that run together: see numbers-run-*
            toks = list(tokens)
            toks[i] = new
            at = start(i)
            if name == "space-last":
                at += len(part)                  # the part is whole; the space stands where a value has to
            bad_text("fixed-%d-%s" % (i, name), "the fixed part %s: %s" % (part, name), "".join(toks), at)
    for i in (2, 10):
        toks = list(tokens)
        toks[i - 1:i + 2] = ["0.50.5"]
        bad_text("numbers-run-%d" % i, "two numbers run together: the token is the whole run", "".join(toks), start(i - 1))
    toks = results_tokens(threshold=None)
    for name, new in (("space", ',"thresholds":{ },"tr_Sigma":'), ("null", ',"thresholds":null,"tr_Sigma":'), ("array", ',"thresholds":[],"tr_Sigma":'), ("gone", ',"tr_Sigma":'),
                      ("other", ',"thresholds":{"sds":2},"tr_Sigma":'), ("after", ',"thresholds":{},"tr_sigma":'), ("open", ',"thresholds":{"tr_Sigma":'), ("comma", ',"thresholds":{},'),
                      ("two", ',"thresholds":{}},"tr_Sigma":')):
        bad_token("thresholds-" + name, "thresholds that are neither of the two", 8, new, 0, toks)
    bad_token("thresholds-two-members", "a second threshold", 10, ',"norm_dmu":1},"tr_Sigma":')
    text = results_text().decode()
    end = vr + len(text)
    for name, more in (("space", " "), ("newline", "\n"), ("zero", "\0"), ("brace", "}"), ("twice", text), ("comma", ",")):
        bad_text("after-end-" + name, "bytes after the text", text + more, end)
    bad_text("empty", "no text", "", vr)
    bad_text("braces", "an empty object", "{}", vr)
    bad_text("leading-space", "a space before the text", " " + text, vr)
    bad_text("bom", "a byte order mark", b"\xef\xbb\xbf" + text.encode(), vr)
    bad_text("not-utf-8", "FF", b"\xff", vr)
    bad_text("pretty", "spaces after commas and colons", text.replace(",", ", ").replace(":", ": "), vr + 0 + len('{"SDS":'))
    bad_text("missing-SDS", "SDS left out", text.replace('"SDS":1.5,', "", 1), vr)
    bad_text("missing-cos_mu", "cos_mu left out", text.replace(',"cos_mu":0.75', ""), start(2))
    bad_text("missing-norm_dmu", "norm_dmu left out", text.replace(',"norm_dmu":1', ""), start(4))
    bad_text("missing-reference", "reference left out", text.replace(',"reference":"baseline"', ""), start(6))
    bad_text("missing-thresholds", "thresholds left out", text.replace(',"thresholds":{"SDS":2}', ""), start(8))
    bad_text("missing-tr_Sigma", "tr_Sigma left out", text.replace(',"tr_Sigma":0.5', ""), start(10))
    bad_text("missing-weights", "weights left out", text.replace(',"weights":{"mu":1,"trS":1}', ""), start(12))
    bad_text("missing-trS", "weights.trS left out", text.replace(',"trS":1', ""), start(14))
    bad_text("reordered-first", "cos_mu before SDS", text.replace('{"SDS":1.5,"cos_mu":0.75', '{"cos_mu":0.75,"SDS":1.5'), vr)
    bad_text("reordered-weights", "trS before mu", text.replace('"mu":1,"trS":1', '"trS":1,"mu":1'), start(12))
    bad_text("reordered-tail", "weights before tr_Sigma", text.replace('"tr_Sigma":0.5,"weights":{"mu":1,"trS":1}', '"weights":{"mu":1,"trS":1},"tr_Sigma":0.5'), start(10))
    bad_text("extra-first", "a member before SDS", text.replace('{"SDS"', '{"A":1,"SDS"', 1), vr)
    bad_text("extra-middle", "a member after cos_mu", text.replace(',"norm_dmu"', ',"n":1,"norm_dmu"'), start(4))
    bad_text("extra-last", "a member after weights", text[:-1] + ',"z":1}', start(16))
    bad_text("escaped-name", "a name spelled with an escape", text.replace('"cos_mu"', '"cos\\u005fmu"'), start(2))
    for n in range(0, len(text)):
        at, whole = vr, 0
        for token in tokens:
            if whole + len(token) > n:
                break
            whole += len(token)
        index = next(i for i in range(len(tokens)) if len("".join(tokens[:i + 1])) > n)
        token, have = tokens[index], n - len("".join(tokens[:index]))
        if index % 2 and have and token[0] != '"' and _JSON_NUMBER.fullmatch(token[:have]):
            at = vr + n                          # the number is whole as it stands; the fixed part is missing
        else:
            at = start(index)
        if n in (1, 6, 7, 8, 9, 10, 20, 40, 50, 62, 84, 97, 110, len(text) - 2, len(text) - 1):
            bad_text("results-cut-%d" % n, "the text ends after %d of %d bytes" % (n, len(text)), text[:n], at)

    # contradictions with the reference
    def contradiction(id_, comment, flags=0, at=None, **members):
        toks = results_tokens(**members)
        bad_text(id_, comment, "".join(toks), start(7 if at is None else at, toks), flags)

    for name, value in (("sds", "1"), ("cos", "0.5"), ("norm", "1")):
        contradiction("none-with-" + name, "%s without a reference" % name, **dict(NULLS, **{name: value}))
    contradiction("none-with-all", "numbers without a reference", reference='"none"')
    for reference in ("baseline", "window-half"):
        flags = BASELINE if reference == "baseline" else 0
        quoted = '"%s"' % reference
        contradiction("%s-all-null" % reference, "nulls with a reference", flags, **dict(NULLS, reference=quoted))
        contradiction("%s-sds-null" % reference, "SDS null with a reference", flags, sds="null", reference=quoted)
        contradiction("%s-norm-null" % reference, "norm_dmu null with a reference", flags, norm="null", reference=quoted)
        contradiction("%s-sds-norm-null" % reference, "SDS and norm_dmu null with a reference", flags, sds="null", norm="null", reference=quoted)
    contradiction("contradiction-then-number", "a contradiction at the reference, then a bad number: the reference stands first", reference='"none"', tr="1.0")
    contradiction("number-then-contradiction", "a bad number, then a contradiction at the reference: the number stands first", 0, 5, reference='"none"', norm="-1")
    contradiction("fixed-then-contradiction", "a bad cos_mu, then a contradiction", 0, 3, reference='"none"', cos="x")
    toks = results_tokens(sds="1.0", cos="1.0")
    bad_text("two-numbers", "two bad numbers: the first counts", "".join(toks), start(1))

    # --- FLAGS_V1 against RESULTS_V1 --------------------------------------------------------------------------
    def flags_no(id_, comment, f, at=None):
        no(id_, comment, f, "FlagsResults", f.val(FLAGS) if at is None else at)

    flags_no("flags-alert-no-results", "ALERT without RESULTS_V1", Frame(flags=ALERT))
    flags_no("flags-baseline-no-results", "BASELINE without RESULTS_V1", Frame(flags=BASELINE))
    flags_no("flags-both-no-results", "both without RESULTS_V1", Frame(flags=ALERT | BASELINE))
    flags_no("flags-alert-calib-only", "ALERT with CALIB_STATS_V1 alone", Frame(flags=ALERT).put(CALIB, calib_value(0, 2)))
    flags_no("flags-alert-under", "ALERT under the threshold", R(flags=ALERT | BASELINE))
    flags_no("flags-alert-no-threshold", "ALERT without a threshold", R(threshold=None, flags=ALERT | BASELINE))
    flags_no("flags-alert-no-sds", "ALERT without SDS", R(NULLS, ALERT))
    flags_no("flags-no-alert-over", "no ALERT over the threshold", R(sds="3"))
    flags_no("flags-no-alert-equal", "no ALERT at the threshold", R(sds="2"))
    flags_no("flags-no-alert-equal-exponent", "no ALERT at the threshold of 1e+21", R(sds="1e+21", threshold="1e+21"))
    flags_no("flags-no-baseline", "no BASELINE with a baseline", R(flags=0))
    flags_no("flags-baseline-half", "BASELINE with window-half", R(reference='"window-half"'))
    flags_no("flags-baseline-none", "BASELINE with none", R(NULLS, BASELINE))
    flags_no("flags-swapped", "BASELINE for ALERT", R(sds="3", reference='"window-half"', flags=BASELINE))
    flags_no("flags-high-bits", "bits 17 and 18 are not ALERT and BASELINE", R(sds="3", flags=0x60000))
    f = Frame(flags=None).put(RESULTS, results_text())
    flags_no("flags-absent-baseline", "a baseline without FLAGS_V1, which would stand at RESULTS_V1", f, f.off(RESULTS))
    f = Frame(flags=None).put(RESULTS, results_text(sds="9", reference='"window-half"')).put(CALIB, calib_value(0, 2))
    flags_no("flags-absent-alert", "an alert without FLAGS_V1, which would stand at CALIB_STATS_V1", f, f.off(CALIB))

    # --- the order -----------------------------------------------------------------------------------------
    faults = beacon_faults()
    base = Frame(flags=BASELINE).put(CALIB, calib_value(2, 2, mu, [0.25, 1.0])).put(RESULTS, results_text())
    ok("fault-none", "the frame of the fault-* and order-* cases without a fault", base)
    for i, first in enumerate(faults):
        g, data = with_faults(base, [first])
        no("fault-" + first[0], "one fault", data, first[4], first[5](g))
        seconds = faults[i + 1:i + 2]
        if first[0] in ("rows", "dim"):
            seconds = faults[i + 1:i + 4]
        for second in seconds:
            if second[0] == "size" and first[0] in ("rows", "dim"):
                continue
            g, data = with_faults(base, [first, second])
            no("order-%s-%s" % (first[0], second[0]), "two faults: %s comes first" % first[0], data, first[4], first[5](g))
        if first[0] not in ("kind", "size", "results", "flags-results"):
            continue
        g, data = with_faults(base, [first])
        no("order-trailing-" + first[0], "a byte after the frame comes before the typed view", data + b"\x00", "TrailingBytes", g.end())
    f = Frame(kind=3).seal(True).poke(DIGEST, 1, bytes(32))
    no("order-digest-kind", "the envelope comes before the typed view", f, "Digest", f.val(DIGEST) + 1)
    f = Frame(kind=3, flags=AUTHENTICATED)
    no("order-flags-hmac-kind", "the envelope comes before the typed view", f, "FlagsHmac", f.val(FLAGS))
    f = Frame(kind=3)
    no("order-crc-kind", "the envelope comes before the typed view", f.bytes(0), "Crc", f.crc_off())
    f = Frame(element=10, kind=3)
    no("order-element-kind", "the envelope's Element comes before the view's Kind", f, "Element", f.field("element"))
    return c


# ---------------------------------------------------------------------------------------------------------

def context_cases():
    c = Cases("bit-vectors/context", "spec/frame.md", [
        "View \"context\": hex is the value of CONTEXT_V1. Offsets count from the start of the value.",
        "error has no offset where the specification does not determine one.",
    ])

    def ok(id_, comment, text, **stated):
        data = text.encode("utf-8") if isinstance(text, str) else text
        expect = read_context(data)
        for name, value in stated.items():
            assert expect[name] == value, (id_, name, expect[name])
        c.accept(id_, comment, data, "context", expect)

    def no(id_, comment, text, at=None):
        c.reject(id_, comment, text.encode("utf-8") if isinstance(text, str) else text, "context", "Context", at)

    def ids(more="", tail="", dim="2"):
        """more stands before dim in the order of names, tail after space_id."""
        return "{" + more + '"dim":' + dim + ',"model_id":"","pi_id":"","space_id":""' + tail + "}"

    ok("example", "the text of the specification", '{"dim":384,"model_id":"mymodel","pi_id":"mypi","space_id":"myspace"}',
       ctx="7aee8adefd1102fe", dim=384, model_id="mymodel", pi_id="mypi", space_id="myspace")
    ok("empty-ids", "no ids", ids(), dim=2, model_id="")
    for dim in (0, 1, 65536, 2 ** 31, 2 ** 32 - 1):
        ok("dim-%d" % dim, "dim %d" % dim, ids(dim=str(dim)), dim=dim)
    ok("more-members", "further members", ids('"chunk":1,', ',"tokenizer":"t","weights_sha256":"00"'))
    ok("upper-case-first", "upper case comes before lower case", ids('"A":1,"Z":2,"_":3,"a":4,'))
    ok("empty-name", "an empty name comes first", ids('"":1,'))
    ok("prefix-names", "a name comes before those it begins", ids('"a":1,"aa":2,"ab":3,"b":4,'))
    ok("near-names", "names close to the four", ids('"Dim":1,"di":2,', ',"space_id2":3').replace('"dim":2,', '"dim":2,"dim2":5,'))
    ok("literals", "null, true, false", ids(tail=',"t":[null,true,false]'))
    ok("nested", "nested values", ids(tail=',"t":{"a":[1,{"b":[]},{}],"b":{"dim":"x"}}'))
    ok("nested-same-name", "the same name in two objects is no repetition", ids(tail=',"t":[{"a":1},{"a":1}],"u":{"dim":1,"t":2}'))
    ok("array-order", "the order of an array is its own", ids(tail=',"t":[3,1,2,"b","a"]'))
    ok("depth-100", "100 arrays deep", ids(tail=',"t":' + "[" * 100 + "]" * 100))
    ok("depth-100-objects", "100 objects deep", ids(tail=',"t":' + '{"a":' * 99 + "{}" + "}" * 99))
    for n in ("0", "-1", "9007199254740991", "-9007199254740991", "1000000000000000"):
        ok("integer-" + n, "a further member of " + n, ids(tail=',"t":' + n))
    ok("utf16-order", "names are in the order of UTF-16 code units: U+1F600 (D83D DE00) before U+FB33", ids(tail=',"\U0001f600":1,"\ufb33":2'))
    ok("utf16-order-rfc8785", "the names of RFC 8785, 3.2.3",
       '{"\\r":1,"1":2,"dim":2,"model_id":"","pi_id":"","space_id":"","\x80":3,"\xf6":4,"\u20ac":5,"\U0001f600":6,"\ufb33":7}')
    ok("utf16-order-nested", "the same in a nested object", ids(tail=',"t":{"\u20ac":1,"\U0001f600":2,"\ufb33":3}'))
    ok("utf16-order-ffff-below", "U+10000 before U+E000", ids(tail=',"\U00010000":1,"\ue000":2'))
    ok("escapes", "the two-character escapes", '{"dim":2,"model_id":"\\b\\t\\n\\f\\r\\"\\\\","pi_id":"","space_id":""}', model_id="\b\t\n\f\r\"\\")
    ok("escapes-u", "the other controls in lower case", '{"dim":2,"model_id":"\\u0000\\u0001\\u0007\\u000b\\u000e\\u001f","pi_id":"","space_id":""}', model_id="\0\1\7\x0b\x0e\x1f")
    ok("escape-in-name", "an escape in a name", ids('"\\n":1,'))
    ok("not-escaped", "/, DEL, U+0080, U+2028 and U+FEFF stand as they are", '{"dim":2,"model_id":"/\x7f\x80\u2028\ufeff","pi_id":"","space_id":""}', model_id="/\x7f\x80\u2028\ufeff")
    ok("utf-8", "two, three and four bytes", '{"dim":2,"model_id":"\xe9\u20ac\U0001f600","pi_id":"","space_id":""}', model_id="\xe9\u20ac\U0001f600")
    ok("not-normalised", "composed and decomposed letters are not the same", ids(tail=',"t\u0065\u0301":1,"t\u00e9":2'))
    ok("last-code-points", "U+D7FF, U+E000, U+FFFD and U+10FFFD", '{"dim":2,"model_id":"\ud7ff\ue000\ufffd\U0010fffd","pi_id":"","space_id":""}')
    ok("structure-in-string", "structure in strings", '{"dim":2,"model_id":"{\\"dim\\":3,}[]:","pi_id":",","space_id":" "}')

    # --- not UTF-8: the first byte of the sequence that is not -----------------------------------------------
    prefix = b'{"dim":2,"model_id":"ab'
    suffix = b'","pi_id":"","space_id":""}'
    for name, raw in (("ff", b"\xff"), ("fe", b"\xfe"), ("c0-80", b"\xc0\x80"), ("c1-bf", b"\xc1\xbf"), ("continuation", b"\x80"), ("cut-2", b"\xc3"), ("cut-3", b"\xe2\x82"),
                      ("cut-4", b"\xf0\x9f\x98"), ("overlong-3", b"\xe0\x80\x80"), ("overlong-4", b"\xf0\x80\x80\x80"), ("surrogate", b"\xed\xa0\x80"),
                      ("surrogate-pair", b"\xed\xa0\xbd\xed\xb8\x80"), ("over-10ffff", b"\xf4\x90\x80\x80"), ("f5", b"\xf5\x80\x80\x80"), ("latin-1", b"\xe9t\xe9")):
        no("utf-8-" + name, "not UTF-8: " + raw.hex(), prefix + raw + suffix, len(prefix))
    no("utf-8-after-good", "good sequences before the bad one", prefix + "\u20ac".encode() + b"\xff" + suffix, len(prefix) + 3)
    no("utf-8-name", "not UTF-8 in a name", b'{"\xff":1,"dim":2,"model_id":"","pi_id":"","space_id":""}', 2)
    no("utf-8-first", "the first byte", b"\xff" + ids().encode(), 0)
    no("utf-8-last", "a byte after the text", ids().encode() + b"\x80", len(ids()))
    no("utf-8-cut-end", "a sequence that the end cuts", ids().encode() + b"\xf0\x9f", len(ids()))
    no("utf-16", "UTF-16 with a byte order mark", b"\xff\xfe" + ids().encode("utf-16-le"), 0)

    # --- not JSON -------------------------------------------------------------------------------------------
    text = ids()
    for name, bad in (
            ("empty", ""), ("space", " "), ("open", "{"), ("cut", text[:-1]), ("cut-string", text[:-2]), ("cut-name", '{"dim'), ("cut-colon", '{"dim"'), ("cut-value", '{"dim":'),
            ("brace-after", text + "}"), ("comma-after", text + ","), ("text-after", text + text), ("zero-after", text + "\0"), ("bom", "\ufeff" + text),
            ("trailing-comma", text[:-1] + ",}"), ("leading-comma", "{," + text[1:]), ("no-comma", text.replace(',"pi_id"', '"pi_id"')), ("two-commas", text.replace(',"pi_id"', ',,"pi_id"')),
            ("no-colon", text.replace('"pi_id":', '"pi_id"')), ("name-not-quoted", text.replace('"pi_id"', "pi_id")), ("single-quotes", text.replace('"', "'")), ("name-number", text.replace('"pi_id"', "1")),
            ("comment", text.replace(",", ",/**/", 1)), ("nan", ids(tail=',"t":NaN')), ("infinity", ids(tail=',"t":Infinity')), ("undefined", ids(tail=',"t":undefined')),
            ("True", ids(tail=',"t":True')), ("tru", ids(tail=',"t":tru')), ("nulll", ids(tail=',"t":nulll')), ("plus", ids(tail=',"t":+1')), ("leading-zero", ids(tail=',"t":01')), ("minus-leading-zero", ids(tail=',"t":-01')),
            ("minus", ids(tail=',"t":-')), ("dot", ids(tail=',"t":1.')), ("dot-first", ids(tail=',"t":.5')), ("exponent", ids(tail=',"t":1e')), ("exponent-sign", ids(tail=',"t":1e+')), ("hex", ids(tail=',"t":0x10')),
            ("array-open", ids(tail=',"t":[')), ("array-comma", ids(tail=',"t":[1,]')), ("array-mismatch", ids(tail=',"t":[1}')), ("dim-01", ids(dim="02")),
            ("control", ids(tail=',"t":"\n"')), ("control-tab", ids(tail=',"t":"\t"')), ("control-nul", ids(tail=',"t":"\0"')), ("control-1f", ids(tail=',"t":"\x1f"')),
            ("escape-x", ids(tail=',"t":"\\x41"')), ("escape-quote", ids(tail=",\"t\":\"\\'\"")), ("escape-u-short", ids(tail=',"t":"\\u00"')), ("escape-u-not-hex", ids(tail=',"t":"\\u00g0"')),
            ("escape-U", ids(tail=',"t":"\\U00000041"')), ("escape-end", '{"a":"\\'), ("form-feed", text.replace(":", ":\f", 1)), ("nbsp", text.replace(":", ":\xa0", 1))):
        no("not-json-" + name, "not JSON", bad)
    for name, escape in (("high", "\\ud800"), ("low", "\\udc00"), ("high-high", "\\ud800\\ud800"), ("low-high", "\\ude00\\ud83d"), ("high-letter", "\\ud83dx"), ("high-newline", "\\ud83d\\n"), ("high-u0041", "\\ud83d\\u0041")):
        no("lone-surrogate-" + name, "an escape of a surrogate without its other half", '{"dim":2,"model_id":"%s","pi_id":"","space_id":""}' % escape)
    no("lone-surrogate-name", "the same in a name", ids(tail=',"\\ud800":1'))

    # --- repeated members -----------------------------------------------------------------------------------
    no("twice-dim", "dim twice", text.replace('"dim":2,', '"dim":2,"dim":2,'))
    no("twice-dim-other", "dim twice, with two values", text.replace('"dim":2,', '"dim":2,"dim":3,'))
    no("twice-apart", "pi_id again at the end", ids(tail=',"pi_id":""'))
    no("twice-further", "a further member twice", ids(tail=',"t":1,"t":1'))
    no("twice-nested", "a member twice in a nested object", ids(tail=',"t":{"a":1,"a":1}'))
    no("twice-nested-array", "a member twice in an object in an array", ids(tail=',"t":[0,{"a":1,"a":2}]'))
    no("twice-empty-name", "the empty name twice", ids('"":1,"":2,'))
    no("twice-escape", "dim twice, once spelled with an escape", text.replace('"dim":2,', '"dim":2,"\\u0064im":2,'))
    no("twice-escape-nested", "the same in a nested object", ids(tail=',"t":{"a":1,"\\u0061":1}'))
    no("twice-escape-newline", "a newline as \\n and as \\u000a", ids('"\\n":1,"\\u000a":2,'))
    no("twice-escape-pair", "U+1F600 and its escapes", ids(tail=',"\\ud83d\\ude00":1,"\U0001f600":2'))
    no("twice-slash", "a slash and its escape", ids('"/":1,"\\/":2,'))

    # --- not in the form of RFC 8785 ------------------------------------------------------------------------
    def form(id_, comment, text, marker=None, at=None):
        """The first byte that differs is at the marker, which is taken out."""
        if at is None:
            at = len(text[:text.index(marker)].encode("utf-8"))
            text = text.replace(marker, "", 1)
        no(id_, comment, text, at)

    M = "\u2603"
    form("form-space-first", "a space before the text", " " + text, at=0)
    form("form-newline-last", "a newline after the text", text + "\n", at=len(text))
    form("form-space-last", "a space after the text", text + " ", at=len(text))
    form("form-crlf-last", "CR LF after the text", text + "\r\n", at=len(text))
    form("form-space-brace", "a space after the brace", text.replace("{", "{" + M + " "), M)
    form("form-space-name", "a space before a colon", text.replace('"dim"', '"dim"' + M + " "), M)
    form("form-space-colon", "a space after a colon", text.replace('"dim":', '"dim":' + M + " "), M)
    form("form-tab-comma", "a tab after a comma", text.replace(",", "," + M + "\t", 1), M)
    form("form-space-comma", "a space before a comma", text.replace(",", M + " ,", 1), M)
    form("form-space-end", "a space before the last brace", text[:-1] + M + " }", M)
    form("form-space-array", "a space in an array", ids(tail=',"t":[1,' + M + ' 2]'), M)
    form("form-space-empty-object", "a space in an empty object", ids(tail=',"t":{' + M + ' }'), M)
    form("form-order", "model_id before dim", '{"' + M + 'model_id":"","dim":2,"pi_id":"","space_id":""}', M)
    form("form-order-last", "space_id before pi_id", '{"dim":2,"model_id":"","' + M + 'space_id":"","pi_id":""}', M)
    form("form-order-case", "lower case before upper case", '{"' + M + 'a":1,"A":2,"dim":2,"model_id":"","pi_id":"","space_id":""}', M)
    form("form-order-prefix", "a longer name before the shorter that begins it", '{"a' + M + 'a":1,"a":2,"dim":2,"model_id":"","pi_id":"","space_id":""}', M)
    form("form-order-nested", "a nested object out of order", ids(tail=',"t":{"' + M + 'b":1,"a":2}'), M)
    form("form-order-utf8", "the order of UTF-8 or of code points: U+FB33 before U+1F600", ids(tail=',"' + M + '\ufb33":1,"\U0001f600":2'), M)
    form("form-order-utf8-nested", "the same in a nested object: U+E000 before U+10000", ids(tail=',"t":{"' + M + '\ue000":1,"\U00010000":2}'), M)
    def in_id(escape):
        return '{"dim":2,"model_id":"%s","pi_id":"","space_id":""}' % escape
    for name, escape in (
            ("letter", M + "\\u0061"), ("slash", M + "\\/"), ("newline", "\\" + M + "u000a"), ("tab", "\\" + M + "u0009"), ("backspace", "\\" + M + "u0008"),
            ("quote", "\\" + M + "u0022"), ("backslash", "\\" + M + "u005c"), ("upper-case", "\\u001" + M + "F"), ("del", M + "\\u007f"), ("e9", M + "\\u00e9"), ("euro", M + "\\u20ac"),
            ("pair", M + "\\ud83d\\ude00"), ("2028", M + "\\u2028"), ("after-good", "\\n\\u0000" + M + "\\u0041")):
        form("form-escape-" + name, "an escape that RFC 8785 does not use", in_id(escape), M)
    form("form-escape-name", "a member's name spelled with an escape", '{"' + M + '\\u0064im":2,"model_id":"","pi_id":"","space_id":""}', M)
    form("form-minus-0", "-0 for 0", ids(tail=',"t":' + M + "-0"), M)
    form("form-1.0", "1.0 for 1", ids(tail=',"t":1' + M + ".0"), M)
    form("form-1e2", "1e2 for 100", ids(tail=',"t":1' + M + "e2"), M)
    form("form-1E2", "1E2 for 100", ids(tail=',"t":1' + M + "E2"), M)
    form("form-1e0", "1e0 for 1", ids(tail=',"t":1' + M + "e0"), M)
    form("form-100e-2", "100e-2 for 1", ids(tail=',"t":1' + M + "00e-2"), M)
    form("form-dim-2.0", "dim is 2.0", ids(dim="2" + M + ".0"), M)
    form("form-dim-2e0", "dim is 2e0", ids(dim="2" + M + "e0"), M)
    form("form-dim-minus-0", "dim is -0", ids(dim=M + "-0"), M)

    # --- numbers --------------------------------------------------------------------------------------------
    for n in ("9007199254740992", "-9007199254740992", "9007199254740993", "9007199254740994", "18446744073709551615", "18446744073709552000", "100000000000000000000", "1e+21",
              "1e21", "1e400", "-1e400", "0.5", "-0.5", "1.5", "0.1", "1e-7", "5e-324", "9007199254740991.5", "0.50", "1e-400"):
        no("number-" + n, "a further member of " + n, ids(tail=',"t":' + n))
    no("number-nested", "a fraction in a nested value", ids(tail=',"t":[{"a":[0.5]}]'))

    # --- members --------------------------------------------------------------------------------------------
    for name in ("dim", "model_id", "pi_id", "space_id"):
        members = [m for m in ('"dim":2', '"model_id":""', '"pi_id":""', '"space_id":""') if not m.startswith('"%s"' % name)]
        no("missing-" + name, "no " + name, "{" + ",".join(members) + "}")
    no("missing-all", "an empty object", "{}")
    no("missing-nested", "dim in a nested object only", '{"model_id":"","pi_id":"","space_id":"","t":{"dim":2}}')
    no("missing-case", "Dim is not dim", '{"Dim":2,"model_id":"","pi_id":"","space_id":""}')
    for value in ("null", "true", '"2"', "[2]", "{}", "-1", "-2147483648", "4294967296", "4294967298", "9007199254740991", "2.5", "1e+21", '""'):
        no("dim-" + value, "dim is " + value, ids(dim=value))
    for name in ("model_id", "pi_id", "space_id"):
        for value in ("null", "1", "[]", "true", "{}"):
            no("%s-%s" % (name, value), "%s is %s" % (name, value), text.replace('"%s":""' % name, '"%s":%s' % (name, value)))
    for name, value in (("array", "[]"), ("array-of-object", "[" + text + "]"), ("string", '"x"'), ("number", "1"), ("null", "null"), ("true", "true")):
        no("top-" + name, "not an object", value)
    return c


# ---------------------------------------------------------------------------------------------------------

class Lcg:
    def __init__(self, seed):
        self.state = seed

    def u32(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2 ** 64
        return self.state >> 32


def bits_of(x):
    """f32 bits of a number that is an f32 exactly."""
    x = Fraction(x)
    bits = f32_round(x)
    assert f32_exact(bits) == x
    return bits


def mu16_cases():
    c = Cases("bit-vectors/mu16", "spec/beacon.md", [
        "view \"quantise\": x_hex (f32 bits) with delta_q16 gives q, the number of saturated elements and dequantised_hex (f32 bits),",
        "or the error. view \"auto\": x_hex gives the automatic step, delta_q16, or the error. dim is the number of columns.",
        "Computed with integers and fractions, without floating point.",
    ])

    def quantised(id_, comment, delta, all_bits):
        pairs = [quantise(bits, delta) for bits in all_bits]
        c.add({
            "id": id_, "comment": comment, "view": "quantise", "verdict": "accept", "delta_q16": delta, "dim": len(all_bits),
            "x_hex": ["%08x" % bits for bits in all_bits], "q": [q for q, _ in pairs], "saturated": sum(s for _, s in pairs),
            "dequantised_hex": [dequantise(q, delta) for q, _ in pairs],
        })
        # the formula of the specification, in f64
        for bits, (q, _) in zip(all_bits, pairs):
            x = struct.unpack(">f", struct.pack(">I", bits))[0]
            formula = max(-32768, min(32767, round(x * 65536.0 / float(delta))))
            assert formula == q, (id_, bits, delta)
            assert struct.pack(">f", q * delta / 65536).hex() == dequantise(q, delta)

    def stated(id_, comment, delta, rows):
        quantised(id_, comment, delta, [bits for bits, _, _ in rows])
        case = c.cases[-1]
        assert case["q"] == [q for _, q, _ in rows], (id_, case["q"])
        assert case["saturated"] == sum(s for _, _, s in rows), id_

    F = Fraction
    max_f32, min_normal = 0x7F7FFFFF, 0x00800000
    stated("spec-1024", "the table of the specification, delta_q16 1024", 1024, [
        (bits_of(F(1, 2)), 32, 0), (bits_of(F(1, 128)), 0, 0), (bits_of(F(3, 128)), 2, 0), (bits_of(F(-1, 128)), 0, 0),
        (bits_of(F(65534, 128)), 32767, 0), (bits_of(F(65535, 128)), 32767, 1), (bits_of(F(-65537, 128)), -32768, 0),
    ])
    stated("spec-1000", "0.1 of the specification, delta_q16 1000", 1000, [(0x3DCCCCCD, 7, 0)])
    stated("zeroes", "0, -0 and the denormals", 1, [(0, 0, 0), (0x80000000, 0, 0), (1, 0, 0), (0x80000001, 0, 0), (0x007FFFFF, 0, 0), (0x807FFFFF, 0, 0), (min_normal, 0, 0)])
    stated("zeroes-max-step", "the same with the largest step", 2 ** 32 - 1, [(0, 0, 0), (0x80000000, 0, 0), (1, 0, 0), (0x007FFFFF, 0, 0), (min_normal, 0, 0)])
    stated("max-f32", "the largest f32", 1024, [(max_f32, 32767, 1), (max_f32 | 1 << 31, -32768, 1)])
    stated("max-f32-step-1", "the largest f32, delta_q16 1: the product stays finite", 1, [(max_f32, 32767, 1), (max_f32 | 1 << 31, -32768, 1)])
    stated("max-f32-max-step", "the largest f32, the largest step", 2 ** 32 - 1, [(max_f32, 32767, 1), (max_f32 | 1 << 31, -32768, 1)])
    for delta in (1, 2, 4, 1024, 65536, 1 << 24, 1 << 31):
        unit = F(delta, 65536)
        rows = []
        for n, q in ((1, 0), (3, 2), (5, 2), (7, 4), (9, 4), (-1, 0), (-3, -2), (-5, -2), (-7, -4), (65533, 32766), (-65535, -32768), (-65537, -32768)):
            rows.append((bits_of(unit * n / 2), q, 0))
        rows += [(bits_of(unit * 65535 / 2), 32767, 1), (bits_of(unit * -65539 / 2), -32768, 1)]
        for n in (1, -1, 2, 100, 32766, 32767, -32767, -32768):
            rows.append((bits_of(unit * n), n, 0))
        rows += [(bits_of(unit * 32768), 32767, 1), (bits_of(unit * -32769), -32768, 1)]
        stated("ties-%d" % delta, "ties and limits with delta_q16 %d" % delta, delta, rows)
        near = []
        for n in (1, 3, 5, -1, -3, 65535, -65537, 65533):
            bits = bits_of(unit * n / 2)
            near += [bits - 1, bits, bits + 1]
        quantised("near-ties-%d" % delta, "the f32 below, at and above ties with delta_q16 %d" % delta, delta, near)
    steps = (1, 2, 3, 7, 10, 255, 1000, 1024, 4097, 65535, 65536, 65537, 100000, 1 << 24, (1 << 24) + 1, (1 << 31) - 1, 1 << 31, 3000000001, 2 ** 32 - 2, 2 ** 32 - 1)
    for delta in steps:
        # f32 nearest to halves and to the limits of this step
        all_bits = []
        for n in (1, 3, 5, 1001, 65534, 65535, 65536, 65537):
            for sign in (1, -1):
                bits = f32_round(F(sign * n * delta, 131072))
                all_bits += [bits - 1, bits, bits + 1] if n in (1, 3, 65535, 65537) else [bits]
        quantised("halves-%d" % delta, "the f32 nearest to halves and to the limits, delta_q16 %d" % delta, delta, all_bits)
    rng = Lcg(20240601)
    for delta in (1, 3, 7, 1000, 1024, 65535, 1 << 24, (1 << 24) + 1, 2 ** 32 - 1):
        all_bits = []
        low = f32_round(F(delta, 65536)) >> 23
        while len(all_bits) < 130:
            u = rng.u32()
            # exponents from 2^-3 to 2^16 steps
            all_bits.append((u & 1) << 31 | (low - 3 + (u >> 1) % 20) << 23 | rng.u32() >> 9)
        quantised("random-%d" % delta, "pseudo-random values around the step, delta_q16 %d" % delta, delta, all_bits)
    for delta in (1, 1000, 2 ** 32 - 1):
        all_bits = []
        while len(all_bits) < 50:
            bits = rng.u32()
            if f32_finite(bits):
                all_bits.append(bits)
        quantised("random-bits-%d" % delta, "pseudo-random bits, delta_q16 %d" % delta, delta, all_bits)
    for i in range(12):
        delta = max(1, rng.u32() >> rng.u32() % 32)
        low = f32_round(F(delta, 65536)) >> 23
        all_bits = [(rng.u32() & 1) << 31 | (low + rng.u32() % 16) << 23 | rng.u32() >> 9 for _ in range(12)]
        quantised("random-step-%d" % i, "pseudo-random step and values", delta, all_bits)
    quantised("dequantise-rounds", "q * delta_q16 has more bits than an f32", (1 << 24) + 1, [f32_round(F(n * ((1 << 24) + 1), 65536)) for n in (1, 3, 5, 32767, -32767, 257)])

    # --- automatic step -------------------------------------------------------------------------------------
    def auto(id_, comment, all_bits, delta=None, dim=None):
        got = auto_step(all_bits, dim or len(all_bits))
        if isinstance(got, int) and got > 1:
            assert any(quantise(b, got - 1)[1] for b in all_bits) and not any(quantise(b, got)[1] for b in all_bits)
        assert delta is None or got == delta, (id_, got, delta)
        case = {"id": id_, "comment": comment, "view": "auto", "verdict": "accept" if isinstance(got, int) else "reject", "dim": dim or len(all_bits),
                "x_hex": ["%08x" % bits for bits in all_bits]}
        case["delta_q16" if isinstance(got, int) else "error"] = got
        c.add(case)

    auto("auto-zero", "all zero", [0], 1)
    auto("auto-zeroes", "0 and -0", [0, 0x80000000], 1)
    auto("auto-denormal", "denormals", [1, 0x807FFFFF], 1)
    auto("auto-small", "the largest that fits the step 1", [bits_of(F(32767, 65536))], 1)
    auto("auto-tie", "32767.5 rounds to 32768, so the step 1 saturates", [bits_of(F(65535, 131072))], 2)
    auto("auto-below-tie", "just below 32767.5", [bits_of(F(65535, 131072)) - 1], 1)
    auto("auto-tie-negative", "-32768.5 rounds to -32768", [bits_of(F(-65537, 131072))], 1)
    auto("auto-below-tie-negative", "just below -32768.5", [bits_of(F(-65537, 131072)) + 1], 2)
    auto("auto-half", "0.5 needs the step 2, -0.5 does not", [bits_of(F(1, 2))], 2)
    auto("auto-minus-half", "-0.5 fits the step 1", [bits_of(F(-1, 2))], 1)
    auto("auto-1", "1", [bits_of(1)])
    auto("auto-minus-1", "-1", [bits_of(-1)])
    auto("auto-mixed", "the largest magnitude counts, wherever it is", [bits_of(F(1, 2)), bits_of(-3), bits_of(2), 0])
    auto("auto-mixed-positive", "the positive end counts where both are equal", [bits_of(-3), bits_of(3)])
    auto("auto-0.1", "0.1", [0x3DCCCCCD])
    for delta in (3, 7, 1000, 65535, 65536, 1 << 24, (1 << 24) + 1, 1 << 31):
        edge = F(65535 * delta, 131072)
        bits = f32_round(edge)
        while f32_exact(bits) >= edge:
            bits -= 1
        auto("auto-edge-%d" % delta, "the largest f32 that fits delta_q16 %d" % delta, [bits], None)
        auto("auto-edge-over-%d" % delta, "the f32 after it", [bits + 1])
        edge = F(-65537 * delta, 131072)
        bits = f32_round(edge)
        while f32_exact(bits) < edge:
            bits -= 1
        auto("auto-edge-negative-%d" % delta, "the lowest f32 that fits delta_q16 %d" % delta, [bits])
        auto("auto-edge-negative-over-%d" % delta, "the f32 below it", [bits + 1])
    edge = F(65535 * (2 ** 32 - 1), 131072)
    bits = f32_round(edge)
    while f32_exact(bits) >= edge:
        bits -= 1
    auto("auto-largest", "the largest f32 that fits any step", [bits])
    auto("auto-range", "the f32 after it", [bits + 1])
    assert c.cases[-1]["error"] == {"kind": "StepRange"} and c.cases[-2]["verdict"] == "accept"
    edge = F(-65537 * (2 ** 32 - 1), 131072)
    bits = f32_round(edge)
    while f32_exact(bits) < edge:
        bits -= 1
    auto("auto-lowest", "the lowest f32 that fits any step", [bits])
    auto("auto-range-negative", "the f32 below it", [bits + 1])
    assert c.cases[-1]["error"] == {"kind": "StepRange"} and c.cases[-2]["verdict"] == "accept"
    auto("auto-range-max", "the largest f32", [max_f32])
    auto("auto-range-one-of-many", "one of many", [0, bits_of(1), max_f32 | 1 << 31, 0], dim=2)
    for i in range(30):
        n = 1 + rng.u32() % 6
        exponent = 100 + rng.u32() % 58
        auto("auto-random-%d" % i, "pseudo-random values", [(rng.u32() & 1) << 31 | (exponent - rng.u32() % 3) << 23 | rng.u32() >> 9 for _ in range(n)])

    # --- not finite -----------------------------------------------------------------------------------------
    for name, bits in (("nan", 0x7FC00000), ("inf", 0x7F800000), ("minus-inf", 0xFF800000), ("signalling-nan", 0x7F800001), ("minus-nan", 0xFFFFFFFF)):
        for row, column in ((0, 0), (0, 2), (1, 0), (1, 1), (2, 2)):
            if name not in ("nan", "inf") and (row, column) != (1, 1):
                continue
            values = [bits_of(i) for i in range(9)]
            values[row * 3 + column] = bits
            error = {"kind": "NonFinite", "row": row, "column": column}
            for view, more in (("quantise", {"delta_q16": 1024}), ("auto", {})):
                if view == "auto" and (row, column) != (1, 1):
                    continue
                assert view == "quantise" or auto_step(values, 3) == error
                c.add({"id": "%s-%s-%d-%d" % (view, name, row, column), "comment": "%s in row %d, column %d" % (name, row, column), "view": view, "verdict": "reject", **more,
                       "dim": 3, "x_hex": ["%08x" % b for b in values], "error": error})
    values = [bits_of(i) for i in range(9)]
    values[5] = 0x7F800000
    values[7] = 0x7FC00000
    c.add({"id": "quantise-two-not-finite", "comment": "the first of the rows counts", "view": "quantise", "verdict": "reject", "delta_q16": 1024, "dim": 3,
           "x_hex": ["%08x" % b for b in values], "error": {"kind": "NonFinite", "row": 1, "column": 2}})
    return c


# ---------------------------------------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------------------------------------

def render(cases):
    """One member a line, one block a case."""
    out = ["{"]
    for name, value in cases.file.items():
        if isinstance(value, list):
            out.append(' %s: [' % json.dumps(name))
            out += ["  %s%s" % (json.dumps(line), "," if i + 1 < len(value) else "") for i, line in enumerate(value)]
            out.append(" ],")
        else:
            out.append(" %s: %s," % (json.dumps(name), json.dumps(value)))
    out.append(' "cases": [')
    for i, case in enumerate(cases.cases):
        out.append("  {")
        members = list(case.items())
        for j, (name, value) in enumerate(members):
            text = json.dumps(value, separators=(",", ":"))
            out.append("   %s: %s%s" % (json.dumps(name), text, "," if j + 1 < len(members) else ""))
        out.append("  }" + ("," if i + 1 < len(cases.cases) else ""))
    out += [" ]", "}"]
    text = "\n".join(out) + "\n"
    assert json.loads(text) == {**cases.file, "cases": cases.cases}
    return text


def spaced(data):
    return " ".join("%02X" % byte for byte in data)


def example():
    f = example_frame()
    data = f.bytes()
    parsed = read_frame(data)
    context = f.item(CONTEXT)[1]
    rows = [(0, data[:4], "magic", '"BIT" 01'), (4, f.ctx, "ctx", "BLAKE2b-64 of CONTEXT_V1's value")]
    def tlv(type_, name, value):
        off = f.off(type_)
        rows.append((off, data[off:off + 1], name + " type", "%02X" % type_))
        rows.append((off + 1, data[off + 1:off + 3], "length", value))
    tlv(CONFIG, "CONFIG_V1", "24")
    values = {"kind": "0 beacon", "element": "1 i16", "reserved": "0", "rows": "1", "dim": "2", "delta_q16": "1024", "payload_len": "4"}
    for name, (off, fmt) in CFG.items():
        at = f.field(name)
        rows.append((at, data[at:at + struct.calcsize(fmt)], name, values[name]))
    tlv(FLAGS, "FLAGS_V1", "4")
    rows.append((f.val(FLAGS), data[f.val(FLAGS):f.val(FLAGS) + 4], "flags", "0"))
    tlv(CONTEXT, "CONTEXT_V1", str(len(context)))
    at = f.val(CONTEXT)
    for i in range(0, len(context), 16):
        part = context[i:i + 16]
        rows.append((at + i, part, "value" if i == 0 else "", "`%s`" % part.decode()))
    tlv(END, "END", "0")
    rows.append((f.payload_off(), f.payload[:2], "payload, q[0]", "32, little-endian: 0.5 * 64"))
    rows.append((f.payload_off() + 2, f.payload[2:], "q[1]", "-64: -1.0 * 64"))
    rows.append((f.crc_off(), data[f.crc_off():], "crc16", "over bytes 4 to %d" % (f.crc_off() - 1)))
    assert b"".join(row[1] for row in rows) == data
    assert all(sum(len(r[1]) for r in rows[:i]) == row[0] for i, row in enumerate(rows))
    out = ["| off | bytes | field | value |", "|---|---|---|---|"]
    out += ["| %d | `%s` | %s | %s |" % (off, spaced(part), name, value) for off, part, name, value in rows]
    size = f.crc_off() - 4
    out += [
        "", "The %d bytes in one piece:" % len(data), "", "```text",
    ]
    out += [spaced(data[i:i + 16]) for i in range(0, len(data), 16)]
    out += [
        "```", "",
        "size is %d, so DIGEST_V1 may be left out. The CRC is %04X. The routing key, BLAKE2b-256 of the first %d bytes, is" % (size, parsed.crc, f.crc_off()), "",
        "```text", parsed.routing_key.hex(), "```", "",
        "so that, for example, the shard of 1,000 is %d." % (int.from_bytes(parsed.routing_key[:8], "big") % 1000),
    ]
    return "\n".join(out) + "\n"


def self_test():
    assert crc16(b"123456789") == 0x29B1
    assert blake2b64(b'{"dim":384,"model_id":"mymodel","pi_id":"mypi","space_id":"myspace"}').hex() == "7aee8adefd1102fe"
    for bits, text in (                         # RFC 8785, appendix B
            ("0000000000000000", "0"), ("8000000000000000", "0"), ("0000000000000001", "5e-324"), ("8000000000000001", "-5e-324"),
            ("7fefffffffffffff", "1.7976931348623157e+308"), ("ffefffffffffffff", "-1.7976931348623157e+308"), ("4340000000000000", "9007199254740992"),
            ("c340000000000000", "-9007199254740992"), ("4430000000000000", "295147905179352830000"), ("44b52d02c7e14af5", "9.999999999999997e+22"),
            ("44b52d02c7e14af6", "1e+23"), ("44b52d02c7e14af7", "1.0000000000000001e+23"), ("444b1ae4d6e2ef4e", "999999999999999700000"),
            ("444b1ae4d6e2ef4f", "999999999999999900000"), ("444b1ae4d6e2ef50", "1e+21"), ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
            ("3eb0c6f7a0b5ed8d", "0.000001"), ("41b3de4355555553", "333333333.3333332"), ("41b3de4355555554", "333333333.33333325"),
            ("41b3de4355555555", "333333333.3333333"), ("41b3de4355555556", "333333333.3333334"), ("41b3de4355555557", "333333333.33333343"),
            ("becbf647612f3696", "-0.0000033333333333333333"), ("43143ff3c1cb0959", "1424953923781206.2")):
        assert es6_number(struct.unpack(">d", bytes.fromhex(bits))[0]) == text, text


def main(arguments):
    results_in = arguments[1] if len(arguments) == 2 and arguments[0] == "--results" else None
    if results_in is None and arguments not in ([], ["--check"], ["--example"]):
        sys.exit(__doc__)
    sys.modules["generate"] = sys.modules[__name__]     # the modules below take the envelope from here
    sys.dont_write_bytecode = True
    if results_in is not None:
        import results
        results.write(HERE, results_in)
        return 0
    import accumulated
    import certificate
    import engram
    import gist
    import ledger
    import mirror
    import stream
    self_test()
    ledger.self_test()
    mirror.self_test()
    certificate.self_test()
    engram.self_test()
    gist.self_test()
    stream.self_test()
    accumulated.self_test()
    if arguments == ["--example"]:
        print(example(), end="")
        return 0
    stale = []
    for name, cases in (("frame", frame_cases()), ("beacon", beacon_cases()), ("context", context_cases()), ("mu16", mu16_cases()),
                        *((name, made()) for name, made in ledger.FILES + mirror.FILES + certificate.FILES + engram.FILES + gist.FILES + stream.FILES + accumulated.FILES)):
        path = os.path.join(HERE, name + ".json")
        text = render(cases)
        if arguments:
            try:
                with open(path, encoding="utf-8", newline="") as file:
                    current = file.read() == text
            except FileNotFoundError:
                current = False
            if not current:
                stale.append(path)
        else:
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            print("%s: %d cases, %d bytes" % (path, len(cases.cases), len(text)))
    if arguments:
        path = os.path.join(os.path.dirname(HERE), "frame.md")
        with open(path, encoding="utf-8", newline="") as file:
            if example() not in file.read():
                stale.append(path + " (worked example)")
    for path in stale:
        print("not current: " + path, file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
