"""Independent reader and writer of gists, and their test vectors.

Made from spec/README.md, spec/frame.md, spec/beacon.md (MU16), spec/mirror.md (elements) and spec/gist.md alone; the envelope is that of generate.py,
which imports this module, the floats are those of mirror.py. As there, the verdicts are stated by hand or follow from the layout a
case was built with, and the reader has to agree with every one of them.
"""

import itertools
import math
import struct
from fractions import Fraction

from generate import (
    BODIES, Bad, CALIB, CHUNK, CONTEXT, Cases, DIGEST, ENGRAM, FLAGS, Frame, GIST, GIST_METADATA, HMAC, INDEX, JsonReader, KEY, Lcg, MARKS, MIRROR, NumberText,
    RESULTS, auto_step, context_text, crc16, f32_finite, f64_hex, jcs, quantise, read_context, read_frame,
)
from ledger import cut_at, fields, with_changes
from mirror import BF16, ELEMENTS, F16, F32, FORMAT, MU16, NAME, SIZE, U32_MAX, U64, decode, dequantised, drawn, encode, foreign, joined, longer_by, of, sealed

# offset and format of GIST_V1's fields
GIS = {
    "n_layers": (0, ">I"), "n_kv_heads": (4, ">I"), "n_gist": (8, ">I"), "head_dim": (12, ">I"), "source_tokens": (16, ">Q"), "source_root": (24, ">32s"),
}
SHAPE = ("n_layers", "n_kv_heads", "n_gist", "head_dim")
NO_ROOT = bytes(32)
ROOT = bytes(range(0x60, 0x80))


# ---------------------------------------------------------------------------------------------------------
# The typed view: the steps are those of "Checks of the gist's view"
# ---------------------------------------------------------------------------------------------------------

class Gist:
    pass


def read_gist(data):
    f = read_frame(data)
    c, off = f.cfg, f.cfg_off
    if c["kind"] != 5:                                          # 1
        raise Bad("Kind", off["kind"])
    tlv = f.find(GIST)
    if not tlv:                                                 # 2
        raise Bad("TlvMissing", f.would_stand(GIST))
    foreign(f, GIST)                                            # 3
    if c["element"] not in SIZE:                                # 4
        raise Bad("Code", off["element"])
    g = Gist()
    g.frame, g.element = f, c["element"]
    for name, value in fields(GIS, tlv.value).items():
        setattr(g, name, value)
    for name in SHAPE:                                          # 5
        if getattr(g, name) < 1:
            raise Bad("Shape", tlv.val_off + GIS[name][0])
    rows = g.n_layers * 2 * g.n_kv_heads * g.n_gist             # 6
    if rows >= U64:
        raise Bad("Size", tlv.val_off)
    if rows != c["rows"]:
        raise Bad("Shape", off["rows"])
    if c["dim"] != g.head_dim:                                  # 7
        raise Bad("Shape", off["dim"])
    length = rows * c["dim"] * SIZE[g.element]                  # 8
    if length >= U64:
        raise Bad("Size", off["payload_len"])
    if length != c["payload_len"]:
        raise Bad("Shape", off["payload_len"])
    metadata = f.find(GIST_METADATA)
    g.metadata = None
    if metadata:                                                # 9
        try:
            g.metadata = metadata.value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Bad("Utf8", metadata.val_off + error.start)
    g.payload = f.payload
    return g


def part(g, values):
    """Of keys or values: for each layer, for each head, its rows."""
    row = g.head_dim * SIZE[g.element]
    out = []
    for layer in range(g.n_layers):
        heads = []
        for head in range(g.n_kv_heads):
            at = ((layer * 2 + values) * g.n_kv_heads + head) * g.n_gist * row
            heads.append(g.payload[at:at + g.n_gist * row].hex())
        out.append(heads)
    return out


def gist_found(g):
    return {
        "element": g.element, "delta_q16": g.frame.cfg["delta_q16"], **{name: getattr(g, name) for name in SHAPE}, "source_tokens": g.source_tokens,
        "source_root": g.source_root.hex(), "metadata": g.metadata, "keys": part(g, 0), "values": part(g, 1),
    }


# ---------------------------------------------------------------------------------------------------------
# What a gist is bound to
# ---------------------------------------------------------------------------------------------------------

def members_but_dim(text):
    try:
        read_context(text)
    except Bad:
        raise Bad("Context", None)
    return {name: jcs(value) for name, value in JsonReader(text.decode("utf-8")).document()[1] if name != "dim"}


def for_model(data, context):
    tlv = read_gist(data).frame.find(CONTEXT)
    if tlv is None or context is None:
        raise Bad("NoContext", None)
    own, other = members_but_dim(tlv.value), members_but_dim(context)
    if own != other:
        raise Bad("ContextDiffers", None)


class ForeignSource(Exception):
    pass


def of_source(data, root, total_tokens):
    g = read_gist(data)
    if g.source_root != root or g.source_root == NO_ROOT:
        raise ForeignSource("the root")
    if g.source_tokens > total_tokens:
        raise ForeignSource("the number of tokens")


# ---------------------------------------------------------------------------------------------------------
# Rows stored
# ---------------------------------------------------------------------------------------------------------

class NonFinite(Exception):
    pass


def store(bits, dim, element, delta_q16):
    """bits: of f32s; delta_q16: None for the automatic step."""
    if element == MU16:
        for i, x in enumerate(bits):
            if not f32_finite(x):
                raise NonFinite(i // dim, i % dim)
        if delta_q16 is None:
            delta_q16 = auto_step(bits, dim)
            if isinstance(delta_q16, dict):
                raise Bad(delta_q16["kind"], None)
        q = [quantise(x, delta_q16) for x in bits]
        payload = struct.pack("<%dh" % len(q), *(x for x, _ in q))
        kept = [dequantised(x, delta_q16) for x, _ in q]
        saturated = sum(over for _, over in q)
    else:
        delta_q16, saturated = 0, 0
        stored = list(bits) if element == F32 else [encode(decode(x, F32), element) for x in bits]
        payload = joined(stored, element)
        kept = [decode(x, element) for x in stored]
    # a finite value never becomes NaN
    pairs = [(a, decode(x, F32)) for a, x in zip(kept, bits) if f32_finite(x)]
    if any(a[1] == "inf" for a, _ in pairs):
        max_error = rms_error = math.inf
    else:
        errors = [abs(number(a) - number(x)) for a, x in pairs]
        max_error = float(max(errors, default=0))
        rms_error = math.sqrt(float(sum(e * e for e in errors) / max(len(errors), 1)))
    return {
        "element": element, "delta_q16": delta_q16, "payload": payload.hex(), "max_error": f64_hex(max_error), "rms_error": f64_hex(rms_error), "saturated": saturated,
    }


def number(value):
    sign, x = value
    return -x if sign else x


# ---------------------------------------------------------------------------------------------------------
# Where the gist tokens are
# ---------------------------------------------------------------------------------------------------------

def run_of(tokens, gists, which):
    at = next((i for i, token in enumerate(tokens) if token in gists), None)
    if at is None:
        raise Bad("NoGists", None)
    end = at
    while end < len(tokens) and tokens[end] in gists:
        end += 1
    if which == "only" and any(token in gists for token in tokens[end:]):
        raise Bad("SplitGists", None)
    return {"start": at, "length": end - at}


# ---------------------------------------------------------------------------------------------------------
# The writer
# ---------------------------------------------------------------------------------------------------------

def gist_value(n_layers=1, n_kv_heads=1, n_gist=1, head_dim=2, source_tokens=0, source_root=NO_ROOT):
    return struct.pack(">IIIIQ32s", n_layers, n_kv_heads, n_gist, head_dim, source_tokens, source_root)


def gist_frame(payload, shape=(1, 1, 1, 2), element=F32, delta_q16=None, context=None, ctx=None, flags=0, metadata=None, source_tokens=0, source_root=NO_ROOT, rows=None,
               **seal):
    delta_q16 = (1024 if element == MU16 else 0) if delta_q16 is None else delta_q16
    n_layers, n_kv_heads, n_gist, head_dim = shape
    if rows is None:
        rows = n_layers * 2 * n_kv_heads * n_gist
    f = Frame(5, element, rows, head_dim, delta_q16, payload, flags, context, ctx)
    f.put(GIST, gist_value(*shape, source_tokens, source_root))
    if metadata is not None:
        f.put(GIST_METADATA, metadata)
    return sealed(f, **seal)


def elements_of(shape):
    return 2 * math.prod(shape)


def random_gist(rng, element, shape, **frame):
    return gist_frame(joined(drawn(rng, element, elements_of(shape)), element), shape, element, **frame)


def base_gist(**more):
    """Two layers, one head, two gists of two f32: 16 elements."""
    return gist_frame(joined(of(F32, *range(1, 17)), F32), (2, 1, 2, 2), **more)


def gis(f, **values):
    for name, value in values.items():
        off, fmt = GIS[name]
        f.poke(GIST, off, struct.pack(fmt, value))
    return f


def gis_off(f, name):
    return f.val(GIST) + GIS[name][0]


# ---------------------------------------------------------------------------------------------------------
# Cases
# ---------------------------------------------------------------------------------------------------------

class GistCases(Cases):
    @staticmethod
    def run(view, data, key):
        assert view == "gist", view
        return gist_found(read_gist(data))

    def ok(self, id_, comment, f, **stated):
        data = f.bytes()
        expect = gist_found(read_gist(data))
        for name, value in stated.items():
            assert expect[name] == value, (id_, name, expect[name], value)
        self.accept("gist-" + id_, comment, data, "gist", expect)

    def no(self, id_, comment, f, kind, offset):
        self.reject("gist-" + id_, comment, f.bytes() if isinstance(f, Frame) else f, "gist", kind, offset)

    def judged(self, case, run, error):
        """error: what is stated, None for accept."""
        try:
            expect = run()
            assert error is None, (case["id"], error)
            case["verdict"] = "accept"
            case["expect"] = expect or {}
        except (Bad, ForeignSource, NonFinite) as wrong:
            found = {
                Bad: lambda: {"kind": wrong.kind, **({} if wrong.offset is None else {"offset": wrong.offset})},
                ForeignSource: lambda: {"kind": "ForeignSource", "what": wrong.args[0]},
                NonFinite: lambda: {"kind": "NonFinite", "row": wrong.args[0], "column": wrong.args[1]},
            }[type(wrong)]()
            assert found == error, (case["id"], error, found)
            case["verdict"] = "reject"
            case["error"] = error
        self.add(case)

    def model(self, id_, comment, f, context, error=None):
        data = f.bytes()
        case = {"id": "model-" + id_, "comment": comment, "view": "model", "hex": data.hex(), "context_hex": None if context is None else context.hex()}
        self.judged(case, lambda: for_model(data, context), error and {"kind": error})

    def source(self, id_, comment, f, root, total_tokens, what=None):
        data = f.bytes()
        case = {"id": "source-" + id_, "comment": comment, "view": "source", "hex": data.hex(), "root": root.hex(), "total_tokens": total_tokens}
        self.judged(case, lambda: of_source(data, root, total_tokens), what and {"kind": "ForeignSource", "what": what})

    def store(self, id_, comment, bits, element, delta_q16=None, shape=None, error=None, **stated):
        """bits: of f32s; delta_q16: of i16, None for the automatic step."""
        shape = shape or (1, 1, 1, len(bits) // 2)
        assert len(bits) == elements_of(shape), id_
        case = {
            "id": "store-" + id_, "comment": comment, "view": "store", **dict(zip(SHAPE, shape)), "x_hex": ["%08x" % x for x in bits], "element": element,
            "delta_q16": delta_q16 if element == MU16 else 0,
        }
        self.judged(case, lambda: store(bits, shape[3], element, delta_q16), error)
        for name, value in stated.items():
            assert case["expect"][name] == value, (id_, name, case["expect"][name], value)

    def run_case(self, id_, comment, tokens, gists, first=None, only=None):
        """first, only: (start, length), or the kind of the error."""
        for which, stated in (("first", first), ("only", only)):
            case = {"id": "run-%s-%s" % (id_, which), "comment": comment, "view": "run", "which": which, "tokens": tokens, "gists": gists}
            error = {"kind": stated} if isinstance(stated, str) else None
            self.judged(case, lambda: run_of(tokens, gists, which), error)
            assert error or case["expect"] == dict(zip(("start", "length"), stated)), id_


def gist_faults():
    return [
        ("kind", lambda f: f.cfg(kind=3), "Kind", lambda f: f.field("kind")),
        ("missing", lambda f: f.drop(GIST), "TlvMissing", lambda f: f.off(GIST)),
        ("foreign", lambda f: f.put(ENGRAM, BODIES[ENGRAM]), "ForeignTlv", lambda f: f.off(ENGRAM)),
        ("element", lambda f: f.cfg(element=4), "Code", lambda f: f.field("element")),
        *(("no-" + name, lambda f, name=name: gis(f, **{name: 0}), "Shape", lambda f, name=name: gis_off(f, name)) for name in SHAPE),
        ("rows-size", lambda f: gis(f, n_layers=U32_MAX, n_kv_heads=U32_MAX, n_gist=U32_MAX), "Size", lambda f: f.val(GIST)),
        ("rows", lambda f: f.cfg(rows=9), "Shape", lambda f: f.field("rows")),
        ("dim", lambda f: f.cfg(dim=3), "Shape", lambda f: f.field("dim")),
        ("payload-len", longer_by(b"\x00"), "Shape", lambda f: f.field("payload_len")),
        ("utf8", lambda f: f.put(GIST_METADATA, b"{\xff}"), "Utf8", lambda f: f.val(GIST_METADATA) + 1),
    ]


def gist_cases():
    c = GistCases("bit-vectors/gist", "spec/gist.md", [
        "Views \"gist\" (every input is given to an exact reader), \"model\" (may the gist be put into the cache of a model of this context?), \"source\" (does it belong to this ledger?), "
        "\"store\" (f32 values as a writer stores them, and what is lost) and \"run\" (where the gist tokens are).",
        "CRC, digest and MAC are good unless the case is about them.",
    ])
    view_cases(c)
    model_cases(c)
    source_cases(c)
    store_cases(c)
    run_cases(c)
    return c


def view_cases(c):
    rng = Lcg(50)
    ok, no = c.ok, c.no
    context = context_text(2, "m", "p", "s")

    for element in ELEMENTS:
        name = NAME[element]
        ok("%s-one" % name, "one layer, one head, one gist of one %s" % name, random_gist(rng, element, (1, 1, 1, 1)), element=element, n_gist=1, head_dim=1)
        ok("%s-all" % name, "three layers, two heads, four gists of five %s" % name, random_gist(rng, element, (3, 2, 4, 5)), n_layers=3, n_kv_heads=2, n_gist=4, head_dim=5)
        ok("%s-context" % name, "with CONTEXT_V1", random_gist(rng, element, (2, 1, 3, 2), context=context), source_tokens=0)
        ok("%s-large" % name, "over 4,093 bytes: with a digest", random_gist(rng, element, (4, 2, 4, 37), context=context_text(37)))
    for shape in ((2, 1, 1, 1), (1, 2, 1, 1), (1, 1, 2, 1), (1, 1, 1, 2), (2, 3, 5, 7), (7, 5, 3, 2), (1, 1, 50, 2), (24, 1, 1, 1), (1, 32, 1, 1)):
        ok("shape-%d-%d-%d-%d" % shape, "%d layers, %d heads, %d gists of %d f16" % shape, random_gist(rng, F16, shape), **dict(zip(SHAPE, shape)))
    # where what stands: the elements are their numbers
    f = gist_frame(joined(list(range(16)), F16), (2, 2, 1, 2), F16)
    ok("order-heads", "layer by layer, in each the keys of all heads, then the values", f, keys=[["00000100", "02000300"], ["08000900", "0a000b00"]],
       values=[["04000500", "06000700"], ["0c000d00", "0e000f00"]])
    f = gist_frame(joined(list(range(16)), F16), (2, 1, 2, 2), F16)
    ok("order-gists", "the gists of a head stand together", f, keys=[["0000010002000300"], ["080009000a000b00"]], values=[["0400050006000700"], ["0c000d000e000f00"]])
    ok("bits", "infinities, NaN of every kind and -0 are carried as they are", gist_frame(joined([0x7C00, 0xFC00, 0x7E00, 0x7C01, 0xFFFF, 0x8000, 0x0001, 0x83FF], F16), (1, 1, 2, 2), F16),
       keys=[["007c00fc007e017c"]], values=[["ffff00800100ff83"]])
    ok("bits-f32", "the same in f32", gist_frame(joined([0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001], F32)), keys=[["0000807f000080ff"]], values=[["0000c07f0100807f"]])
    ok("bits-bf16", "the same in bf16", gist_frame(joined([0x7F80, 0xFF80, 0x7FC0, 0x7F81], BF16), element=BF16), keys=[["807f80ff"]], values=[["c07f817f"]])
    ok("step-min", "i16 with the smallest step", gist_frame(b"\xff\x7f\x00\x80\x01\x00\xff\xff", element=MU16, delta_q16=1), delta_q16=1, keys=[["ff7f0080"]])
    ok("step-max", "i16 with the largest step", gist_frame(b"\xff\x7f\x00\x80\x01\x00\xff\xff", element=MU16, delta_q16=U32_MAX), delta_q16=U32_MAX)
    for tokens in (1, 2, 4096, 2 ** 32, U64 - 1):
        ok("tokens-%d" % tokens, "source_tokens %d" % tokens, base_gist(source_tokens=tokens), source_tokens=tokens)
    ok("tokens-fewer", "fewer source_tokens than gists", base_gist(source_tokens=1), source_tokens=1, n_gist=2)
    ok("root", "a root and no number of tokens", base_gist(source_root=ROOT), source_root=ROOT.hex(), source_tokens=0)
    ok("root-tokens", "a root and the number of tokens", base_gist(source_root=ROOT, source_tokens=1000), source_root=ROOT.hex(), source_tokens=1000)
    ok("root-ff", "a root of ones", base_gist(source_root=b"\xff" * 32))
    for name, text in (("empty", b""), ("object", b'{"model_name":"toy","num_gist_tokens":2}'), ("spaces", b' {\n  "a" : 1.50 ,"a":2}\r\n'), ("not-json", b"[1,"), ("text", b"no JSON"),
                       ("nul", b"\x00\x01\x7f"), ("korean", "{\"질문\":\"답\"}".encode()), ("emoji", "\U0001f600\u00e9".encode()), ("last", "\U0010ffff\ud7ff\ue000\uffff\u0800\u0080".encode()),
                       ("bom", "\ufeff{}".encode()), ("shape", b'{"num_layers":9,"num_gist_tokens":9}'), ("html", b'{"a":"\\u001b[31m<b>"}')):
        ok("metadata-" + name, "GIST_METADATA_V1: text, whatever it says", base_gist(metadata=text), metadata=text.decode(), n_layers=2, n_gist=2)
    ok("metadata-long", "GIST_METADATA_V1 of 5,000 bytes: a large frame", base_gist(metadata=b"{" + b" " * 4998 + b"}"))
    ok("no-flags", "FLAGS_V1 left out", base_gist(flags=None))
    ok("flags", "flags of the beacon and ignored bits", base_gist(flags=0xFFFF0006))
    ok("skipped", "unknown TLVs and LEDGER_MARKS_V1 are not of 03-7F", base_gist().put(0x90, b"?").put(0x83, b"\xff").put(MARKS, bytes(4)))
    for align in (None, 1, 64):
        f = base_gist(context=context, metadata=b"{}", source_tokens=3, source_root=ROOT, digest=True, key=KEY, align=align)
        assert align is None or f.payload_off() % align == 0
        ok("everything-%s" % align, "context, metadata, source, digest and MAC" + (", and pad" if align else ""), f)
    ok("hmac", "a MAC alone", base_gist(key=KEY))
    ok("digest", "a digest of a small frame", base_gist(digest=True))
    ok("pad", "pad alone", base_gist(align=64))
    ok("mac-wrong", "HMAC_V1, which the view does not verify", base_gist(key=KEY).poke(HMAC, 1, bytes(32)))
    ok("context-other-dim", "the context's dim is not the view's to check", base_gist(context=context_text(3)))
    ok("context-more", "further members of the context", base_gist(context=context_text(2, "m", rope="ntk", weights="00ff")))
    ok("context-not-json", "CONTEXT_V1 as a value is not the view's to check", base_gist(context=b"no JSON"))

    # --- one fault, and two ----------------------------------------------------------------------------------
    base = base_gist()
    faults = gist_faults()
    for fault in faults:
        f = with_changes(base, [fault])
        no(fault[0], "one fault: " + fault[0], f, fault[2], fault[3](f))
    for one, other in itertools.combinations(faults, 2):
        f = with_changes(base, [one, other])
        no("both-%s-%s" % (one[0], other[0]), "two faults: the first of the order counts", f, one[2], one[3](f))
    f = with_changes(base, faults)
    no("all", "all of them", f, "Kind", f.field("kind"))
    f = with_changes(base, faults[1:])
    no("all-but-kind", "all but the kind", f, "TlvMissing", f.off(GIST))
    f = with_changes(base, faults[2:])
    no("all-but-missing", "all from the foreign TLV on", f, "ForeignTlv", f.off(ENGRAM))
    f = base.copy().cfg(kind=3).flag(0x10)
    no("both-frame-kind", "the frame's checks come before: the flags, then the kind", f, "FlagBits", f.val(FLAGS))
    data = base.copy().cfg(kind=3).bytes()
    no("both-trailing-kind", "the frame's checks come before: what follows, then the kind", data + b"\x00", "TrailingBytes", len(data))
    f = base.copy().cfg(rows=9).put(GIST_METADATA, b"\xff")
    f.ctx = bytes(8)
    f.put(CONTEXT, context)
    no("both-context-rows", "the context's hash, then the rows", f, "ContextHash", f.val(CONTEXT))

    # --- kind and TLVs ---------------------------------------------------------------------------------------
    for kind in (0, 1, 2, 3, 4, 6, 7, 8, 255):
        f = base.copy().cfg(kind=kind)
        if kind == 1:
            f.seal(True)
        no("kind-%d" % kind, "kind %d" % kind, f, "Kind", f.field("kind"))
    for type_ in (CALIB, RESULTS, CHUNK, INDEX, MIRROR):
        f = base.copy().put(type_, BODIES[type_])
        no("foreign-%02x" % type_, "a TLV of another kind", f, "ForeignTlv", f.off(type_))
    f = base.copy().put(MIRROR, BODIES[MIRROR]).put(ENGRAM, BODIES[ENGRAM])
    no("foreign-two", "one before and one after: the first counts", f, "ForeignTlv", f.off(MIRROR))
    f = base_gist(context=context).drop(GIST)
    no("missing-context", "GIST_V1 is missing: it would stand before CONTEXT_V1", f, "TlvMissing", f.off(CONTEXT))
    f = base.copy().drop(GIST).put(MIRROR, BODIES[MIRROR])
    no("missing-mirror", "it would stand after MIRROR_V1", f, "TlvMissing", f.off(GIST))
    f = base.copy().drop(GIST).put(ENGRAM, BODIES[ENGRAM])
    no("missing-engram", "it would stand before ENGRAM_INDEX_V1", f, "TlvMissing", f.off(ENGRAM))
    f = base_gist(metadata=b"{}").drop(GIST)
    no("missing-metadata", "metadata does not stand for it", f, "TlvMissing", f.off(GIST_METADATA))
    for n in (0, 16, 55, 57):
        f = base.copy().put(GIST, (base.item(GIST)[1] + b"\x00")[:n])
        no("length-%d" % n, "GIST_V1 of %d bytes is the frame's to refuse" % n, f, "TlvLength", f.off(GIST) + 1)
    f = base.copy()
    f.insert([item[0] for item in f.items].index(GIST), GIST, f.item(GIST)[1])
    no("twice", "GIST_V1 twice", f, "TlvOrder", f.off(GIST) + 59)
    f = base_gist(metadata=b"{}")
    f.insert([item[0] for item in f.items].index(GIST_METADATA), GIST_METADATA, b"{}")
    no("metadata-twice", "GIST_METADATA_V1 twice", f, "TlvOrder", f.off(GIST_METADATA) + 5)
    f = base.copy()
    f.insert([item[0] for item in f.items].index(GIST), GIST_METADATA, b"{}")
    no("metadata-first", "GIST_METADATA_V1 before GIST_V1", f, "TlvOrder", f.off_at(3))

    # --- elements and steps ----------------------------------------------------------------------------------
    for element in (0, 2, 3, 4, 8, 9):
        f = base.copy().cfg(element=element)
        no("element-%d" % element, "element %d" % element, f, "Code", f.field("element"))
    f = base.copy().cfg(element=10)
    no("element-10", "element 10 is the frame's to refuse", f, "Element", f.field("element"))
    f = base.copy().cfg(element=1)
    no("step-missing", "i16 without a step is the frame's to refuse", f, "DeltaQ16", f.field("delta_q16"))
    f = base.copy().cfg(delta_q16=1)
    no("step-of-f32", "f32 with a step is the frame's to refuse", f, "DeltaQ16", f.field("delta_q16"))
    f = base.copy().cfg(reserved=1)
    no("reserved", "reserved of CONFIG_V1 is the frame's to refuse", f, "Reserved", f.field("reserved"))
    for one, other in itertools.permutations((MU16, F16, F32), 2):
        f = gist_frame(bytes(4 * SIZE[one]), element=other)
        if SIZE[one] != SIZE[other]:
            no("%s-as-%s" % (NAME[one], NAME[other]), "the payload of the one with the element of the other", f, "Shape", f.field("payload_len"))

    # --- the shape -------------------------------------------------------------------------------------------
    for names in itertools.combinations(SHAPE, 2):
        f = gis(base.copy(), **dict.fromkeys(names, 0))
        no("no-%s-%s" % names, "two of the shape are 0: the first counts", f, "Shape", gis_off(f, names[0]))
    f = gis(base.copy(), **dict.fromkeys(SHAPE, 0))
    no("no-shape", "all of the shape is 0", f, "Shape", gis_off(f, "n_layers"))
    f = gis(base.copy(), **dict.fromkeys(SHAPE, 0)).cfg(rows=0, dim=0, payload_len=0)
    f.payload = b""
    no("nothing", "nothing at all", f, "Shape", gis_off(f, "n_layers"))
    f = gis(base.copy(), n_gist=0).cfg(rows=0, payload_len=0)
    f.payload = b""
    no("no-gists", "no gists, in agreement", f, "Shape", gis_off(f, "n_gist"))
    f = gis(base.copy(), head_dim=0).cfg(dim=0, payload_len=0)
    f.payload = b""
    no("no-columns", "no columns, in agreement", f, "Shape", gis_off(f, "head_dim"))
    for name, rows in (("0", 0), ("less", 7), ("half", 4), ("more", 9), ("double", 16), ("max", U32_MAX)):
        f = base.copy().cfg(rows=rows)
        no("rows-" + name, "rows %d, not 8" % rows, f, "Shape", f.field("rows"))
    for dim in (0, 1, 3, U32_MAX):
        f = base.copy().cfg(dim=dim)
        no("dim-%d" % dim, "dim %d, head_dim 2" % dim, f, "Shape", f.field("dim"))
    f = gis(base.copy(), n_gist=1).cfg(dim=4, rows=4)
    no("dim-swapped", "as many elements in other rows", f, "Shape", f.field("dim"))
    for name, payload in (("none", b""), ("less", bytes(60)), ("byte-less", bytes(63)), ("byte-more", bytes(65)), ("double", bytes(128)), ("keys", bytes(32))):
        f = gist_frame(payload, (2, 1, 2, 2))
        no("payload-" + name, "%d bytes, not 64" % len(payload), f, "Shape", f.field("payload_len"))
    # every bit of the shape's fields, the frame made good
    for name in SHAPE:
        for bit in range(0, 32, 1 if name == "n_gist" else 5):
            f = base.copy()
            value = fields(GIS, f.item(GIST)[1])[name] ^ 1 << bit
            gis(f, **{name: value})
            at = gis_off(f, name) if value == 0 else f.field("dim" if name == "head_dim" else "rows")
            no("bit-%s-%d" % (name, bit), "bit %d of %s, the CRC made good" % (bit, name), f, "Shape", at)

    # --- products over 64 bits, those that wrap round among them ---------------------------------------------
    def sizes(n_layers, n_kv_heads, n_gist, head_dim=2):
        return dict(zip(SHAPE, (n_layers, n_kv_heads, n_gist, head_dim)))

    one, other = 1380655685, 3340214413
    assert one * other == 2 ** 62 + 1
    for id_, comment, shape, rows in (
            ("max", "the largest of all", (U32_MAX, U32_MAX, U32_MAX), 8), ("max-two", "the largest of two, and one gist", (U32_MAX, U32_MAX, 1), 8),
            ("max-two-heads", "the same with heads and gists", (1, U32_MAX, U32_MAX), 8), ("max-two-layers", "the same with layers and gists", (U32_MAX, 1, U32_MAX), 8),
            ("wraps-to-0", "2^64 rows, and there are 0", (2 ** 31, 2 ** 31, 2), 0), ("wraps-to-0-gists", "2^64 rows by 2^31 gists", (2, 2 ** 31, 2 ** 31), 0),
            ("wraps-to-4", "2^64 + 4 rows, and there are 4", (one, other, 2), 4), ("wraps-to-4-gists", "the same with the factors in another order", (2, one, other), 4),
            ("wraps-twice", "2^94 rows, and there are 0", (2 ** 31, 2 ** 31, 2 ** 31), 0)):
        assert 2 * math.prod(shape) >= U64
        f = gis(base.copy(), **sizes(*shape)).cfg(rows=rows)
        no("size-rows-" + id_, comment, f, "Size", f.val(GIST))
    for id_, comment, shape, rows in (
            ("2-32", "2^32 + 8 rows are not 8", (2 ** 31 + 4, 1, 1), 8), ("2-32-heads", "the same with heads", (1, 2 ** 31 + 4, 1), 8), ("2-32-gists", "the same with gists", (1, 1, 2 ** 31 + 4), 8),
            ("2-32-0", "2^32 rows are not 0", (2 ** 16, 1, 2 ** 15), 0), ("2-33", "2^33 + 8 rows are not 8", (2, 1, 2 ** 31 + 2), 8), ("2-63", "2^63 rows are not 0", (2 ** 31, 2 ** 31, 1), 0),
            ("2-34", "2^34 + 8 rows are not 8", (4, 1, 2 ** 31 + 1), 8),
            ("fits", "2^64 - 3 * 2^32 + 2 rows still fit 64 bits", (U32_MAX, 2 ** 31 - 1, 1), 8), ("fits-gists", "the same with gists", (2 ** 31 - 1, 1, U32_MAX), 8),
            ("max-layers", "the largest n_layers alone", (U32_MAX, 1, 1), U32_MAX - 1)):
        assert 2 * math.prod(shape) < U64 and 2 * math.prod(shape) != rows
        f = gis(base.copy(), **sizes(*shape)).cfg(rows=rows)
        no("rows-mod-" + id_, comment, f, "Shape", f.field("rows"))
    for id_, comment, element, gists, dim, payload, kind in (
            ("max", "the most rows and the largest dim", F32, 2 ** 31 - 1, U32_MAX, b"", "Size"), ("i16", "the same in i16", MU16, 2 ** 31 - 1, U32_MAX, b"", "Size"),
            ("f16", "the same in f16", F16, 2 ** 31 - 1, U32_MAX, b"", "Size"),
            ("wraps-to-0", "2^64 bytes, and there are 0", F32, 2 ** 30, 2 ** 31, b"", "Size"),
            ("fits", "2^64 - 2^33 bytes still fit", F32, 2 ** 31 - 1, 2 ** 30, b"", "Shape"), ("over", "the next dim does not", F32, 2 ** 31 - 1, 2 ** 30 + 1, b"", "Size"),
            ("fits-f16", "2^64 - 2^33 bytes of f16 still fit", F16, 2 ** 31 - 1, 2 ** 31, b"", "Shape"), ("fits-f16-most", "2^64 - 4 bytes do, too", F16, 2 ** 31 - 1, 2 ** 31 + 1, b"", "Shape"), ("over-f16", "the next dim of f16 does not", F16, 2 ** 31 - 1, 2 ** 31 + 2, b"", "Size"),
            ("mod-2-32", "2^32 + 32 bytes are not 32", F32, 1, 2 ** 29 + 4, bytes(32), "Shape"), ("mod-2-32-0", "2^32 bytes are not 0", F16, 2 ** 14, 2 ** 16, b"", "Shape")):
        f = gist_frame(payload, (1, 1, gists, dim), element)
        assert (2 * gists * dim * SIZE[element] >= U64) == (kind == "Size"), id_
        no("size-bytes-" + id_, comment, f, kind, f.field("payload_len"))
    gists, dim = 1073807362, 2147352580
    assert 2 * gists * dim * 4 == 2 ** 64 + 64
    f = gist_frame(bytes(64), (1, 1, gists, dim))
    no("size-bytes-wraps-to-64", "2^64 + 64 bytes, and there are 64", f, "Size", f.field("payload_len"))

    # --- metadata --------------------------------------------------------------------------------------------
    for name, text, at in (
            ("ff", b"\xff", 0), ("continuation", b"\x80", 0), ("cut-2", b"ab\xc3", 2), ("cut-3", b"ab\xe2\x82", 2), ("cut-4", b"\xf0\x9f\x98", 0), ("overlong", b"a\xc0\x80", 1),
            ("overlong-3", b"\xe0\x80\x80", 0), ("overlong-4", b"\xf0\x80\x80\x80", 0), ("surrogate", b"{}\xed\xa0\x80", 2), ("too-high", b"\xf4\x90\x80\x80", 0), ("f5", b"\xf5\x80\x80\x80", 0),
            ("middle", b'{"a":"\xe2\x82"}', 6), ("latin-1", '{"é":1}'.encode("latin-1"), 2), ("utf-16", "{}".encode("utf-16-le") + b"\xff\xfe", 4), ("after-korean", "가".encode() + b"\xea\xb0", 3),
            ("two", b"\x20\xfe\x20\xff", 1)):
        f = base_gist(metadata=text)
        no("utf8-" + name, "GIST_METADATA_V1 is not UTF-8", f, "Utf8", f.val(GIST_METADATA) + at)
    f = base_gist(metadata=b"{\xff", context=context, key=KEY, align=64)
    no("utf8-signed", "the same with a MAC", f, "Utf8", f.val(GIST_METADATA) + 1)
    f = base_gist(metadata=b" " * 5000 + b"\xff")
    no("utf8-long", "after 5,000 bytes", f, "Utf8", f.val(GIST_METADATA) + 5000)

    # --- the envelope ----------------------------------------------------------------------------------------
    data = base.bytes()
    no("trailing", "a byte follows", data + b"\x00", "TrailingBytes", len(data))
    no("trailing-gist", "a gist follows", data + data, "TrailingBytes", len(data))
    no("crc", "a wrong CRC", base.bytes(crc16(base.body()) ^ 1), "Crc", base.crc_off())
    f = random_gist(rng, F32, (4, 2, 4, 32), source_root=ROOT)
    g = f.copy().drop(DIGEST)
    no("large-no-digest", "large without a digest", g, "DigestMissing", g.payload_off() - 3)
    g = f.copy()
    g.payload = g.payload[:-1] + bytes([g.payload[-1] ^ 1])
    no("large-bit", "a bit of the last element, the CRC made good", g, "Digest", g.val(DIGEST) + 1)
    g = gis(f.copy(), source_tokens=7)
    no("large-source", "source_tokens is under the digest", g, "Digest", g.val(DIGEST) + 1)
    g = f.copy().put(GIST_METADATA, b"{}")
    no("large-metadata", "metadata put in is under the digest", g, "Digest", g.val(DIGEST) + 1)
    g = base_gist(key=KEY).drop(HMAC)
    no("mac-removed", "the MAC taken out", g, "FlagsHmac", g.val(FLAGS))
    short = gist_frame(joined(of(F16, 1, 2), F16), (1, 1, 1, 1), F16, source_tokens=5, source_root=ROOT, metadata=b"{}")
    data = short.bytes()
    ok("short", "the one that is cut and flipped", short)
    for n in range(len(data)):
        no("cut-%03d" % n, "the first %d of %d bytes" % (n, len(data)), data[:n], "Truncated", cut_at(short, n))
    # one bit of each byte that decides nothing before the CRC
    lengths = {short.off_at(i) + k for i in range(len(short.items)) for k in (0, 1, 2)} | set(range(short.field("payload_len"), short.field("payload_len") + 8))
    for at in range(len(data)):
        if at not in lengths:
            wrong = data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1:]
            no("flip-%03d" % at, "bit %d of byte %d" % (at % 8, at), wrong, *(("Magic", 0) if at < 4 else ("Crc", short.crc_off())))


def model_cases(c):
    def ids(dim=2, **more):
        return context_text(dim, "llama", "pi", "space", **more)

    def gist(context, **more):
        return base_gist(context=context, **more)

    def both(id_, comment, one, other, error=None):
        c.model(id_, comment, gist(one), other, error)
        c.model(id_ + "-turned", comment + ", the other way round", gist(other), one, error)

    c.model("same", "the same context", gist(ids()), ids())
    for dim in (0, 1, 3, 128, 4096, U32_MAX):
        c.model("dim-%d" % dim, "the model's dim is %d" % dim, gist(ids()), ids(dim))
    c.model("signed", "with metadata, source, digest and MAC", gist(ids(), metadata=b"{}", source_root=ROOT, key=KEY, digest=True), ids(64))
    c.model("no-ids", "contexts without ids", gist(context_text(2)), context_text(64))
    nested = ("object", [("dim", NumberText("7")), ("theta", NumberText("10000"))])
    array = ("array", [NumberText("1"), "dim", nested, None, True, False, ("array", []), ("object", [])])
    more = {"a": nested, "dima": array, "dil": "x", "kv": "f16", "z": NumberText("-5")}
    both("more", "further members, nested ones among them", ids(**more), ids(9, **more))
    both("before-dim", "a member before dim", ids(**{"": "", "a": "b", "D": "1"}), ids(77, **{"": "", "a": "b", "D": "1"}))
    both("dim-last", "a member dim in another does not stand for it", ids(zz=nested), ids(100, zz=nested))
    both("text-of-dim", "a string that looks like a member", ids(a=',"dim":2,', b='"dim":2', c="\\", d='\\"'), ids(5, a=',"dim":2,', b='"dim":2', c="\\", d='\\"'))
    both("unicode", "names and strings of all kinds", ids(**{"모델": "가", "\U0001f600": "\u0001", "\ufb33": "\"\\/", "é": "\x7f"}), ids(3, **{"모델": "가", "\U0001f600": "\u0001", "\ufb33": "\"\\/", "é": "\x7f"}))
    # --- other models
    for name in ("model_id", "pi_id", "space_id"):
        given = {"model_id": "llama", "pi_id": "pi", "space_id": "space"}
        both("other-" + name.replace("_", "-"), "another " + name, ids(), context_text(2, **dict(given, **{name: given[name] + "2"})), "ContextDiffers")
        both("empty-" + name.replace("_", "-"), "an empty " + name, ids(), context_text(2, **dict(given, **{name: ""})), "ContextDiffers")
    both("one-more", "a member more on one side", ids(), ids(rope="ntk"), "ContextDiffers")
    both("one-more-first", "a member more before dim", ids(), ids(a="1"), "ContextDiffers")
    both("one-more-empty", "a member more with an empty name", ids(), ids(**{"": ""}), "ContextDiffers")
    both("other-name", "a member of another name", ids(a="x"), ids(b="x"), "ContextDiffers")
    both("other-type", "the number 1 is not the string 1", ids(a=NumberText("1")), ids(a="1"), "ContextDiffers")
    both("other-null", "null is not false", ids(a=None), ids(a=False), "ContextDiffers")
    both("null-absent", "null is not absent", ids(a=None), ids(), "ContextDiffers")
    both("other-nested-dim", "a member dim inside another is compared", ids(a=nested), ids(a=("object", [("dim", NumberText("8")), ("theta", NumberText("10000"))])), "ContextDiffers")
    both("other-array", "arrays have an order", ids(a=("array", ["x", "y"])), ids(a=("array", ["y", "x"])), "ContextDiffers")
    both("other-case", "ids are compared letter by letter", ids(), context_text(2, "Llama", "pi", "space"), "ContextDiffers")
    both("other-form", "text is not normalised", ids(a="\u00e9"), ids(a="e\u0301"), "ContextDiffers")
    both("prefix", "one id is the start of the other", context_text(2, "a", "b", "c"), context_text(2, "a", "b", "cd"), "ContextDiffers")
    both("moved", "the same letters in other members", context_text(2, "ab", "c", "d"), context_text(2, "a", "bc", "d"), "ContextDiffers")
    both("dim-and-id", "dim and an id differ", ids(), context_text(5, "other", "pi", "space"), "ContextDiffers")
    both("Dim", "a member Dim is another than dim", ids(Dim=NumberText("2")), ids(Dim=NumberText("3")), "ContextDiffers")
    both("dim2", "a member dim2 is another than dim", ids(dim2=NumberText("2")), ids(dim2=NumberText("3")), "ContextDiffers")
    both("di", "a member di is another than dim", ids(di=NumberText("2")), ids(di=NumberText("3")), "ContextDiffers")
    # --- no context
    c.model("none-gist", "the gist has no context", base_gist(), ids(), "NoContext")
    c.model("none-gist-ctx", "the gist has no context, but the ctx of the model's", base_gist(ctx=gist(ids()).ctx), ids(), "NoContext")
    c.model("none-model", "the model has none", gist(ids()), None, "NoContext")
    c.model("none", "neither has one", base_gist(), None, "NoContext")
    # --- not canonical
    good = b'{"dim":2,"model_id":"llama","pi_id":"pi","space_id":"space"}'
    assert good == ids()
    for name, text in (
            ("space", b'{"dim":2, "model_id":"llama","pi_id":"pi","space_id":"space"}'), ("order", b'{"model_id":"llama","dim":2,"pi_id":"pi","space_id":"space"}'),
            ("order-rest", b'{"dim":2,"pi_id":"pi","model_id":"llama","space_id":"space"}'), ("newline", good + b"\n"), ("first-space", b" " + good),
            ("escape", b'{"dim":2,"model_id":"\\u006clama","pi_id":"pi","space_id":"space"}'), ("escape-name", b'{"d\\u0069m":2,"model_id":"llama","pi_id":"pi","space_id":"space"}'),
            ("twice", b'{"dim":2,"dim":2,"model_id":"llama","pi_id":"pi","space_id":"space"}'), ("twice-id", b'{"dim":2,"model_id":"llama","model_id":"llama","pi_id":"pi","space_id":"space"}'),
            ("number", b'{"dim":2.0,"model_id":"llama","pi_id":"pi","space_id":"space"}'), ("exponent", b'{"dim":2e0,"model_id":"llama","pi_id":"pi","space_id":"space"}'),
            ("cut", good[:-1]), ("not-json", b"llama"), ("array", b"[" + good + b"]"), ("empty", b""), ("more", good + good), ("comma", good[:-1] + b",}"),
            ("slash", b'{"dim":2,"model_id":"llama","pi_id":"pi","space_id":"space","z":"\\/"}'), ("upper", b'{"dim":2,"model_id":"llama","pi_id":"pi","space_id":"space","z":"\\u001F"}'),
            ("surrogate", b'{"dim":2,"model_id":"llama","pi_id":"pi","space_id":"space","z":"\\ud800"}'), ("utf8", b'{"dim":2,"model_id":"llama","pi_id":"pi","space_id":"space","z":"\xff"}'),
            ("nested", b'{"dim":2,"model_id":"llama","pi_id":"pi","space_id":"space","z":{"b":1,"a":2}}'), ("nested-twice", b'{"dim":2,"model_id":"llama","pi_id":"pi","space_id":"space","z":{"a":1,"a":1}}'),
            ("fraction", b'{"dim":2,"model_id":"llama","pi_id":"pi","space_id":"space","z":0.5}'), ("no-dim", b'{"model_id":"llama","pi_id":"pi","space_id":"space"}'),
            ("no-space-id", b'{"dim":2,"model_id":"llama","pi_id":"pi"}'), ("dim-text", b'{"dim":"2","model_id":"llama","pi_id":"pi","space_id":"space"}')):
        c.model("canonical-gist-" + name, "the gist's context is no canonical context", gist(text), good, "Context")
        c.model("canonical-model-" + name, "the model's context is no canonical context", gist(good), text, "Context")
        c.model("canonical-both-" + name, "both are the same bytes, but no canonical context", gist(text), text, "Context")


def source_cases(c):
    full = base_gist(source_tokens=1000, source_root=ROOT)
    c.source("same", "the root, and as many tokens", full, ROOT, 1000)
    c.source("more", "a ledger of more tokens", full, ROOT, 1001)
    c.source("most", "a ledger of the most tokens", full, ROOT, U64 - 1)
    c.source("unknown", "the number of tokens is not known", base_gist(source_root=ROOT), ROOT, 0)
    c.source("largest", "the largest number of both", base_gist(source_root=ROOT, source_tokens=U64 - 1), ROOT, U64 - 1)
    c.source("signed", "with metadata, context, digest and MAC", base_gist(source_root=ROOT, source_tokens=7, metadata=b"{}", context=context_text(2), key=KEY, digest=True), ROOT, 7)
    c.source("fewer", "a ledger of fewer tokens", full, ROOT, 999, "the number of tokens")
    c.source("empty", "an empty ledger", full, ROOT, 0, "the number of tokens")
    c.source("one-over", "one over the largest", base_gist(source_root=ROOT, source_tokens=U64 - 1), ROOT, U64 - 2, "the number of tokens")
    for at in (0, 7, 8, 15, 16, 31):
        for bit in (1, 0x80):
            wrong = ROOT[:at] + bytes([ROOT[at] ^ bit]) + ROOT[at + 1:]
            c.source("root-%d-%d" % (at, bit), "a bit of byte %d of the root" % at, full, wrong, 1000, "the root")
    c.source("both", "another root and fewer tokens: the root counts", full, bytes(range(32)), 5, "the root")
    c.source("zeros", "the gist names no source", base_gist(source_tokens=1000), ROOT, 1000, "the root")
    c.source("zeros-both", "no source is not the source of zeros", base_gist(source_tokens=1000), NO_ROOT, 1000, "the root")
    c.source("zeros-ledger", "a root of zeros", full, NO_ROOT, 1000, "the root")
    c.source("zeros-tokens", "no source and too many tokens: the root counts", base_gist(source_tokens=1000), NO_ROOT, 1, "the root")


def store_cases(c):
    rng = Lcg(500)

    def f32(*numbers):
        return of(F32, *numbers)

    def near_f32(x):
        return struct.unpack(">I", struct.pack(">f", x))[0]

    for element in ELEMENTS:
        name = NAME[element]
        for shape in ((1, 1, 1, 1), (2, 1, 2, 3), (1, 2, 3, 4), (3, 2, 1, 17), (1, 1, 4, 64)):
            c.store("%s-%d-%d-%d-%d" % (name, *shape), "pseudo-random values", drawn(rng, F32, elements_of(shape)), element, shape=shape)
        for i, spread in enumerate((1, 16, 28)):
            c.store("%s-spread-%d" % (name, spread), "values of %d powers of two" % spread, drawn(rng, F32, 24, spread), element, shape=(1, 1, 3, 4))
        c.store("%s-zeroes" % name, "zeroes of both signs", f32(0, "-0", "-0", 0), element)
        c.store("%s-exact" % name, "values that lose nothing", f32(1, -1, 2, Fraction(1, 2)) if element != MU16 else f32(1, -1, 2, 0), element, 65536 if element == MU16 else None,
                max_error=f64_hex(0.0), rms_error=f64_hex(0.0), saturated=0)
    # halves
    c.store("f16-ties", "halves to even", f32(2049, 2051, -2049, -2051, 4098, 4102), F16, payload=joined(of(F16, 2048, 2052, -2048, -2052, 4096, 4104), F16).hex(), max_error=f64_hex(2.0))
    c.store("bf16-ties", "halves to even", f32(257, 259, -257, -259), BF16, payload=joined(of(BF16, 256, 260, -256, -260), BF16).hex(), max_error=f64_hex(1.0), rms_error=f64_hex(1.0))
    c.store("i16-ties", "halves to even", f32(Fraction(1, 2), Fraction(3, 2), Fraction(-1, 2), Fraction(-3, 2), Fraction(5, 2), 0), MU16, 65536, payload=joined([0, 2, 0, 65534, 2, 0], MU16).hex(),
            max_error=f64_hex(0.5), saturated=0)
    c.store("f16-near-ties", "just off a half", [near_f32(2049) + 1, near_f32(2049) - 1, near_f32(2051) + 1, near_f32(2051) - 1], F16, payload=joined(of(F16, 2050, 2048, 2052, 2050), F16).hex())
    c.store("bf16-near-ties", "just off a half", [0x3F808000, 0x3F808001, 0x3F807FFF, 0x3F818000], BF16, payload=joined([0x3F80, 0x3F81, 0x3F80, 0x3F82], BF16).hex())
    c.store("f16-subnormal", "subnormals of f16", f32(Fraction(1, 2 ** 24), Fraction(1, 2 ** 25), Fraction(3, 2 ** 25), Fraction(-1, 2 ** 25), Fraction(1, 2 ** 14), Fraction(1023, 2 ** 24)), F16,
            payload=joined([1, 0, 2, 0x8000, 0x0400, 0x03FF], F16).hex())
    c.store("f16-tiny", "subnormals of f32 are zeroes in f16", [1, 0x80000001, 0x007FFFFF, 0x807FFFFF], F16, payload=joined([0, 0x8000, 0, 0x8000], F16).hex())
    c.store("bf16-subnormal", "subnormals of f32 in bf16", [1, 0x8000, 0x18000, 0x807FFFFF], BF16, payload=joined([0, 0, 2, 0x8080], BF16).hex())
    c.store("f32-bits", "f32 keeps every bit", [1, 0x80000001, 0x7F7FFFFF, 0xFF7FFFFF], F32, payload="01000000" "01000080" "ffff7f7f" "ffff7fff", max_error=f64_hex(0.0))
    c.store("f16-largest", "the largest of f16, and just below half a step beyond", [near_f32(65504), near_f32(65520) - 1], F16, payload=joined(of(F16, 65504, 65504), F16).hex())
    c.store("f16-overflow", "half a step beyond the largest is infinity", f32(65520, -65520, 1, 100000), F16, payload=joined(of(F16, "inf", "-inf", 1, "inf"), F16).hex(), max_error=f64_hex(math.inf))
    c.store("bf16-overflow", "the largest f32 is infinity in bf16", [0x7F7FFFFF, 0xFF7FFFFF, 0x7F7F0000, 0x7F7F7FFF], BF16, payload=joined([0x7F80, 0xFF80, 0x7F7F, 0x7F7F], BF16).hex())
    for element, nan in ((F16, 0x7E00), (BF16, 0x7FC0)):
        inf = of(element, "inf")[0]
        c.store("%s-nan" % NAME[element], "every NaN becomes one; infinities stay", [0x7FC00000, 0x7F800001, 0xFFC00000, 0xFF800001, 0x7FFFFFFF, 0x7F800000, 0xFF800000, 0], element,
                payload=joined([nan, nan, nan, nan, nan, inf, inf | 0x8000, 0], element).hex())
    c.store("f32-nan", "f32 keeps every NaN", [0x7FC00000, 0x7F800001, 0xFFC00000, 0xFF800001, 0x7F800000, 0xFF800000], F32,
            payload=joined([0x7FC00000, 0x7F800001, 0xFFC00000, 0xFF800001, 0x7F800000, 0xFF800000], F32).hex())
    for element in (F16, BF16, F32):
        values = drawn(rng, F32, 24)
        values[5], values[11], values[23] = 0x7FC00001, 0xFF800000, 0x7F800000
        c.store("%s-some-nan" % NAME[element], "values that are not finite count for nothing in the errors", values, element, shape=(1, 1, 3, 4))
        c.store("%s-all-nan" % NAME[element], "no value is finite", [0x7FC00000, 0xFF800000], element, shape=(1, 1, 1, 1), max_error=f64_hex(0.0), rms_error=f64_hex(0.0), saturated=0)
    c.store("f16-overflow-nan", "one becomes infinite, another was", f32(70000, "inf", "nan", 1), F16, max_error=f64_hex(math.inf), rms_error=f64_hex(math.inf), saturated=0)
    # MU16
    for delta in (1, 3, 1000, 1024, 65537, U32_MAX):
        c.store("i16-step-%d" % delta, "a step of %d" % delta, drawn(rng, F32, 24, 12), MU16, delta, shape=(1, 1, 3, 4))
    c.store("i16-saturated", "beyond the range of the step", f32(Fraction(32767, 64), 512, -512, -513, 100000, -100000), MU16, 1024, payload=joined([32767, 32767, 32768, 32768, 32767, 32768], MU16).hex(),
            saturated=4)
    c.store("i16-limits", "rounds to the limits without saturation", f32(Fraction(65535, 128) - Fraction(1, 1024), Fraction(-65537, 128), 1, -1), MU16, 1024, saturated=0)
    c.store("i16-largest", "the largest f32 with the smallest step", [0x7F7FFFFF, 0xFF7FFFFF, 0, 1], MU16, 1, saturated=2)
    c.store("auto-zero", "all zeroes: the step is 1", f32(0, "-0", 0, 0), MU16, delta_q16=None)
    assert c.cases[-1]["expect"]["delta_q16"] == 1
    c.store("auto-values", "the largest is a value, not a key", f32(1, 2, 3, 4, 1000, -5, 6, 7), MU16, None, shape=(1, 1, 2, 2), saturated=0)
    assert c.cases[-1]["expect"]["delta_q16"] > 1999
    c.store("auto-last-layer", "the step is one for all layers", f32(*([1] * 15 + [-3000])), MU16, None, shape=(2, 1, 2, 2), saturated=0)
    c.store("auto-negative", "the negative range is longer by one", f32(-32768, 1, 1, 1), MU16, None)
    assert c.cases[-1]["expect"]["delta_q16"] < 65536 + 1
    c.store("auto-subnormal", "subnormals alone", [1, 0x80000001, 5, 0x007FFFFF], MU16, None)
    assert c.cases[-1]["expect"]["delta_q16"] == 1
    c.store("auto-range", "too large for every step", [0x7F7FFFFF, 0, 0, 0], MU16, None, error={"kind": "StepRange"})
    c.store("auto-range-last", "too large for every step, the last value", [0, 0, 0, 0xFF7FFFFF], MU16, None, error={"kind": "StepRange"})
    for name, bits in (("nan", 0x7FC00000), ("inf", 0x7F800000), ("minus-inf", 0xFF800000), ("signalling", 0x7F800001)):
        for row, column in ((0, 0), (1, 2), (4, 1), (7, 2)):
            for delta in (None, 1024):
                values = drawn(rng, F32, 24)
                values[row * 3 + column] = bits
                c.store("i16-%s-%d-%d-%s" % (name, row, column, delta or "auto"), "%s in row %d, column %d" % (name, row, column), values, MU16, delta, shape=(2, 1, 2, 3),
                        error={"kind": "NonFinite", "row": row, "column": column})
    values = drawn(rng, F32, 24)
    values[17], values[10], values[20] = 0x7F800000, 0x7FC00000, 0xFFC00000
    for delta in (None, 1024):
        c.store("i16-three-%s" % (delta or "auto"), "three of them: the first of the payload counts", values, MU16, delta, shape=(1, 2, 2, 3), error={"kind": "NonFinite", "row": 3, "column": 1})
    values[0] = 0x7F7FFFFF
    c.store("i16-range-nan", "too large, and not finite further on: what is not finite counts", values, MU16, None, shape=(1, 2, 2, 3), error={"kind": "NonFinite", "row": 3, "column": 1})


def run_cases(c):
    run = c.run_case
    run("one", "one gist token", [1, 9, 2], [9], (1, 1), (1, 1))
    run("first", "at the start", [9, 1, 2], [9], (0, 1), (0, 1))
    run("last", "at the end", [1, 2, 9], [9], (2, 1), (2, 1))
    run("alone", "nothing else", [9], [9], (0, 1), (0, 1))
    run("all", "gist tokens only", [9, 8, 9, 7], [7, 8, 9], (0, 4), (0, 4))
    run("in-order", "a run of different tokens", [1, 2, 7, 8, 9, 3], [7, 8, 9], (2, 3), (2, 3))
    run("any-order", "in any order", [1, 9, 7, 8, 3], [7, 8, 9], (1, 3), (1, 3))
    run("repeated", "repeated", [1, 7, 7, 7, 3], [7], (1, 3), (1, 3))
    run("some", "not all of them", [1, 8, 3], [7, 8, 9], (1, 1), (1, 1))
    run("id-order", "the ids are not in order, and named twice", [1, 8, 300, 3], [300, 8, 300], (1, 2), (1, 2))
    run("split", "two runs", [1, 7, 8, 2, 9, 3], [7, 8, 9], (1, 2), "SplitGists")
    run("split-late", "a second run at the very end", [7, 1, 2, 3, 4, 5, 7], [7], (0, 1), "SplitGists")
    run("split-many", "many runs", [7, 1, 7, 1, 7, 1], [7], (0, 1), "SplitGists")
    run("split-longer", "the second run is longer", [1, 7, 2, 7, 8, 9], [7, 8, 9], (1, 1), "SplitGists")
    run("none", "no gist token", [1, 2, 3], [9], "NoGists", "NoGists")
    run("no-tokens", "no tokens", [], [9], "NoGists", "NoGists")
    run("no-ids", "no ids", [1, 2, 3], [], "NoGists", "NoGists")
    run("nothing", "no tokens and no ids", [], [], "NoGists", "NoGists")
    run("largest", "the largest ids", [0, U32_MAX, U32_MAX - 1, 1], [U32_MAX, U32_MAX - 1], (1, 2), (1, 2))
    run("zero", "the token 0", [5, 0, 0, 5], [0], (1, 2), (1, 2))
    rng = Lcg(77)
    for i in range(12):
        tokens = [rng.u32() % 6 for _ in range(24)]
        gists = [4, 5] if i % 2 else [5]
        runs, at = [], 0
        for is_gist, group in itertools.groupby(tokens, lambda token: token in gists):
            length = len(list(group))
            if is_gist:
                runs.append((at, length))
            at += length
        run("random-%d" % i, "pseudo-random tokens", tokens, gists, runs[0] if runs else "NoGists", "NoGists" if not runs else runs[0] if len(runs) == 1 else "SplitGists")
    long = [1000 + rng.u32() % 32000 for _ in range(300)]
    run("long", "a text with a run of ten", long[:150] + list(range(128256, 128266)) + long[150:], list(range(128256, 128266)), (150, 10), (150, 10))


def self_test():
    # the layout of GIST_V1 has no holes
    at = 0
    for off, fmt in GIS.values():
        assert off == at
        at += struct.calcsize(fmt)
    assert at == 56
    # rounding against struct's own f16
    rng = Lcg(5)
    for bits in drawn(rng, F32, 500, 24):
        x = struct.unpack(">f", struct.pack(">I", bits))[0]
        assert struct.pack("<e", x).hex() == store([bits, bits], 1, F16, None)["payload"][:4]
    # the errors against plain f64
    bits = drawn(rng, F32, 64, 8)
    found = store(bits, 8, MU16, 3000)
    x = [struct.unpack(">f", struct.pack(">I", b))[0] for b in bits]
    y = [struct.unpack(">f", struct.pack(">f", q * 3000 / 65536))[0] for q in struct.unpack("<64h", bytes.fromhex(found["payload"]))]
    largest = max(abs(a - b) for a, b in zip(x, y))
    rms = math.sqrt(math.fsum((a - b) ** 2 for a, b in zip(x, y)) / 64)
    assert struct.unpack(">d", bytes.fromhex(found["max_error"]))[0] == largest
    assert abs(struct.unpack(">d", bytes.fromhex(found["rms_error"]))[0] - rms) <= 1e-14 * rms


FILES = (("gist", gist_cases),)
