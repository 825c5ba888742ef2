"""Independent reader and writer of EIGENGRAM certificates, and their test vectors.

Made from spec/README.md and spec/engram.md ("Certificates") alone; generate.py imports this module. The verdicts are stated by hand, and the reader has to
agree with every one of them. f16 are computed as fractions with the functions of mirror.py.
"""

import struct

from generate import Bad, Cases, Lcg
from mirror import F16, F32, decode, encode

HEADER = "<4sB32s20s16sHHbbIfffHH"
FURTHER = "<HHf"
NAMES = ("magic", "version", "corpus_hash", "created_at", "model_id", "basis_rank", "n_corpus", "first_layer", "end_layer", "context_len", "l2_norm", "scs",
         "margin_proof", "task_description_len", "cache_id_len")
PLACE = dict(zip(NAMES, (0, 4, 5, 37, 57, 73, 75, 77, 78, 79, 83, 87, 91, 95, 97)), eigenform_score=103, fourier_dim=99, local_density=101)
VECTORS = ("vec_perdoc", "vec_fcdb", "joint_center", "vec_fourier", "vec_fourier_v2")
NUMBERS = ("l2_norm", "scs", "margin_proof", "eigenform_score")
assert struct.calcsize(HEADER) == 99 and struct.calcsize(FURTHER) == 8


# ---------------------------------------------------------------------------------------------------------
# The reader
# ---------------------------------------------------------------------------------------------------------

def u16(data, at):
    return data[at] | data[at + 1] << 8


def f32_hex_at(data, at):
    return data[at:at + 4][::-1].hex()


def widened(bits):
    """f32 bits of an f16, whose NaN keep sign and fraction."""
    value = decode(bits, F16)
    if value == "nan":
        return (bits & 0x8000) << 16 | 0x7F800000 | (bits & 0x3FF) << 13
    return encode(value, F32)


def narrowed(bits):
    """f16 bits of an f32, and whether a finite number became infinite."""
    value = decode(bits, F32)
    if value == "nan":
        fraction = bits >> 13 & 0x3FF
        return bits >> 16 & 0x8000 | 0x7C00 | (fraction or 1), False
    half = encode(value, F16)
    return half, half & 0x7FFF == 0x7C00 and value[1] != "inf"


def utf8_end(data):
    """How many bytes from the start are UTF-8."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return len(data)


def locate(data, layout=None):
    """Steps 1 to 6: where the parts begin and end."""
    if len(data) < 4:
        raise Bad("Truncated", 0)
    if data[:4] != b"EGR1":
        raise Bad("CertificateMagic", 0)
    if len(data) < 5:
        raise Bad("Truncated", 4)
    if data[4] != 1:
        raise Bad("CertificateVersion", 4)
    if len(data) < 99:
        raise Bad("Truncated", 5)
    if u16(data, 95) > 256:
        raise Bad("TooLarge", 95)
    if u16(data, 97) > 64:
        raise Bad("TooLarge", 97)
    rank, task, cache = u16(data, 73), u16(data, 95), u16(data, 97)
    n, header_99 = len(data), 99 + 4 * rank + 256 + task + cache
    header_107, extension = None, None
    if n >= 107:
        header_107 = header_99 + 8 + 2 * u16(data, 99)
        if n >= header_107 + 3:
            extension = header_107
            header_107 += 3 + 2 * u16(data, extension + 1)
    if layout is None:
        if n < header_99:
            raise Bad("Truncated", 99)
        if n != header_99 and n != header_107:
            raise Bad("CertificateLength", min(n, header_107))
        layout = 99 if n == header_99 else 107
    else:
        if n < layout:
            raise Bad("Truncated", 99)
        length = header_99 if layout == 99 else header_107
        if n < length:
            raise Bad("Truncated", layout)
        if n > length:
            raise Bad("TrailingBytes", length)
    at, parts = layout, {}
    fourier = u16(data, 99) if layout == 107 else 0
    for name, size in (("vec_perdoc", 2 * rank), ("vec_fcdb", 2 * rank), ("joint_center", 256), ("task_description", task), ("cache_id", cache), ("vec_fourier", 2 * fourier)):
        parts[name] = (at, at + size)
        at += size
    parts["extension"] = (at, at + 3) if at < n else (at, at)
    parts["vec_fourier_v2"] = (parts["extension"][1], n)
    return layout, parts


def read_certificate(data, layout=None):
    layout, parts = locate(data, layout)
    found = {"header_bytes": layout}
    for name, size in (("corpus_hash", 32), ("created_at", 20), ("model_id", 16)):
        field = data[PLACE[name]:PLACE[name] + size]
        text = field.split(b"\0")[0]
        if any(byte > 0x7F for byte in text) or field != text + bytes(size - len(text)):
            raise Bad("CertificateText", PLACE[name])
        found[name] = text.decode("ascii")
    fields = dict(zip(NAMES, struct.unpack_from(HEADER, data)))
    for name in ("basis_rank", "n_corpus", "context_len"):
        found[name] = fields[name]
    found["layer_range"] = [fields["first_layer"], fields["end_layer"]]
    found["local_density"] = u16(data, 101) if layout == 107 else 0
    for name in NUMBERS:
        found[name] = "3f800000" if PLACE[name] >= layout else f32_hex_at(data, PLACE[name])
        if int(found[name], 16) & 0x7F800000 == 0x7F800000:
            raise Bad("Number", PLACE[name])
    for name in ("task_description", "cache_id"):
        start, end = parts[name]
        valid = utf8_end(data[start:end])
        if valid < end - start:
            raise Bad("Utf8", start + valid)
        found[name] = data[start:end].decode("utf-8")
    start, end = parts["extension"]
    found["extension"] = end > start
    if end > start and data[start] > 1:
        raise Bad("Code", start)
    found["confusion_flag"] = end > start and data[start] == 1
    for name in VECTORS:
        start, end = parts[name]
        found[name] = listed([widened(u16(data, at)) for at in range(start, end, 2)])
    return found


def listed(words):
    """In hexadecimal; a word and how often, if it is over once and always the same."""
    if len(words) > 1 and len(set(words)) == 1:
        return ["%08x" % words[0], len(words)]
    return "".join("%08x" % word for word in words)


# ---------------------------------------------------------------------------------------------------------
# The writer
# ---------------------------------------------------------------------------------------------------------

def given(**members):
    """What a writer is given; vectors and numbers are lists of f32 bits and f32 bits."""
    base = dict(corpus_hash="0123456789abcdef" * 2, created_at="2026-11-21T10:09:13", model_id="Llama-3.1-8B", n_corpus=200, layer_range=[8, 24], context_len=512,
                l2_norm=0x3F9DF3B6, scs=0x3ED70A3D, margin_proof=0x3C54FDF4, task_description="Test document.", cache_id="test-1", local_density=0,
                eigenform_score=0x3F800000, confusion_flag=False, vec_perdoc=[0x3F800000], vec_fcdb=[0xBF000000], joint_center=[0x3DCCCCCD] * 128, vec_fourier=[],
                vec_fourier_v2=[], excess="refuse")
    assert set(members) <= set(base)
    return {**base, **members}


def fitted(text, size, excess):
    data = text.encode("utf-8")
    if len(data) <= size:
        return data
    if excess == "refuse":
        raise Bad("TooLarge", None)
    data = data[:size]
    return data[:utf8_end(data)] if excess == "trim" else data


def write_certificate(g):
    excess, texts = g["excess"], []
    for name, size in (("corpus_hash", 32), ("created_at", 20), ("model_id", 16)):
        if "\0" in g[name] or not g[name].isascii():
            raise Bad("Argument", None)
        texts.append(fitted(g[name], size, excess))
    task, cache = fitted(g["task_description"], 256, excess), fitted(g["cache_id"], 64, excess)
    for name in NUMBERS:
        if g[name] & 0x7F800000 == 0x7F800000:
            raise Bad("Number", None)
    if len(g["vec_perdoc"]) > 65535:
        raise Bad("TooLarge", None)
    if len(g["vec_fcdb"]) != len(g["vec_perdoc"]) or len(g["joint_center"]) != 128:
        raise Bad("Shape", None)
    if len(g["vec_fourier"]) > 65535 or len(g["vec_fourier_v2"]) > 65535:
        raise Bad("TooLarge", None)
    halves = {}
    for name in VECTORS:
        pairs = [narrowed(bits) for bits in g[name]]
        if excess != "original" and any(over for _, over in pairs):
            raise Bad("Number", None)
        halves[name] = b"".join(struct.pack("<H", half) for half, _ in pairs)

    def number(name):
        return struct.pack("<I", g[name])

    out = b"EGR1\x01" + struct.pack("<32s20s16s", *texts) + struct.pack("<HHbbI", len(g["vec_perdoc"]), g["n_corpus"], *g["layer_range"], g["context_len"])
    out += number("l2_norm") + number("scs") + number("margin_proof") + struct.pack("<HH", len(task), len(cache))
    out += struct.pack("<HH", len(g["vec_fourier"]), g["local_density"]) + number("eigenform_score")
    assert len(out) == 107
    out += halves["vec_perdoc"] + halves["vec_fcdb"] + halves["joint_center"] + task + cache + halves["vec_fourier"]
    if g["confusion_flag"] or g["vec_fourier_v2"]:
        out += struct.pack("<BH", g["confusion_flag"], len(g["vec_fourier_v2"])) + halves["vec_fourier_v2"]
    return out


# ---------------------------------------------------------------------------------------------------------
# Cases
# ---------------------------------------------------------------------------------------------------------

class CertificateCases(Cases):
    @staticmethod
    def run(view, data, key):
        return read_certificate(data, {"certificate": None, "certificate-99": 99, "certificate-107": 107}[view])

    def yes(self, id_, comment, data, view="certificate", **stated):
        expect = self.run(view, data, None)
        for name, value in stated.items():
            assert expect[name] == value, (id_, name, expect[name], value)
        self.accept(id_, comment, data, view, expect)

    def no(self, id_, comment, data, kind, offset, view="certificate"):
        self.reject(id_, comment, data, view, kind, offset)

    def write(self, id_, comment, error=None, half=None, **members):
        """`half`: what the first component of vec_perdoc has to become."""
        g = given(**members)
        case = {"id": id_, "comment": comment, "view": "certificate-write"}
        for name, value in g.items():
            if name in VECTORS:
                value = listed(value)
            elif name in NUMBERS:
                value = "%08x" % value
            case[name] = value
        try:
            data = write_certificate(g)
            assert error is None, id_
            assert half is None or u16(data, 107) == half, (id_, hex(u16(data, 107)))
            case["verdict"], case["expect"] = "accept", {"hex": data.hex()}
        except Bad as bad:
            assert bad.kind == error, (id_, bad.kind)
            case["verdict"], case["error"] = "reject", {"kind": error}
        self.add(case)


def poked(data, at, change):
    return data[:at] + change + data[at + len(change):]


def layout_99(rank=1, task=b"legacy task", cache=b"legacy-1", first=0x3C00):
    header = struct.pack(HEADER, b"EGR1", 1, b"c" * 32, b"2026-04-01T12:00:00", b"Llama-3.2-3B", rank, 200, 8, 24, 77, 2.5, 0.25, 0.125, len(task), len(cache))
    vectors = struct.pack("<H", first) + bytes(4 * rank - 2) if rank else b""
    return header + vectors + bytes(range(256)) + task + cache


def certificate_cases():
    c = CertificateCases("EIGENGRAM certificate", "spec/engram.md", [
        "view certificate: the layout is told by the length; certificate-99 and certificate-107: the reader is told the layout",
        "view certificate-write: what a writer makes of the members",
        "vectors are lists of f32 in one string; [f32, n] is one of n components that are all the same",
    ])
    rng = Lcg(20261121)

    def drawn(n):
        # signs, exponents 2^-20 to 2^11, any fraction: subnormal f16 among them
        return [(rng.u32() & 0x807FFFFF) | (107 + rng.u32() % 32) << 23 for _ in range(n)]

    plain = write_certificate(given())
    both = write_certificate(given(vec_fourier=drawn(3), vec_fourier_v2=drawn(2), confusion_flag=True))
    flag = write_certificate(given(confusion_flag=True))
    fourier = write_certificate(given(vec_fourier=drawn(3)))
    old = layout_99()

    # --- layouts ---------------------------------------------------------------------------------------------
    c.yes("plain", "layout 107", plain, header_bytes=107, extension=False, basis_rank=1, layer_range=[8, 24], eigenform_score="3f800000")
    c.yes("fourier", "with a Fourier vector", fourier, extension=False)
    c.yes("flag", "with the confusion flag alone", flag, extension=True, confusion_flag=True, vec_fourier_v2="")
    c.yes("both", "with everything", both, extension=True, confusion_flag=True)
    c.yes("extension-nothing", "an extension that says nothing", plain + bytes(3), extension=True, confusion_flag=False)
    c.yes("extension-v2", "a second Fourier vector without the first", plain + b"\x00\x01\x00\x00\xC0", extension=True, vec_fourier_v2="c0000000")
    c.yes("99", "layout 99", old, header_bytes=99, local_density=0, eigenform_score="3f800000", task_description="legacy task", vec_perdoc="3f800000")
    c.yes("99-rank-0", "without vectors", layout_99(0), header_bytes=99, vec_perdoc="")
    c.yes("rank-0", "without vectors and text", write_certificate(given(vec_perdoc=[], vec_fcdb=[], task_description="", cache_id="")), basis_rank=0)
    c.yes("99-text-256-64", "the longest texts", layout_99(2, b"t" * 256, b"i" * 64), header_bytes=99)
    c.yes("layers", "the least and the largest", write_certificate(given(layer_range=[-128, 127], n_corpus=65535, context_len=2 ** 32 - 1, local_density=65535)), layer_range=[-128, 127])
    specials = [0, 0x8000, 1, 0x8001, 0x03FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7C01, 0xFC01, 0x7E00, 0xFE00, 0x7FFF, 0x3C01]
    data = write_certificate(given(vec_perdoc=[widened(half) for half in specials], vec_fcdb=[0] * 16))
    assert data[107:139] == struct.pack("<16H", *specials)
    c.yes("specials", "zeroes, subnormals, infinities, NaN", data)
    for rank in (2, 16, 17):
        c.yes("rank-%d" % rank, "any values", write_certificate(given(vec_perdoc=drawn(rank), vec_fcdb=drawn(rank), joint_center=drawn(128), vec_fourier=drawn(rank))))
    c.yes("text-multibyte", "characters of two to four bytes", write_certificate(given(task_description="\u00e9\u65e5\U0001F600", cache_id="\u043a")), task_description="\u00e9\u65e5\U0001F600")
    c.yes("text-nul", "a zero byte within the text", write_certificate(given(task_description="a\0b")), task_description="a\0b")
    c.yes("ids-full", "header texts that fill their fields", write_certificate(given(corpus_hash="f" * 32, created_at="2026-11-21T10:09:13Z", model_id="m" * 16)), created_at="2026-11-21T10:09:13Z")
    c.yes("ids-empty", "and that are empty", write_certificate(given(corpus_hash="", created_at="", model_id="")), corpus_hash="")

    # --- lengths ---------------------------------------------------------------------------------------------
    for n in (0, 1, 3):
        c.no("cut-%d" % n, "within the magic", plain[:n], "Truncated", 0)
    c.no("cut-4", "before the version", plain[:4], "Truncated", 4)
    for n in (5, 57, 98):
        c.no("cut-%d" % n, "within the header", plain[:n], "Truncated", 5)
    for n in (99, 106, 107, 200, len(plain) - 9):
        c.no("cut-%d" % n, "within the body, in both layouts", plain[:n], "Truncated", 99)
    cut = plain[:-8]
    c.no("cut-8", "as long as layout 99; the text begins in the centre, which here is not UTF-8", poked(cut, len(cut) - 20, b"\x9A"), "Utf8", len(cut) - 20)
    c.no("cut-8-told", "the same, but the layout is known", cut, "Truncated", 107, "certificate-107")
    c.yes("cut-8-text", "as long as layout 99, and by chance text: nothing shows it", write_certificate(given(joint_center=[0x3E2CC000] * 128))[:-8], header_bytes=99)
    for less in range(1, 8):
        c.no("cut-by-%d" % less, "between the layouts", plain[:-less], "CertificateLength", len(plain) - less)
    c.yes("cut-fourier", "as long as layout 99 when the Fourier vector is cut as well", write_certificate(given(vec_fourier=[0] * 3, joint_center=[0x3E2CC000] * 128, task_description="a" * 20, cache_id="b" * 20))[:-14], header_bytes=99)
    c.yes("cut-extension", "without its extension it is whole", both[:-7], extension=False)
    for less in (1, 2, 3, 4):
        c.no("cut-v2-%d" % less, "within the second Fourier vector", both[:-less], "CertificateLength", len(both) - less)
    for less in (5, 6):
        c.no("cut-extension-%d" % less, "within the extension: bytes that follow", both[:-less], "CertificateLength", len(both) - 7)
    for more in (1, 2):
        c.no("more-%d" % more, "bytes that follow, too few for an extension", plain + bytes(more), "CertificateLength", len(plain))
    c.no("more-4", "an extension, and a byte", plain + bytes(4), "CertificateLength", len(plain) + 3)
    c.no("more-v2", "an extension that claims more than there is", plain + b"\x00\x02\x00\x00\x00", "CertificateLength", len(plain) + 5)
    c.no("more-both", "a byte after everything", both + b"\0", "CertificateLength", len(both))
    zero = layout_99(1, first=0)
    for more in range(1, 8):
        c.no("99-more-%d" % more, "bytes after layout 99", zero + bytes(more), "CertificateLength", len(zero) + more)
    c.yes("99-more-8", "8 bytes after layout 99 are layout 107, if its first component is 0", zero + bytes(8), header_bytes=107)
    c.yes("99-more-told", "told the layout", zero, "certificate-99", header_bytes=99)
    c.no("99-more-8-told", "8 bytes after what is known to be layout 99", zero + bytes(8), "TrailingBytes", len(zero), "certificate-99")
    c.no("99-cut-told", "a byte less", old[:-1], "Truncated", 99, "certificate-99")
    c.no("107-cut-told", "a byte less", plain[:-1], "Truncated", 107, "certificate-107")
    c.no("107-head-told", "within the further header", plain[:106], "Truncated", 99, "certificate-107")
    c.no("107-more-told", "a byte more", plain + b"\0", "TrailingBytes", len(plain), "certificate-107")
    c.yes("107-told", "told the layout", both, "certificate-107")
    c.no("rank-more", "a rank over what is there", poked(plain, 73, b"\x02\x00"), "CertificateLength", len(plain))
    c.no("rank-max", "the largest rank", poked(plain, 73, b"\xFF\xFF"), "Truncated", 99)
    c.no("rank-less", "a rank below what is there: the last 4 bytes are an extension that claims more", poked(plain, 73, b"\x00\x00"), "CertificateLength", len(plain))
    c.no("fourier-max", "the largest Fourier dimension", poked(plain, 99, b"\xFF\xFF"), "CertificateLength", len(plain))

    # --- content ---------------------------------------------------------------------------------------------
    c.no("magic", "another magic", poked(plain, 0, b"EGR2"), "CertificateMagic", 0)
    body = b'{"__metadata__":{}}'
    c.no("safetensors", "a safetensors file", struct.pack("<Q", len(body)) + body, "CertificateMagic", 0)
    for version in (0, 2, 255):
        c.no("version-%d" % version, "another version", poked(plain, 4, bytes([version])), "CertificateVersion", 4)
    c.no("version-first", "the version counts before the length", poked(plain, 4, b"\x02")[:50], "CertificateVersion", 4)
    c.no("task-257", "a description over 256 bytes", layout_99(1, b"t" * 257), "TooLarge", 95)
    c.no("cache-65", "an id over 64 bytes", layout_99(1, b"t", b"i" * 65), "TooLarge", 97)
    c.no("task-first", "both: the first counts", layout_99(1, b"t" * 257, b"i" * 65), "TooLarge", 95)
    c.no("task-257-cut", "and counts before the length", layout_99(1, b"t" * 257)[:-1], "TooLarge", 95)
    for name, size in (("corpus_hash", 32), ("created_at", 20), ("model_id", 16)):
        at = PLACE[name]
        c.no(name + "-80", "not ASCII", poked(plain, at, b"\x80"), "CertificateText", at)
        c.no(name + "-utf8", "UTF-8 is not ASCII", poked(plain, at, "\u00e9".encode()), "CertificateText", at)
        c.no(name + "-nul", "a zero byte before the end of the text", poked(plain, at, b"\0"), "CertificateText", at)
        c.no(name + "-after-nul", "a byte after a zero byte, at the field's end", poked(plain, at + size - 2, b"\0x"), "CertificateText", at)
    for name in NUMBERS:
        for label, value in (("inf", "0000807f"), ("minus-inf", "000080ff"), ("nan", "0000c07f"), ("signalling", "0100807f")):
            c.no("%s-%s" % (name, label), "not finite", poked(plain, PLACE[name], bytes.fromhex(value)), "Number", PLACE[name])
        c.yes("%s-max" % name, "the largest", poked(plain, PLACE[name], bytes.fromhex("ffff7f7f")), **{name: "7f7fffff"})
        c.yes("%s-minus-0" % name, "-0", poked(plain, PLACE[name], bytes.fromhex("00000080")), **{name: "80000000"})
    task_at = len(plain) - 20
    for label, text, valid in (("cut-2", b"ab\xC3", 2), ("cut-3", b"\xE6\x97", 0), ("cut-4", b"a\xF0\x9F\x98", 1), ("overlong", b"\xC0\x80", 0), ("surrogate", b"a\xED\xA0\x80", 1), ("above", b"\xF4\x90\x80\x80", 0),
                               ("alone", b"abc\xBF", 3), ("broken", b"\xE6\x97x", 0), ("ff", b"a\xFFb", 1)):
        c.no("task-" + label, "a description that is not UTF-8", poked(plain, task_at, text.rjust(14, b"_")), "Utf8", task_at + 14 - len(text) + valid)
        c.no("cache-" + label, "an id that is not UTF-8", poked(plain, task_at + 14, text.rjust(6, b"_")), "Utf8", len(plain) - len(text) + valid)
    c.no("text-both", "neither is UTF-8", poked(poked(plain, task_at, b"\xFF"), task_at + 14, b"\xFF"), "Utf8", task_at)
    original = write_certificate(given(task_description="\u65e5" * 100, cache_id="\u043a" * 31 + "x\u043a", excess="original"))
    c.no("task-cut-256", "cut within a character by the original", original, "Utf8", len(original) - 64 - 1)
    original = write_certificate(given(cache_id="x" + "\u043a" * 40, excess="original"))
    c.no("cache-cut-64", "an id cut within a character by the original", original, "Utf8", len(original) - 1)
    for value in (2, 255):
        c.no("flag-%d" % value, "no flag", poked(flag, len(plain), bytes([value])), "Code", len(plain))
    c.no("text-before-flag", "text and flag: the text counts", poked(poked(flag, len(plain), b"\x02"), task_at, b"\xFF"), "Utf8", task_at)
    c.no("hash-before-number", "header text and number: the text counts", poked(poked(plain, 5, b"\xFF"), 83, b"\x00\x00\x80\x7F"), "CertificateText", 5)
    c.no("length-before-text", "length and header text: the length counts", poked(plain, 5, b"\xFF") + b"\0", "CertificateLength", len(plain))

    # --- writing ---------------------------------------------------------------------------------------------
    c.write("write-plain", "as it is")
    c.write("write-everything", "every part", vec_perdoc=drawn(5), vec_fcdb=drawn(5), joint_center=drawn(128), vec_fourier=drawn(7), vec_fourier_v2=drawn(4), confusion_flag=True,
            local_density=65535, eigenform_score=0x3F000000)
    c.write("write-v2", "a second Fourier vector without flag", vec_fourier_v2=drawn(1))
    c.write("write-flag", "a flag alone", confusion_flag=True)
    c.write("write-nothing", "rank 0, no text", vec_perdoc=[], vec_fcdb=[], task_description="", cache_id="", corpus_hash="", created_at="", model_id="")
    for label, bits, half in (
            ("tie-down", 0x3F801000, 0x3C00), ("tie-up", 0x3F803000, 0x3C02), ("over-tie", 0x3F801001, 0x3C01), ("largest", 0x477FE000, 0x7BFF), ("just-finite", 0x477FEFFF, 0x7BFF),
            ("inf", 0x7F800000, 0x7C00), ("minus-inf", 0xFF800000, 0xFC00), ("nan", 0x7FC00000, 0x7E00), ("minus-nan", 0xFFC00000, 0xFE00), ("nan-low", 0x7F800001, 0x7C01), ("nan-high", 0x7F802000, 0x7C01),
            ("minus-0", 0x80000000, 0x8000), ("subnormal", 0x33800000, 1), ("half-subnormal", 0x33000000, 0), ("over-half-subnormal", 0x33000001, 1), ("f32-subnormal", 1, 0), ("least-normal", 0x38800000, 0x0400),
            ("to-normal", 0x387FF000, 0x0400)):
        c.write("write-f16-" + label, "a component", half=half, vec_perdoc=[bits])
    for excess in ("refuse", "trim", "original"):
        c.write("write-over-f16-" + excess, "65520", "Number" if excess != "original" else None, vec_perdoc=[0x477FF000], excess=excess)
        c.write("write-task-257-" + excess, "a byte too much", "TooLarge" if excess == "refuse" else None, task_description="t" * 257, excess=excess)
        c.write("write-task-cut-" + excess, "a character of three bytes over the end", "TooLarge" if excess == "refuse" else None, task_description="\u65e5" * 100, excess=excess)
        c.write("write-cache-cut-" + excess, "a character of four bytes over the end", "TooLarge" if excess == "refuse" else None, cache_id="xyz" + "\U0001F600" * 16, excess=excess)
        c.write("write-model-17-" + excess, "a model id too long", "TooLarge" if excess == "refuse" else None, model_id="Llama-3.1-8B-Instruct", excess=excess)
        c.write("write-hash-33-" + excess, "a hash too long", "TooLarge" if excess == "refuse" else None, corpus_hash="f" * 33, excess=excess)
        for name in ("corpus_hash", "created_at", "model_id"):
            c.write("write-%s-utf8-%s" % (name, excess), "not ASCII", "Argument", excess=excess, **{name: "\u00e9"})
        c.write("write-model-nul-" + excess, "a zero byte", "Argument", model_id="a\0b", excess=excess)
        c.write("write-scs-nan-" + excess, "a number that is none", "Number", scs=0x7FC00000, excess=excess)
        c.write("write-fcdb-" + excess, "vectors of two lengths", "Shape", vec_fcdb=[0, 0], excess=excess)
        for n in (0, 100, 127, 129, 256):
            c.write("write-center-%d-%s" % (n, excess), "a centre of another length", "Shape", joint_center=[0] * n, excess=excess)
    c.write("write-task-256", "the longest", task_description="t" * 256, cache_id="i" * 64)
    c.write("write-order-text", "text and number: the text counts", "TooLarge", task_description="t" * 257, scs=0x7F800000)
    c.write("write-order-number", "number and shape: the number counts", "Number", scs=0x7F800000, joint_center=[])
    c.write("write-order-shape", "shape and component: the shape counts", "Shape", vec_perdoc=[0x477FF000], joint_center=[])
    return c


def self_test():
    for half in range(65536):
        assert narrowed(widened(half)) == (half, False), half
    for half in list(range(0, 0x7C00, 5)) + [0x8001, 0xFBFF]:
        assert struct.pack(">f", struct.unpack("<e", struct.pack("<H", half))[0]).hex() == "%08x" % widened(half)


FILES = (("certificate", certificate_cases),)
