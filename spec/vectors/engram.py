"""Independent reader and writer of state blobs, of the index and of the whitening, and their test vectors.

Made from spec/README.md, spec/frame.md and spec/engram.md alone; the envelope of frames is that of generate.py, which imports this
module. As there, the verdicts are stated by hand or follow from the layout a case was built with, and the reader has to agree with every
one of them.
"""

import itertools
import math
import struct

from generate import (
    BODIES, Bad, CALIB, CHUNK, CONTEXT, Cases, DIGEST_LIMIT, ENGRAM, FLAGS, Frame, GIST, HMAC, INDEX, KEY, Lcg, MARKS, MIRROR, RESULTS, context_text, read_frame,
)
from ledger import cut_at, fields, with_changes

U64 = 2 ** 64
U32_MAX = 2 ** 32 - 1
MAX_SEQ = 256
MAX_LAYERS = 512

(GGSN, GGSQ, SEQ_MAGIC) = (0x6767736E, 0x67677371, 0xAF143CD8)
NAME_CHARACTERS = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_.-")

RECURRENT = frozenset("mamba mamba2 rwkv6 rwkv6qwen2 rwkv7 arwkv7".split())
HYBRID = frozenset("""jamba falcon-h1 plamo2 granitehybrid lfm2 lfm2moe nemotron_h nemotron_h_moe qwen3next kimi-linear kimi-k3 bailingmoe3 qwen35
    qwen35moe qwen4exp deepseek4 minimax-01 glm5next""".split())
# a few: cases use no others of this class
ATTENTION = frozenset("llama qwen2 qwen2vl qwen3 gemma2 gemma3 deepseek2 phi3".split())

# id -> name, elements of a block, bytes of a block
TYPES = {
    0: ("f32", 1, 4), 1: ("f16", 1, 2), 2: ("q4_0", 32, 18), 3: ("q4_1", 32, 20), 6: ("q5_0", 32, 22), 7: ("q5_1", 32, 24), 8: ("q8_0", 32, 34),
    20: ("iq4_nl", 32, 18), 30: ("bf16", 1, 2),
}
(F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL, BF16) = (0, 1, 2, 3, 6, 7, 8, 20, 30)


# ---------------------------------------------------------------------------------------------------------
# Layouts
# ---------------------------------------------------------------------------------------------------------

class Layout:
    def __init__(self, memory="kv", outputs=False, streams=True, ext=0, values=True, data=True):
        self.memory, self.outputs, self.streams, self.ext, self.values, self.data = memory, outputs, streams, ext, values, data

    @staticmethod
    def parse(text):
        parts = text.replace("-", " -").replace("+", " +").split()
        layout = Layout(parts[0])
        assert layout.memory in ("kv", "iswa", "recurrent", "none"), text
        for part in parts[1:]:
            name, value = {"+outputs": ("outputs", True), "-streams": ("streams", False), "+ext8": ("ext", 8), "+ext12": ("ext", 12), "-values": ("values", False),
                           "-data": ("data", False)}[part]
            setattr(layout, name, value)
        return layout

    def __str__(self):
        return "".join((
            self.memory, "+outputs" if self.outputs else "", "" if self.streams else "-streams", "+ext%d" % self.ext if self.ext else "", "" if self.values else "-values",
            "" if self.data else "-data",
        ))

    def normal(self, cells, layers):
        """Without what the blob does not use."""
        return Layout(self.memory, self.outputs, self.streams, self.ext if cells else 0, self.values or not layers, self.data or not layers)


def candidates(envelope, named, class_):
    """Texts of the layouts that are tried, in the order of the table."""
    kind, version = envelope["kind"], envelope.get("version")
    bare = kind == "seq" and "seq_id" not in envelope
    ext8 = version not in (10, 3)
    ext12 = version not in (9, 2) and not bare
    old_outputs = kind == "state" or version == 9
    out = []
    for data in ("", "-data"):
        if data and (kind != "seq" or bare):
            continue
        for memory in ("kv", "iswa"):
            for ext in ("", "+ext8", "+ext12"):
                if (ext == "+ext8" and not ext8) or (ext == "+ext12" and not ext12):
                    continue
                out += [memory + ext + values + data for values in ("", "-values")]
    if old_outputs:
        out += ["kv+outputs", "kv+outputs-streams", "iswa+outputs", "iswa+outputs-streams"]
    if bare or version == 2:
        out += ["kv-streams", "iswa-streams"]
    for outputs in ("", "+outputs") if old_outputs else ("",):
        out.append("recurrent" + outputs)
        if named:
            out.append("none" + outputs)
    if class_ == "attention":
        out = [text for text in out if not text.startswith("recurrent")]
    if class_ == "recurrent":
        out = [text for text in out if text.startswith("recurrent")]
    return out


def class_of(name):
    for class_, names in (("recurrent", RECURRENT), ("hybrid", HYBRID), ("attention", ATTENTION)):
        if name in names:
            return class_
    return None


# ---------------------------------------------------------------------------------------------------------
# The reader of state blobs
# ---------------------------------------------------------------------------------------------------------

class Ambiguous(Bad):
    def __init__(self, layouts):
        super().__init__("Ambiguous", None)
        self.layouts = layouts


class Input:
    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def take(self, n):
        if n > len(self.data) - self.at:
            raise Bad("Truncated", self.at)
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, fmt):
        return struct.unpack("<" + fmt, self.take(struct.calcsize("<" + fmt)))[0]

    def u32(self):
        return self.number("I")

    def i32(self):
        return self.number("i")

    def u64(self):
        return self.number("Q")

    def words(self, n):
        return list(struct.unpack("<%di" % n, self.take(4 * n)))


def read_name(i):
    at = i.at
    n = i.u32()
    if n < 1:
        raise Bad("StateArch", at)
    if n > 64:
        raise Bad("TooLarge", at)
    at = i.at
    name = i.take(n)
    if not NAME_CHARACTERS.issuperset(name):
        raise Bad("StateArch", at)
    return name.decode("ascii"), at


def read_envelope(data):
    """One that starts with a magic; None if the first word is none."""
    if len(data) < 4:
        return None
    i = Input(data)
    magic = i.u32()
    if magic == SEQ_MAGIC:
        return {"kind": "seq", "seq_id": i.i32()}, None, i.at
    if magic not in (GGSN, GGSQ):
        return None
    kind, versions = ("session_file", (9, 10)) if magic == GGSN else ("seq_file", (2, 3))
    at = i.at
    version = i.u32()
    if version not in versions:
        raise Bad("StateVersion", at)
    n = i.u32()
    envelope, name_at = {"kind": kind, "version": version, "tokens": i.words(n)}, None
    if kind == "session_file":
        envelope["arch"], name_at = read_name(i)
    return envelope, name_at, i.at


def read_state(data, arch=None, layout=None):
    search = Search(data, arch, layout)
    one = read_envelope(data)
    if one:
        search.behind(*one)
    else:
        known = False
        try:
            i = Input(data)
            name, at = read_name(i)
            known = class_of(name) is not None
        except Bad:
            if layout and Layout.parse(layout).outputs:
                raise                       # no sequence has outputs
            name = None                     # nor a state: what is wrong with a name is no reason to refuse a sequence
        if name is not None:
            search.behind({"kind": "state", "arch": name}, at, i.at)
        if not known and not (layout and Layout.parse(layout).outputs):
            search.behind({"kind": "seq"}, None, 0)
    return search.result()


class Search:
    def __init__(self, data, arch, layout):
        self.data, self.arch, self.layout = data, arch, layout
        self.fits = {}                  # text of the layout -> what is found, in the order of the table
        self.worst = None               # (how far, error)

    def failed(self, error, how_far):
        rank = how_far
        if self.worst is None or rank > self.worst[0]:
            self.worst = (rank, error)

    def behind(self, envelope, name_at, at):
        name = envelope.get("arch")
        if name is not None and self.arch is not None and name != self.arch:
            raise Bad("StateArch", name_at)
        name = self.arch if name is None else name
        class_ = class_of(name)
        if class_ == "hybrid" and not self.layout:
            raise Bad("StateMemory", at)
        for text in [self.layout] if self.layout else candidates(envelope, "arch" in envelope, class_):
            walk = Walk(self.data, at, envelope, Layout.parse(text))
            if walk.layout.outputs and not walk.whole:
                self.failed(Bad("Argument", 0), 0)      # stated, of a blob that cannot have it
                continue
            try:
                found = walk.run()
                self.fits.setdefault((envelope["kind"], found["layout"]), found)
            except Bad as error:
                self.failed(error, walk.came(error))

    def result(self):
        if len(self.fits) > 1:
            raise Ambiguous([layout for _, layout in self.fits])
        if not self.fits:
            raise self.worst[1]
        return next(iter(self.fits.values()))


class Walk:
    """One layout, behind one envelope."""

    def __init__(self, data, at, envelope, layout):
        self.i, self.envelope, self.layout = Input(data, at), envelope, layout
        self.whole = envelope["kind"] in ("state", "session_file")
        self.cells = self.tensors = False

    def came(self, error):
        return self.i.at if error.kind == "StreamsDiffer" else error.offset

    def run(self):
        layout, i = self.layout, self.i
        outputs = self.read_outputs() if layout.outputs else None
        caches = [self.read_cache() for _ in range({"kv": 1, "iswa": 2, "recurrent": 1, "none": 0}[layout.memory])]
        if i.at != len(i.data):
            raise Bad("TrailingBytes", i.at)
        return {"envelope": self.envelope, "layout": str(layout.normal(self.cells, self.tensors)), "outputs": outputs, "caches": caches}

    def read_outputs(self):
        i = self.i
        found = {"offset": i.at}
        found["output_pos"] = i.words(i.u32())
        for name in ("logits", "embeddings"):
            at = i.at
            n = i.u64()
            if 4 * n >= U64:
                raise Bad("Size", at)
            found[name + "_offset"] = i.at
            found[name] = i.take(4 * n).hex()
        return found

    def count(self, least, most):
        at = self.i.at
        n = self.i.u32()
        if n < least:
            raise Bad("Shape", at)
        if n > most:
            raise Bad("TooLarge", at)
        return n

    def read_cache(self):
        i, layout = self.i, self.layout
        recurrent = layout.memory == "recurrent"
        start = i.at
        n_stream = self.count(1, MAX_SEQ) if layout.streams and not recurrent else 1
        streams, first = [], None
        for _ in range(n_stream):
            stream, marks = self.read_stream(recurrent)
            streams.append(stream)
            if stream["cell_count"]:
                if first is None:
                    first = marks
                for (name, one, _), (other_name, other, at) in zip(first, marks):
                    if (name, one) != (other_name, other):
                        raise Bad("StreamsDiffer", at)
        return {"class": "recurrent" if recurrent else "kv", "offset": start, "length": i.at - start, "streams": streams}

    def read_stream(self, recurrent):
        """The stream, and (name, value, offset) of the fields that streams have to share."""
        i, layout = self.i, self.layout
        marks = []
        n = i.u32()
        stream = {"cell_count": n, "cells_offset": i.at, "cells": []}
        for _ in range(n):
            stream["cells"].append(self.read_cell(recurrent))
            self.cells = True
        if n == 0 and (layout.streams and not recurrent or recurrent and i.at == len(i.data)):
            return stream, marks
        at = i.at
        v_trans = i.u32()
        if v_trans > (0 if recurrent else 1):
            raise Bad("Bool", at)
        marks.append(("v_trans", v_trans, at))
        at = i.at
        n_layer = self.count(0 if layout.memory == "iswa" else 1, MAX_LAYERS)
        marks.append(("n_layer", n_layer, at))
        stream.update(v_trans=v_trans, n_layer=n_layer)
        stream["k"] = [self.read_tensor(n, False, marks) for _ in range(n_layer)]
        stream["v"] = [self.read_tensor(n, v_trans == 1, marks) for _ in range(n_layer if layout.values else 0)]
        return stream, marks

    def read_cell(self, recurrent):
        i, layout = self.i, self.layout
        at = i.at
        pos = i.i32()
        if pos < 0:
            raise Bad("Number", at)
        n = self.count(0 if recurrent or not self.whole and not layout.streams else 1, MAX_SEQ if self.whole else 1)
        cell = {"pos": pos}
        if layout.ext:
            cell["ext"] = i.words(layout.ext // 4)
        ids, at = [], i.at - 4
        for seq_id in i.words(n):
            at += 4
            if not 0 <= seq_id < MAX_SEQ:
                raise Bad("Number", at)
            if ids and seq_id <= ids[-1]:
                raise Bad("Order", at)
            ids.append(seq_id)
        cell["seq_ids"] = ids
        return cell

    def read_tensor(self, cells, transposed, marks):
        i = self.i
        at = i.at
        id_ = i.i32()
        if id_ not in TYPES or (transposed and TYPES[id_][1] != 1):
            raise Bad("GgmlType", at)
        name, block, block_size = TYPES[id_]
        marks.append(("type", id_, at))
        tensor = {"type": name}
        at = i.at
        if transposed:
            el_size = i.u32()
            if el_size != block_size:
                raise Bad("Shape", at)
            width_at = i.at
            width = i.u32()
            if width == 0:
                raise Bad("Shape", width_at)
            marks.append(("n_embd", width, width_at))
            tensor.update(el_size=el_size, n_embd=width)
            length = el_size * width * cells
        else:
            row_size = i.u64()
            if row_size % block_size:
                raise Bad("RowSize", at)
            if row_size == 0:
                raise Bad("Shape", at)
            if row_size // block_size * block > U32_MAX:
                raise Bad("TooLarge", at)
            marks.append(("row_size", row_size, at))
            tensor.update(row_size=row_size, n_embd=row_size // block_size * block)
            length = row_size * cells
        if length >= U64:
            raise Bad("Size", at)
        tensor["offset"] = i.at
        tensor["length"] = length
        self.tensors = True
        if self.layout.data:
            i.take(length)
        return tensor


# ---------------------------------------------------------------------------------------------------------
# The writer of state blobs
# ---------------------------------------------------------------------------------------------------------

class Blob:
    """Laid out as told. fields are (name, offset, format or None), by name; expect is what a reader has to find."""

    def __init__(self, envelope, layout="kv", caches=(), outputs=None, seed=1):
        self.data, self.fields, self.rng = b"", {}, Lcg(seed)
        self.layout = Layout.parse(layout)
        self.expect = {"envelope": envelope, "layout": layout}
        self.put_envelope(envelope)
        self.memory = len(self.data)
        self.expect["outputs"] = self.put_outputs(*(outputs or ([], b"", b""))) if self.layout.outputs else None
        self.expect["caches"] = [self.put_cache("c%d." % i, cache) for i, cache in enumerate(caches)]

    def put(self, name, fmt, value):
        self.fields[name] = (len(self.data), fmt)
        self.data += struct.pack("<" + fmt, value) if fmt else value

    def put_words(self, name, words):
        self.put(name, None, struct.pack("<%di" % len(words), *words))

    def put_envelope(self, e):
        kind = e["kind"]
        if kind == "seq":
            if "seq_id" in e:
                self.put("magic", "I", SEQ_MAGIC)
                self.put("seq_id", "i", e["seq_id"])
            return
        if kind != "state":
            self.put("magic", "I", GGSN if kind == "session_file" else GGSQ)
            self.put("version", "I", e["version"])
            self.put("n_tokens", "I", len(e["tokens"]))
            self.put_words("tokens", e["tokens"])
        if kind != "seq_file":
            self.put("name_len", "I", len(e["arch"]))
            self.put("name", None, e["arch"].encode("ascii"))

    def put_outputs(self, positions, logits, embeddings):
        found = {"offset": len(self.data), "output_pos": positions}
        self.put("n_outputs", "I", len(positions))
        self.put_words("output_pos", positions)
        for name, floats in (("logits", logits), ("embeddings", embeddings)):
            self.put("n_" + name, "Q", len(floats) // 4)
            found[name + "_offset"], found[name] = len(self.data), floats.hex()
            self.put(name, None, floats)
        return found

    def put_cache(self, prefix, streams):
        start, layout = len(self.data), self.layout
        recurrent = layout.memory == "recurrent"
        if layout.streams and not recurrent:
            self.put(prefix + "n_stream", "I", len(streams))
        found = [self.put_stream("%ss%d." % (prefix, i), stream, recurrent) for i, stream in enumerate(streams)]
        return {"class": "recurrent" if recurrent else "kv", "offset": start, "length": len(self.data) - start, "streams": found}

    def put_stream(self, prefix, stream, recurrent):
        """stream: cells [(pos, seq_ids[, ext])], v_trans, k and v [(type, width)]; "ends" where it ends after cell_count."""
        layout, cells = self.layout, stream["cells"]
        self.put(prefix + "cell_count", "I", len(cells))
        found = {"cell_count": len(cells), "cells_offset": len(self.data), "cells": []}
        for i, (pos, ids, *ext) in enumerate(cells):
            at = "%scell%d." % (prefix, i)
            self.put(at + "pos", "i", pos)
            self.put(at + "n_seq_id", "I", len(ids))
            cell = {"pos": pos}
            if layout.ext:
                cell["ext"] = list(ext[0]) if ext else [self.rng.u32() >> 20 for _ in range(layout.ext // 4)]
                for name, word in zip(("x", "y", "token"), cell["ext"]):
                    self.put(at + name, "i", word)
            for j, seq_id in enumerate(ids):
                self.put("%sseq_id%d" % (at, j), "i", seq_id)
            cell["seq_ids"] = list(ids)
            found["cells"].append(cell)
        if not cells and (stream.get("ends") or (layout.streams and not recurrent)):
            return found
        self.put(prefix + "v_trans", "I", stream.get("v_trans", 0))
        self.put(prefix + "n_layer", "I", len(stream["k"]))
        found.update(v_trans=stream.get("v_trans", 0), n_layer=len(stream["k"]))
        found["k"] = [self.put_tensor("%sk%d." % (prefix, i), *tensor, len(cells), False) for i, tensor in enumerate(stream["k"])]
        found["v"] = []
        if layout.values:
            values = stream.get("v", stream["k"])
            found["v"] = [self.put_tensor("%sv%d." % (prefix, i), *tensor, len(cells), stream.get("v_trans", 0) == 1) for i, tensor in enumerate(values)]
        return found

    def put_tensor(self, prefix, type_, width, cells, transposed):
        name, block, size = TYPES[type_]
        self.put(prefix + "type", "i", type_)
        row_size = width // block * size
        if transposed:
            self.put(prefix + "el_size", "I", size)
            self.put(prefix + "n_embd", "I", width)
            tensor = {"type": name, "el_size": size}
        else:
            self.put(prefix + "row_size", "Q", row_size)
            tensor = {"type": name, "row_size": row_size}
        tensor.update(n_embd=width, offset=len(self.data), length=row_size * cells)
        if self.layout.data:
            self.put(prefix + "data", None, bytes(self.rng.u32() >> 24 for _ in range(row_size * cells)))
        return tensor

    def at(self, name):
        return self.fields[name][0]

    def poked(self, *changes):
        data = self.data
        for name, value in changes:
            at, fmt = self.fields[name]
            new = struct.pack("<" + fmt, value) if fmt else value
            data = data[:at] + new + data[at + len(new):]
        return data

    def spans(self):
        """(name, offset, length) in order."""
        names = list(self.fields)
        ends = [self.at(name) for name in names[1:]] + [len(self.data)]
        return [(name, self.at(name), end - self.at(name)) for name, end in zip(names, ends)]


STATE = {"kind": "state", "arch": "llama"}
NEW = {"kind": "state", "arch": "new-model_1.x"}
SESSION9 = {"kind": "session_file", "version": 9, "tokens": [3, 1, 2], "arch": "qwen2"}
SESSION10 = {"kind": "session_file", "version": 10, "tokens": [], "arch": "new"}
SEQ = {"kind": "seq", "seq_id": 4}
BARE = {"kind": "seq"}
FILE2 = {"kind": "seq_file", "version": 2, "tokens": [7]}
FILE3 = {"kind": "seq_file", "version": 3, "tokens": [-1, 2 ** 31 - 1, -2 ** 31]}


def mamba(name="mamba"):
    return {"kind": "state", "arch": name}


def session(arch, version=10, tokens=()):
    return {"kind": "session_file", "version": version, "tokens": list(tokens), "arch": arch}


def stream(cells=((5, (0,)),), k=((F16, 3),), **more):
    return {"cells": list(cells), "k": list(k), **more}


EMPTY = {"cells": []}


class StateCases(Cases):
    def case(self, id_, comment, data, arch, layout):
        case = {"id": id_, "comment": comment, "view": "state", "hex": data.hex()}
        if arch is not None:
            case["arch"] = arch
        if layout is not None:
            case["layout"] = layout
        return case

    def yes(self, id_, comment, blob, arch=None, layout=None, found=None):
        """found: the layout, where the blob does not use all of the one it was made with."""
        expect = dict(blob.expect, layout=found or blob.expect["layout"])
        got = read_state(blob.data, arch, layout)
        assert got == expect, (id_, got, expect)
        self.add(dict(self.case(id_, comment, blob.data, arch, layout), verdict="accept", expect=expect))

    def no(self, id_, comment, data, kind, offset=None, arch=None, layout=None):
        data = data.data if isinstance(data, Blob) else data
        error = self.error(data, arch, layout)
        assert (error.kind, error.offset if offset is not None else None) == (kind, offset), (id_, kind, offset, error)
        self.add(dict(self.case(id_, comment, data, arch, layout), verdict="reject", error={"kind": kind} if offset is None else {"kind": kind, "offset": offset}))

    def ambiguous(self, id_, comment, data, layouts, arch=None):
        data = data.data if isinstance(data, Blob) else data
        error = self.error(data, arch, None)
        assert error.kind == "Ambiguous" and error.layouts == layouts, (id_, error, getattr(error, "layouts", None))
        self.add(dict(self.case(id_, comment, data, arch, None), verdict="reject", error={"kind": "Ambiguous", "layouts": layouts}))

    def computed(self, id_, comment, data, arch=None, layout=None):
        """A blob that nothing fits; which walk came furthest is the reader's to say."""
        error = self.error(data, arch, layout)
        assert error.kind != "Ambiguous", id_
        self.no(id_, comment, data, error.kind, error.offset, arch, layout)
        return error

    @staticmethod
    def error(data, arch, layout):
        try:
            got = read_state(data, arch, layout)
        except Bad as error:
            return error
        raise AssertionError(("accepted", data.hex(), arch, layout, got["layout"]))


def state_cases():
    c = StateCases("bit-vectors/state", "spec/engram.md", [
        "State blobs. arch and layout, where they are there, are what the caller states.",
        "Tensors are of arbitrary bytes. layouts, with the error Ambiguous, are those that fit.",
    ])
    layout_cases(c)
    envelope_cases(c)
    name_cases(c)
    content_cases(c)
    ambiguous_cases(c)
    rule_cases(c)
    differ_cases(c)
    truncation_cases(c)
    furthest_cases(c)
    return c


OUTPUTS = ([4, 0], bytes(range(1, 13)), bytes(range(21, 25)))


def made(envelope, layout, **more):
    """One small blob of a layout."""
    l = Layout.parse(layout)
    one = stream(**more)
    two = stream([(9, (0,))], [(F32, 1)], **{k: v for k, v in more.items() if k == "v_trans"})
    caches = {"kv": [[one]], "iswa": [[one], [two]], "recurrent": [[one]], "none": []}[l.memory]
    return Blob(envelope, layout, caches, OUTPUTS if l.outputs else None)


ENVELOPES = (
    ("state", STATE), ("state-new", NEW), ("session9", SESSION9), ("session10", SESSION10), ("seq", SEQ), ("bare", BARE), ("file2", FILE2), ("file3", FILE3),
)
ALL_LAYOUTS = [
    "kv", "kv-values", "kv+ext8", "kv+ext8-values", "kv+ext12", "kv+ext12-values", "iswa", "iswa-values", "iswa+ext8", "iswa+ext8-values", "iswa+ext12", "iswa+ext12-values",
]


def layout_cases(c):
    """Every layout behind every envelope that some version wrote it behind."""
    for name, envelope in ENVELOPES:
        texts = [t for t in ALL_LAYOUTS if not ("ext8" in t and name in ("session10", "file3")) and not ("ext12" in t and name in ("session9", "file2", "bare"))]
        if name not in ("state", "seq"):
            texts = [t for t in texts if t in ("kv", "kv-values", "kv+ext8-values", "kv+ext12")]
        if name == "seq":
            texts += [t + "-data" for t in texts if t.startswith("kv") or t == "iswa+ext12-values"]
        if name in ("state", "state-new", "session9"):
            texts += ["kv+outputs", "kv+outputs-streams", "iswa+outputs", "iswa+outputs-streams", "none+outputs"]
        if name in ("bare", "file2"):
            texts += ["kv-streams", "iswa-streams"]
        if name in ("state", "state-new", "session9", "session10"):
            texts.append("none")
        for text in texts:
            # what is not transposed has the form of a recurrent state
            transposed = text.startswith("kv") and "-streams" in text
            c.yes("%s-%s" % (name, text), "%s behind %s" % (text, name), made(envelope, text, **({"v_trans": 1} if transposed else {})))
    for name, envelope in ENVELOPES:
        if class_of(envelope.get("arch")) is None:
            for text in ("recurrent",) + (("recurrent+outputs",) if name == "state-new" else ()):
                b = made(envelope, text, v=[(F32, 5)])
                old = text.replace("recurrent", "kv")
                old = Layout.parse(old)
                old.streams = False
                if name in ("bare", "file2", "state-new") and (old.outputs or name != "state-new"):
                    c.ambiguous("%s-%s" % (name, text), "an old cache looks the same", b, [str(old), text])
                    c.yes("%s-%s-stated" % (name, text), "the layout is stated", b, layout=text)
                    if name != "state-new":
                        c.yes("%s-%s-arch" % (name, text), "the name is stated", b, arch="rwkv7")
                else:
                    c.yes("%s-%s" % (name, text), "%s behind %s" % (text, name), b)
    # the layout stated, on what could not be told, and on what no version wrote
    for name, envelope in (("bare", BARE), ("file2", FILE2)):
        b = made(envelope, "kv-streams")
        c.ambiguous("%s-kv-streams-fa" % name, "a recurrent state looks the same", b, ["kv-streams", "recurrent"])
        c.yes("%s-kv-streams-fa-stated" % name, "the layout is stated", b, layout="kv-streams")
        c.yes("%s-kv-streams-fa-arch" % name, "the name is stated", b, arch="llama")
    c.yes("session10-ext8-stated", "a stated layout that no version wrote behind version 10", made(SESSION10, "kv+ext8"), layout="kv+ext8")
    c.yes("session9-ext12-stated", "a stated layout that no version wrote behind version 9", made(SESSION9, "iswa+ext12"), layout="iswa+ext12")
    c.yes("file3-streams-stated", "-streams behind version 3", made(FILE3, "kv-streams"), layout="kv-streams")
    c.yes("seq-streams-stated", "-streams behind the magic", made(SEQ, "iswa-streams", v_trans=1), layout="iswa-streams")
    c.yes("bare-ext12-stated", "+ext12 without a magic", made(BARE, "kv+ext12-values"), layout="kv+ext12-values")
    for id_, envelope, text in (("session10-ext8", SESSION10, "kv+ext8"), ("session9-ext12", SESSION9, "kv+ext12"), ("file3-ext8", FILE3, "kv+ext8"), ("file2-ext12", FILE2, "kv+ext12"),
                                ("bare-ext12", BARE, "kv+ext12"), ("session10-outputs", SESSION10, "kv+outputs"), ("file3-streams", FILE3, "iswa-streams"),
                                ("seq-streams", SEQ, "iswa-streams")):
        c.computed(id_ + "-untried", "no version wrote %s there" % text, made(envelope, text, **({"v_trans": 1} if "streams" in text else {})).data)
    for text in ("kv-values", "kv+ext8", "kv+ext12", "iswa", "none", "kv-streams", "kv+outputs", "recurrent"):
        c.computed("stated-other-" + text, "a kv blob said to be %s" % text, made(NEW, "kv").data, layout=text)
    b = made(SEQ, "kv")
    c.computed("stated-other-no-data", "a kv blob said to have headers alone", b.data, layout="kv-data")


def envelope_cases(c):
    for seq_id in (0, 255, -1, 2 ** 31 - 1):
        c.yes("seq-id-%d" % seq_id, "the sequence's id is any number", made({"kind": "seq", "seq_id": seq_id}, "kv"))
    for name, envelope, versions in (("session", SESSION9, (0, 1, 8, 11, 2, 3, U32_MAX)), ("file", FILE2, (0, 1, 4, 9, 10, U32_MAX))):
        b = made(envelope, "kv")
        for version in versions:
            c.no("%s-version-%d" % (name, version), "a version that is not known", b.poked(("version", version)), "StateVersion", 4)
        c.no(name + "-version-first", "version and n_tokens: the version counts", b.poked(("version", 0), ("n_tokens", U32_MAX)), "StateVersion", 4)
        for n in (2 ** 30, 2 ** 31, U32_MAX, (len(b.data) - 12) // 4 + 1):
            c.no("%s-tokens-%d" % (name, n), "more tokens than bytes", b.poked(("n_tokens", n)), "Truncated", 12)
    for magic in (GGSN, GGSQ, SEQ_MAGIC):
        data = struct.pack("<I", magic)
        c.no("magic-only-%08x" % magic, "nothing follows the magic", data, "Truncated", 4)
        c.computed("magic-turned-%08x" % magic, "the magic in the other order of bytes", data[::-1] + made(STATE, "kv").data[4:])
    for n in range(4):
        c.no("bytes-%d" % n, "%d bytes" % n, bytes(n), "Truncated", 0)
    c.no("zeros-4", "no name and no streams", bytes(4), "Shape", 0, layout="kv")
    c.no("file2-no-memory", "the memory is missing", Blob(FILE2, "none").data, "Truncated", 16)
    c.no("seq-no-memory", "the memory is missing", Blob(SEQ, "none").data, "Truncated", 8)
    c.no("seq-none", "nothing: a sequence has no name in it", Blob(SEQ, "none"), "Truncated", 8, arch="llama")
    c.yes("seq-none-stated", "nothing, as stated", Blob(SEQ, "none"), layout="none")


def name_cases(c):
    for n in (1, 2, 63, 64):
        c.yes("name-%d" % n, "a name of %d" % n, made(session("z" * n), "kv"))
        c.yes("state-name-%d" % n, "a name of %d" % n, made(mamba("z" * n), "kv"))
    c.yes("name-characters", "all characters of names", made(session("abcdefghijklmnopqrstuvwxyz0123456789_.-"), "kv"))
    c.yes("name-marks", "marks alone", made(session("-._"), "kv"))
    b = made(session("llama"), "kv")
    for n in (0, 65, 2 ** 31, U32_MAX):
        c.no("name-len-%d" % n, "a name of %d" % n, b.poked(("name_len", n)), "TooLarge" if n else "StateArch", b.at("name_len"))
    c.no("name-len-64-short", "a name longer than the bytes", b.data[:b.at("name_len")] + struct.pack("<I", 64) + b"llama", "Truncated", b.at("name"))
    for byte in b"\x00 ,/:@AZ[^`{|\x7f\x80\xe4\xff":
        for at in (byte % 5,):
            name = bytearray(b"llama")
            name[at] = byte
            c.no("name-byte-%02x-%d" % (byte, at), "a byte that names do not have", b.poked(("name", bytes(name))), "StateArch", b.at("name"))
    for stated in ("qwen2", "llam", "llama4", "mamba", "jamba", "x"):
        c.no("arch-other-" + stated, "another name is stated", b, "StateArch", b.at("name"), arch=stated)
        c.no("state-arch-other-" + stated, "another name is stated", made(STATE, "kv"), "StateArch", 4, arch=stated)
    c.yes("arch-same", "the same name is stated", b, arch="llama")
    c.yes("state-arch-same", "the same name is stated", made(STATE, "kv"), arch="llama")
    c.yes("arch-unknown-same", "the same name is stated", made(NEW, "kv"), arch="new-model_1.x")
    for name in sorted(RECURRENT):
        c.yes("recurrent-" + name, "a recurrent model", made(mamba(name), "recurrent+outputs"))
    c.yes("recurrent-session", "a recurrent model", made(session("mamba2", 9, [1]), "recurrent"))
    for name in sorted(HYBRID):
        b = Blob(mamba(name), "kv", [[EMPTY]])
        c.no("hybrid-" + name, "a hybrid model", b, "StateMemory", b.memory)
    b = made(session("jamba", 9, [1, 2]), "kv")
    c.no("hybrid-session", "a hybrid model", b, "StateMemory", b.memory)
    b = made(mamba("rwkv"), "kv+outputs-streams")
    c.yes("outputs-no-seq", "outputs of two behind a name of four: as a sequence it would read the same, but those have no outputs", b, layout="kv+outputs-streams")
    c.yes("hybrid-layout", "the layout is stated", made(mamba("jamba"), "iswa-values"), layout="iswa-values")
    c.no("hybrid-no-memory", "a hybrid model, and no memory", made(mamba("lfm2"), "none"), "StateMemory", 8)
    for name, envelope in (("seq", SEQ), ("file2", FILE2), ("bare", BARE)):
        b = made(envelope, "kv")
        c.no("hybrid-stated-" + name, "the name of a hybrid model is stated", b, "StateMemory", b.memory, arch="qwen35")
    for name in ("gemma3", "phi3"):
        c.yes("attention-" + name, "a model of attention", made(mamba(name), "kv+outputs-streams"))
    for name in ("mamba3", "rwkv", "jamba2"):
        c.ambiguous("unknown-" + name, "a name that is not known", made(mamba(name), "recurrent+outputs"), ["kv+outputs-streams", "recurrent+outputs"])
    c.computed("attention-recurrent", "a recurrent state of a model of attention", made(STATE, "recurrent").data)
    c.computed("recurrent-kv", "a cache of a recurrent model", made(mamba(), "kv").data)
    c.computed("recurrent-none", "nothing of a recurrent model", made(mamba(), "none").data)
    c.computed("seq-arch-recurrent", "a cache, and the name of a recurrent model is stated", made(SEQ, "kv").data, arch="mamba")
    c.yes("seq-arch-unknown", "a name that is not known is stated", made(SEQ, "kv+ext12"), arch="new")


def content_cases(c):
    many = list(range(256))
    c.yes("ids-256", "a cell of 256 sequences", Blob(STATE, "kv", [[stream([(0, many)])]]))
    c.yes("ids-many", "cells of several sequences, positions in any order and again", Blob(STATE, "kv", [[stream([(7, (0, 1, 255)), (2, (254,)), (7, (0,)), (2 ** 31 - 1, (1, 3)), (0, (0, 2, 4))])]]))
    c.yes("ids-none-recurrent", "a recurrent cell of no sequence", Blob(mamba(), "recurrent", [[stream([(3, ()), (4, (0, 9))])]]))
    c.yes("ids-none-recurrent-seq", "a recurrent cell without ids", Blob(SEQ, "recurrent", [[stream([(3, ())])]]))
    c.yes("ids-none-streams", "up to 0.3.9: no ids", Blob(FILE2, "kv-streams", [[stream([(3, ()), (1, ())], v_trans=1)]]))
    c.yes("ids-mixed-streams", "both", Blob(BARE, "kv-streams", [[stream([(3, ()), (1, (8,))], v_trans=1)]]))
    c.yes("ext-any", "x, y and token are any numbers", Blob(STATE, "kv+ext12", [[stream([(0, (0,), (-1, 2 ** 31 - 1, -2 ** 31)), (0, (0, 1, 2), (1, 2, 3))])]]))
    c.yes("ext8-any", "x and y are any numbers", Blob(SESSION9, "kv+ext8", [[stream([(0, (0,), (-1, -2 ** 31)), (0, (3, 4), (1, 2))])]]))
    for type_, (name, block, _) in TYPES.items():
        k = [(type_, block * 2)]
        c.yes("type-" + name, name, Blob(STATE, "kv", [[stream(k=k)]]))
        if block == 1:
            c.yes("type-transposed-" + name, "transposed " + name, Blob(STATE, "kv", [[stream([(0, (0,)), (1, (0,)), (2, (0,))], k=k, v_trans=1)]]))
    c.yes("types-mixed", "keys, values and layers of their own types and sizes", Blob(STATE, "kv", [[stream(
        [(0, (0,)), (1, (0,))], [(Q8_0, 64), (F16, 5), (Q4_0, 32)], v=[(F32, 1), (Q5_1, 32), (BF16, 7)])]]))
    c.yes("types-mixed-transposed", "quantised keys, transposed values", Blob(STATE, "kv", [[stream(
        [(0, (0,)), (1, (0,))], [(Q8_0, 64), (IQ4_NL, 32)], v=[(F32, 3), (F16, 2)], v_trans=1)]]))
    one, other = stream([(0, (0,)), (1, (0,))]), stream([(0, (2,))])
    c.yes("streams-3", "three streams, the second empty", Blob(STATE, "kv", [[one, EMPTY, other]]))
    c.yes("streams-ends", "the first and the last stream empty", Blob(SEQ, "kv", [[EMPTY, EMPTY, one, other, EMPTY]]))
    c.yes("streams-transposed", "transposed streams of different lengths", Blob(STATE, "kv", [[stream([(0, (0,)), (1, (0,))], v_trans=1), stream([(0, (1,))], v_trans=1)]]))
    c.yes("streams-values", "streams without values", Blob(STATE, "kv-values", [[one, other]]))
    c.yes("iswa-streams-2", "two caches of two streams", Blob(STATE, "iswa", [[one, other], [EMPTY, stream([(5, (1,))], [(F32, 1)])]]))
    c.yes("iswa-v-trans", "caches that differ in everything", Blob(STATE, "iswa", [[stream([(0, (0,))] * 4, [(F32, 2)] * 3, v_trans=1)], [EMPTY, stream([(2, (1,))], [(Q4_1, 32)])]]))
    c.yes("iswa-cells", "caches of different lengths", Blob(SEQ, "iswa", [[stream([(i, (0,)) for i in range(6)], [(F16, 2)])], [stream([(i, (0,)) for i in range(4, 6)], [(F16, 2)] * 5)]]))
    c.yes("iswa-no-layers", "a cache of cells without layers", Blob(STATE, "iswa", [[stream(k=[])], [stream()]]))
    c.yes("iswa-no-layers-2", "the same, the second", Blob(STATE, "iswa", [[stream()], [stream(k=[])]]))
    c.yes("iswa-no-layers-both", "neither has layers: neither values nor data are told", Blob(SEQ, "iswa-values-data", [[stream(k=[])], [stream(k=[], v_trans=1)]]), found="iswa")
    # empty caches
    for name, envelope in ENVELOPES:
        c.yes("empty-" + name, "a cache without cells: nothing else is told", Blob(envelope, "kv", [[EMPTY]]))
    c.yes("empty-3", "three streams without cells", Blob(STATE, "kv", [[EMPTY] * 3]))
    c.yes("empty-iswa", "two caches without cells", Blob(STATE, "iswa", [[EMPTY], [EMPTY] * 2]))
    c.yes("empty-iswa-one", "the second without cells", Blob(STATE, "iswa+ext12-values", [[stream()], [EMPTY]]))
    c.yes("empty-outputs", "outputs of none, and a cache without cells", Blob(STATE, "kv+outputs", [[EMPTY]]))
    for text in ("kv+ext8-values", "kv+ext12", "kv-values"):
        c.yes("empty-stated-" + text, "a stated layout of which nothing is used", Blob(STATE, "kv", [[EMPTY]]), layout=text)
    c.yes("empty-stated-data", "the same with -data", Blob(SEQ, "iswa", [[EMPTY], [EMPTY]]), layout="iswa+ext12-values-data")
    headers = stream([], [(F16, 4), (Q8_0, 64)])
    c.yes("empty-old", "an old cache without cells: all headers", Blob(STATE, "kv+outputs-streams", [[headers]]))
    c.yes("empty-old-transposed", "transposed", Blob(NEW, "kv+outputs-streams", [[stream([], [(F16, 4)] * 3, v=[(F32, 2)] * 3, v_trans=1)]]))
    b = Blob(NEW, "kv+outputs-streams", [[headers]])
    c.ambiguous("empty-old-unknown", "a recurrent state without cells looks the same", b, ["kv+outputs-streams", "recurrent+outputs"])
    c.yes("empty-old-stated", "the layout is stated", b, layout="kv+outputs-streams")
    c.yes("empty-old-iswa", "two old caches, one without cells", Blob(STATE, "iswa+outputs-streams", [[stream()], [headers]]))
    c.yes("empty-old-zeros", "two old caches of neither cells nor layers", Blob(BARE, "iswa-streams", [[stream([], [])], [stream([], [])]]))
    c.yes("empty-recurrent", "a recurrent state that ends after cell_count", Blob(mamba(), "recurrent", [[{"cells": [], "ends": True}]]))
    c.yes("empty-recurrent-seq", "the same without a name", Blob(SEQ, "recurrent", [[{"cells": [], "ends": True}]]))
    c.yes("empty-recurrent-headers", "a recurrent state without cells, with headers", Blob(mamba(), "recurrent", [[stream([], [(F32, 3), (F32, 2)], v=[(F32, 6), (F32, 1)])]]))
    # recurrent states
    c.yes("recurrent-layers", "R and S of different sizes", Blob(mamba(), "recurrent", [[stream([(8, (0,)), (9, (1, 2))], [(F32, 2), (F32, 3)], v=[(F32, 5), (F16, 1)])]]))
    # outputs
    for id_, outputs in (("positions", ([0, -1, 5], b"", b"")), ("logits", ([], bytes(range(8)), b"")), ("embeddings", ([1], b"", bytes(range(12))))):
        c.yes("outputs-" + id_, "outputs: %s alone" % id_, Blob(STATE, "kv+outputs", [[stream()]], outputs))
    c.yes("outputs-none", "outputs of a model without a cache", Blob(mamba("bert"), "none+outputs", [], ([0], b"", bytes(8))))
    c.yes("outputs-none-empty", "20 zero bytes", Blob(mamba("bert"), "none+outputs"))
    # headers alone
    c.yes("data-cells", "headers alone: length is what there would be", Blob(SEQ, "kv-data", [[stream([(i, (4,)) for i in range(5)], [(F16, 64), (Q8_0, 64)], v_trans=1, v=[(F16, 64), (F32, 2)])]]))
    c.computed("data-bare", "headers alone behind another envelope", Blob(SEQ, "kv-data", [[stream()]]).data[8:])


def ambiguous_cases(c):
    b = Blob(SEQ, "kv-data", [[stream(k=[(F16, 6)])]])
    c.ambiguous("ambiguous-data", "the header of the values is, or is not, the data of the keys", b, ["kv-values", "kv-data"])
    for text in ("kv-data", "kv-values"):
        found = read_state(b.data, None, text)
        assert found["layout"] == text
        c.add(dict(c.case("ambiguous-data-" + text, "stated: " + text, b.data, None, text), verdict="accept", expect=found))
    # n_stream, cell_count, pos, n_seq_id ... or cell_count, pos, n_seq_id = 0, v_trans ...
    words = [1, 1, 0, 1, 1, 0, 4]
    rows = [(0, 4), (30, 4), (1, 8), (1, 8), (0, 8), (1, 4), (0, 4), (0, 4)]
    fill = [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    for type_, row_size in rows:
        words += [type_, row_size, 0] + [fill.pop(0) for _ in range(row_size // 4)]
    data = struct.pack("<%dI" % len(words), *words)
    c.ambiguous("ambiguous-streams", "the number of streams, or of cells", data, ["kv", "kv-streams"])
    c.ambiguous("ambiguous-streams-arch", "the model's name does not help", data, ["kv", "kv-streams"], arch="llama")
    for text in ("kv", "kv-streams"):
        c.add(dict(c.case("ambiguous-streams-" + text, "stated: " + text, data, None, text), verdict="accept", expect=read_state(data, None, text)))


BIG = (U32_MAX, 2 ** 31)


def rule_cases(c):
    """Each rule of the tables, the layout stated: the fields of one blob set to what they must not be."""
    def at_fields(name, b, faults, **known):
        known.setdefault("layout", b.expect["layout"])
        read_state(b.data, **known)
        for field, values, kind in faults:
            for value in values:
                shown = value if isinstance(value, int) else value.hex()
                data = b.poked((field, value))[:b.at(field) + 20]       # what follows does not count
                c.no("%s-%s-%s" % (name, field, shown), "%s is %s" % (field, shown), data, kind, b.at(field), **known)

    s0 = "c0.s0."
    plain = Blob(STATE, "kv", [[stream([(5, (0, 2)), (1, (3,))], [(F16, 2), (Q4_0, 32)], v=[(F32, 1), (F16, 1)])]])
    sizes_f16 = [(s0 + "k0.row_size", (1, 3, 5, U64 - 1, 2 ** 63 + 1), "RowSize"), (s0 + "k0.row_size", (0,), "Shape"),
                 (s0 + "k0.row_size", (2 ** 33, 2 ** 63, U64 - 2, 2 ** 34), "TooLarge")]
    at_fields("kv", plain, [
        ("c0.n_stream", (0,), "Shape"), ("c0.n_stream", (257, *BIG), "TooLarge"),
        (s0 + "cell0.pos", (-1, -2 ** 31), "Number"), (s0 + "cell1.pos", (-1,), "Number"),
        (s0 + "cell0.n_seq_id", (0,), "Shape"), (s0 + "cell0.n_seq_id", (257, *BIG), "TooLarge"), (s0 + "cell1.n_seq_id", (0,), "Shape"),
        (s0 + "cell0.seq_id0", (-1, 256, 2 ** 31 - 1), "Number"), (s0 + "cell0.seq_id1", (-1, 256), "Number"), (s0 + "cell0.seq_id1", (0,), "Order"),
        (s0 + "v_trans", (2, 256, *BIG), "Bool"),
        (s0 + "n_layer", (0,), "Shape"), (s0 + "n_layer", (513, *BIG), "TooLarge"),
        (s0 + "k0.type", (-1, 4, 5, 9, 19, 21, 29, 31, 256, -2 ** 31), "GgmlType"),
        (s0 + "k1.type", (4,), "GgmlType"), (s0 + "v0.type", (5,), "GgmlType"), (s0 + "v1.type", (-1,), "GgmlType"),
        *sizes_f16,
        (s0 + "k1.row_size", (1, 17, 19, 2 ** 63, U64 - 1), "RowSize"), (s0 + "k1.row_size", (0,), "Shape"),
        (s0 + "k1.row_size", (18 * 2 ** 27, 18 * (2 ** 59)), "TooLarge"),
        (s0 + "v0.row_size", (2, U64 - 1), "RowSize"), (s0 + "v0.row_size", (0,), "Shape"), (s0 + "v0.row_size", (2 ** 34, 2 ** 63, U64 - 4), "TooLarge"),
    ])
    # the largest counts: what follows is wrong, and comes first
    b = Blob(STATE, "kv", [[stream()]])
    c.no("layers-512", "512 layers, of which the second is none", b.poked((s0 + "n_layer", 512), (s0 + "v0.type", 99)), "GgmlType", b.at(s0 + "v0.type"), layout="kv")
    c.no("streams-256", "256 streams, of which the second is none", b.data.replace(struct.pack("<I", 1), struct.pack("<I", 256), 1), "Truncated", len(b.data), layout="kv")
    # the largest rows
    for name, type_, size in (("f32", F32, 2 ** 34 - 4), ("f16", F16, 2 ** 33 - 2), ("q8_0", Q8_0, 34 * (2 ** 27 - 1)), ("bf16", BF16, 2 ** 33 - 2)):
        over = size + TYPES[type_][2]
        data = plain.poked((s0 + "k0.type", type_), (s0 + "k0.row_size", size))
        c.no("row-max-" + name, "the longest row, and it is not there", data, "Truncated", plain.at(s0 + "k0.data"), layout="kv")
        data = plain.poked((s0 + "k0.type", type_), (s0 + "k0.row_size", over))
        c.no("row-over-" + name, "a row of 2^32 elements", data, "TooLarge", plain.at(s0 + "k0.row_size"), layout="kv")
    for n in (6, 2 ** 32, 2 ** 32 + 4):
        data = plain.poked((s0 + "v1.row_size", n))
        c.no("row-longer-%d" % n, "more bytes than there are", data, "Truncated", plain.at(s0 + "v1.data"), layout="kv")
    c.computed("cells-max", "the largest number of cells", plain.poked((s0 + "cell_count", U32_MAX)), layout="kv")
    trans = Blob(STATE, "kv", [[stream([(5, (0,)), (6, (0,))], [(Q8_0, 32), (F16, 1)], v=[(F16, 3), (F32, 1)], v_trans=1)]])
    at_fields("transposed", trans, [
        (s0 + "v0.type", (Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL, 4, -1, 31), "GgmlType"), (s0 + "v1.type", (Q8_0,), "GgmlType"),
        (s0 + "v0.el_size", (0, 1, 3, 4, *BIG), "Shape"), (s0 + "v1.el_size", (2, 8), "Shape"), (s0 + "v0.n_embd", (0,), "Shape"), (s0 + "v1.n_embd", (0,), "Shape"),
    ])
    for n in BIG:
        c.no("transposed-longer-%d" % n, "more bytes than there are", trans.poked((s0 + "v0.n_embd", n)), "Truncated", trans.at(s0 + "v0.data"), layout="kv")
    single = Blob(SEQ, "kv+ext12", [[stream([(5, (0,)), (6, (1,))])]])
    at_fields("seq", single, [
        (s0 + "cell0.n_seq_id", (0,), "Shape"), (s0 + "cell0.n_seq_id", (2, 256, *BIG), "TooLarge"), (s0 + "cell1.pos", (-1,), "Number"), (s0 + "cell1.seq_id0", (-1, 256), "Number"),
    ])
    file = Blob(FILE3, "kv", [[stream([(5, (0,)), (6, (1,))])]])
    at_fields("file", file, [(s0 + "cell1.n_seq_id", (0,), "Shape"), (s0 + "cell1.n_seq_id", (2, 256, U32_MAX), "TooLarge"), (s0 + "cell1.seq_id0", (-1, 256), "Number")])
    old = Blob(BARE, "kv-streams", [[stream([(5, (0,)), (6, ())], [(F16, 1), (F16, 1)])]])
    at_fields("old", old, [
        (s0 + "cell0.n_seq_id", (2, 256, U32_MAX), "TooLarge"), (s0 + "cell0.seq_id0", (256,), "Number"), (s0 + "v_trans", (2,), "Bool"), (s0 + "n_layer", (0,), "Shape"),
        (s0 + "n_layer", (513,), "TooLarge"),
    ])
    state_old = Blob(STATE, "kv+outputs-streams", [[stream([(5, (0,)), (6, (1, 2))])]], OUTPUTS)
    at_fields("state-old", state_old, [(s0 + "cell0.n_seq_id", (0,), "Shape"), (s0 + "cell1.n_seq_id", (257,), "TooLarge"), (s0 + "cell1.seq_id1", (1, 0), "Order")])
    headers = Blob(STATE, "kv+outputs-streams", [[stream([], [(F16, 4), (Q8_0, 64)], v_trans=0)]])
    at_fields("headers", headers, [
        *sizes_f16, (s0 + "k1.row_size", (33, 2 ** 63), "RowSize"), (s0 + "v1.row_size", (0,), "Shape"), (s0 + "k1.type", (4,), "GgmlType"), (s0 + "n_layer", (0,), "Shape"),
        (s0 + "v1.row_size", (34 * 2 ** 27,), "TooLarge"),
    ])
    alone = Blob(SEQ, "kv-data", [[stream([(0, (0,)), (1, (0,))], [(F16, 4), (Q8_0, 64)])]])
    at_fields("data", alone, [
        *sizes_f16, (s0 + "k1.row_size", (33, 2 ** 63), "RowSize"), (s0 + "v1.row_size", (0,), "Shape"), (s0 + "v1.row_size", (34 * 2 ** 27,), "TooLarge"),
        (s0 + "k1.type", (4,), "GgmlType"),
    ])
    iswa = Blob(STATE, "iswa", [[stream()], [EMPTY, stream([(5, (0,))], [(F32, 1)])]])
    at_fields("iswa", iswa, [
        ("c0.n_stream", (0,), "Shape"), ("c1.n_stream", (0,), "Shape"), ("c1.n_stream", (257,), "TooLarge"), ("c1.s1.cell0.pos", (-1,), "Number"), ("c1.s1.v_trans", (2,), "Bool"),
        ("c1.s1.n_layer", (513,), "TooLarge"), ("c1.s1.k0.type", (4,), "GgmlType"), ("c1.s1.v0.row_size", (3,), "RowSize"), ("c1.s1.v0.row_size", (0,), "Shape"),
    ])
    recurrent = Blob(mamba(), "recurrent", [[stream([(5, ()), (6, (1, 2))], [(F32, 1), (F32, 2)], v=[(F32, 2), (F16, 1)])]])
    at_fields("recurrent", recurrent, [
        (s0 + "cell0.pos", (-1,), "Number"), (s0 + "cell1.n_seq_id", (257,), "TooLarge"), (s0 + "cell1.seq_id0", (-1, 256), "Number"), (s0 + "cell1.seq_id1", (1, 0), "Order"),
        (s0 + "v_trans", (1, 2, U32_MAX), "Bool"), (s0 + "n_layer", (0,), "Shape"), (s0 + "n_layer", (513,), "TooLarge"), (s0 + "k1.type", (4,), "GgmlType"), (s0 + "v1.row_size", (3,), "RowSize"),
    ])
    recurrent_seq = Blob(SEQ, "recurrent", [[stream([(5, ()), (6, (1,))])]])
    at_fields("recurrent-seq", recurrent_seq, [(s0 + "cell1.n_seq_id", (2, 256), "TooLarge")])
    outputs = made(STATE, "kv+outputs")
    for field, next_, values in (("n_outputs", "output_pos", (2 ** 30, U32_MAX)), ("n_logits", "logits", (2 ** 30, 2 ** 61, 2 ** 62, 2 ** 63, U64 - 1)), ("n_embeddings", "embeddings", (2 ** 62, U64 - 1, 2 ** 62 + 1))):
        for value in values:
            data, over = outputs.poked((field, value)), field != "n_outputs" and 4 * value >= U64
            c.no("outputs-%s-%d" % (field, value), "more than there are bytes", data, "Size" if over else "Truncated", outputs.at(field) if over else outputs.at(next_), layout="kv+outputs")
    # two faults: the first in the blob counts
    pairs = [
        ("c0.n_stream", 0, "Shape"), (s0 + "cell0.pos", -1, "Number"), (s0 + "cell0.seq_id1", 0, "Order"), (s0 + "cell1.n_seq_id", 0, "Shape"), (s0 + "v_trans", 7, "Bool"), (s0 + "n_layer", 600, "TooLarge"),
        (s0 + "k0.type", 99, "GgmlType"), (s0 + "k0.row_size", 1, "RowSize"), (s0 + "k1.row_size", 0, "Shape"), (s0 + "v1.type", 4, "GgmlType"),
    ]
    for (one, a, kind), (other, b, _) in [*zip(pairs, pairs[1:]), *zip(pairs, pairs[4:])]:
        c.no("both-%s-%s" % (one[3:], other[3:]), "two faults", plain.poked((one, a), (other, b))[:plain.at(other) + 8], kind, plain.at(one), layout="kv")
    for name, b in (("kv", made(STATE, "kv")), ("transposed", made(STATE, "kv", v_trans=1)), ("iswa", iswa), ("recurrent", recurrent), ("outputs", outputs), ("old", old), ("data", alone), ("none", made(STATE, "none"))):
        layout = b.expect["layout"]
        c.no("trailing-" + name, "a byte follows", b.data + b"\x00", "TrailingBytes", len(b.data), layout=layout)
        c.computed("trailing-%s-tried" % name, "4 bytes follow, no layout is stated", b.data + b"\x01\x00\x00\x00")
    c.no("trailing-twice", "the blob twice", plain.data + plain.data[9:], "TrailingBytes", len(plain.data), layout="kv")


def differ_cases(c):
    """Streams of a cache that differ."""
    def no(id_, comment, streams, field, layout="kv", envelope=STATE, caches=None):
        b = Blob(envelope, layout, caches or [streams])
        c.no("differ-" + id_, comment, b, "StreamsDiffer", b.at(field), layout=layout)
        return b

    two = [(0, (0,)), (1, (0,))]
    one = stream(two, [(F16, 2), (F16, 4)])
    no("v-trans", "v_trans", [one, stream(k=one["k"], v_trans=1)], "c0.s1.v_trans")
    no("v-trans-0", "v_trans", [stream(k=one["k"], v_trans=1), one], "c0.s1.v_trans")
    no("n-layer", "n_layer", [one, stream(k=one["k"][:1])], "c0.s1.n_layer")
    no("n-layer-more", "n_layer", [one, stream(k=one["k"] * 2)], "c0.s1.n_layer")
    no("k-type", "type of the same size", [one, stream(k=[(F16, 2), (BF16, 4)], v=one["k"])], "c0.s1.k1.type")
    no("k-row", "row_size", [one, stream(k=[(F16, 3), (F16, 4)], v=one["k"])], "c0.s1.k0.row_size")
    no("v-type", "type of values", [one, stream(k=one["k"], v=[(BF16, 2), (F16, 4)])], "c0.s1.v0.type")
    no("v-row", "row_size of values", [one, stream(k=one["k"], v=[(F16, 2), (F16, 5)])], "c0.s1.v1.row_size")
    no("type-and-row", "type and row_size: the type", [one, stream(k=[(F32, 2), (F16, 4)], v=one["k"])], "c0.s1.k0.type")
    no("trans-type", "type of transposed values", [stream(two, [(F16, 2)], v_trans=1), stream(k=[(F16, 2)], v=[(BF16, 2)], v_trans=1)], "c0.s1.v0.type")
    no("trans-width", "n_embd", [stream(two, [(F16, 2)], v_trans=1), stream(k=[(F16, 2)], v=[(F16, 3)], v_trans=1)], "c0.s1.v0.n_embd")
    no("third", "the third stream", [one, stream(k=one["k"]), stream(k=one["k"][::-1])], "c0.s2.k0.row_size")
    no("after-empty", "a stream without cells between", [EMPTY, one, EMPTY, stream(k=one["k"][::-1])], "c0.s3.k0.row_size")
    no("second-cache", "in the second cache", None, "c1.s1.n_layer", "iswa", caches=[[one], [one, stream(k=[])]])
    no("second-cache-0", "no layers in the first stream", None, "c1.s1.n_layer", "iswa", caches=[[one], [stream(k=[]), one]])
    no("no-data", "headers alone", [one, stream(k=one["k"][::-1])], "c0.s1.k0.row_size", "kv-data", SEQ)
    b = Blob(STATE, "kv", [[one, stream(k=[(F16, 2), (BF16, 4)], v=one["k"])]])
    c.no("differ-later-fault", "what is wrong later in the second stream comes first", b.poked(("c0.s1.v1.type", 4)), "GgmlType", b.at("c0.s1.v1.type"), layout="kv")
    c.no("differ-cut", "the second stream is not read to its end", b.data[:-1], "Truncated", b.at("c0.s1.v1.data"), layout="kv")
    c.no("differ-trailing", "the streams come before what follows", b.data + b"\x00", "StreamsDiffer", b.at("c0.s1.k1.type"), layout="kv")
    b = Blob(STATE, "kv", [[one, stream(k=[(F16, 2), (BF16, 4)], v=one["k"]), stream([(-1, (0,))], one["k"])]])
    c.no("differ-third-fault", "the second stream comes before the third", b, "StreamsDiffer", b.at("c0.s1.k1.type"), layout="kv")


def truncation_cases(c):
    """At every field, the layout stated: Truncated where the field starts. Of arrays of words: at their ends."""
    turn = itertools.cycle((0, 1, 2))

    def cuts(name, b, arch=None, start=0):
        layout = b.expect["layout"]
        for field, at, length in b.spans():
            if at < start:
                continue
            # the ids are one field, and so is the extension
            for end, before in ((".seq_id1", 4), (".y", 4), (".token", 8)):
                if field.endswith(end):
                    at, length = at - before, length + before
            for n in sorted({(0, length // 2, length - 1)[next(turn)]} if length else ()):
                c.no("cut-%s-%s-%d" % (name, field, n), "cut", b.data[:at + n], "Truncated", at, arch, layout)

    s = [stream([(5, (0,))], [(F16, 1)])]
    cuts("session", Blob(session("ab", 9, [1]), "kv+outputs", [s], ([1], bytes(4), bytes(4))))
    cuts("seq", Blob(SEQ, "kv+ext12", [s]))
    b = Blob(STATE, "iswa", [[stream([(5, (0, 3))], [(F16, 1)])], [EMPTY, stream([(6, (0,))], [(Q8_0, 32)])]])
    cuts("iswa", b, start=b.at("c0.s0.cell0.seq_id1"))
    b = Blob(SEQ, "kv-data", [[stream(k=[(F16, 1), (F16, 1)], v_trans=1)]])
    cuts("data", b, start=b.memory)
    b = Blob(STATE, "kv+outputs-streams", [[stream([], [(F16, 2)])]])
    cuts("old-empty", b, start=b.at("c0.s0.cell_count"))
    b = Blob(mamba(), "recurrent", [[stream([(4, (0,))], [(F16, 1)])]])
    cuts("recurrent", b, start=b.at("c0.s0.v_trans"))
    b = Blob(mamba(), "recurrent", [[stream([], [(F16, 1)])]])
    cuts("recurrent-empty", b, start=b.at("c0.s0.n_layer"))


def furthest_cases(c):
    """No layout is stated, and none fits."""
    for name, envelope in ENVELOPES:
        b = made(envelope, "kv")
        for at in range(b.memory + 1, len(b.data), 9) if envelope in (STATE, SESSION10, SEQ, BARE) else ():
            if at != b.at("c0.s0.v0.type"):         # where it ends as one without values would
                c.computed("short-%s-%d" % (name, at), "cut", b.data[:at])
        if name not in ("state", "seq", "bare"):
            continue
        for field, value in (("n_stream", 0), ("n_stream", 2), ("n_stream", 257), ("s0.cell_count", 2), ("s0.cell_count", U32_MAX), ("s0.cell0.pos", -1), ("s0.cell0.n_seq_id", 0), ("s0.cell0.n_seq_id", 257),
                             ("s0.cell0.seq_id0", 256), ("s0.v_trans", 2), ("s0.n_layer", 0), ("s0.n_layer", 513), ("s0.k0.type", 4), ("s0.k0.row_size", 0), ("s0.k0.row_size", 2 ** 63), ("s0.k0.row_size", U64 - 1),
                             ("s0.v0.type", -1), ("s0.v0.row_size", 3), ("s0.v0.row_size", 8)):
            c.computed("tried-%s-%s-%d" % (name, field, value), "%s is %d" % (field, value), b.poked(("c0." + field, value)))
    b = made(STATE, "kv")
    for at in (4, 6, 8):
        c.computed("short-state-%d" % at, "cut", b.data[:at])
    for name in (b"Llama", b"llam\x00", b"llam "):
        c.computed("state-name-%s" % name.hex(), "no name, and no sequence either", b.poked(("name", name)))
    c.computed("state-name-len-0", "no name, and no sequence either", b.poked(("name_len", 0)))
    c.computed("state-name-len-65", "no name, and no sequence either", b.poked(("name_len", 65)))
    rng = Lcg(77)
    for n in (8, 16, 40, 100):
        c.computed("noise-%d" % n, "noise", bytes(rng.u32() >> 24 for _ in range(n)))
    for n in (5, 8, 12, 24, 40):
        c.computed("ff-%d" % n, "FF", b"\xff" * n)
    # of a walk that ended before the bytes did and one that came further, the latter counts
    b = made(STATE, "kv-values")
    error = c.computed("further", "a walk ended, another came further", b.data + struct.pack("<iQ", 1, 2) + b"ab" + b"\x00")
    assert error.offset > len(b.data), error


# ---------------------------------------------------------------------------------------------------------
# The index
# ---------------------------------------------------------------------------------------------------------

(I16, F16_ELEMENT, F32_ELEMENT, I8, BITS) = (1, 5, 7, 8, 9)
ELEMENT_NAME = {I16: "i16", F16_ELEMENT: "f16", F32_ELEMENT: "f32", I8: "i8", BITS: "bits"}

# offset and format of ENGRAM_INDEX_V1's fields
ENG = {
    "metric": (0, ">B"), "method": (1, ">B"), "vectors_per_entry": (2, ">H"), "strings_len": (4, ">I"), "whitening_prefix": (8, ">8s"), "reserved": (16, ">Q"),
}
TEXTS = ("cache_id", "task_description", "model_id")


def row_len(element, dim):
    return {I16: 2 * dim, F16_ELEMENT: 2 * dim, F32_ELEMENT: 4 * dim, I8: dim, BITS: -(-dim // 8)}[element]


def foreign(f, own):
    for tlv in f.tlvs:
        if 0x03 <= tlv.type <= 0x7F and tlv.type != own:
            raise Bad("ForeignTlv", tlv.off)


def f32_of(data):
    return struct.unpack("<f", data)[0]


def read_index(data):
    f = read_frame(data)
    c, off = f.cfg, f.cfg_off
    if c["kind"] != 4:                                          # 1
        raise Bad("Kind", off["kind"])
    tlv = f.find(ENGRAM)
    if not tlv:                                                 # 2
        raise Bad("TlvMissing", f.would_stand(ENGRAM))
    foreign(f, ENGRAM)                                          # 3
    element, rows, dim = c["element"], c["rows"], c["dim"]
    if element not in ELEMENT_NAME:                             # 4
        raise Bad("Code", off["element"])
    if dim < 1:                                                 # 5
        raise Bad("Shape", off["dim"])
    e = fields(ENG, tlv.value)

    def at(name):
        return tlv.val_off + ENG[name][0]

    if e["metric"] > 2:                                         # 6
        raise Bad("Code", at("metric"))
    if e["method"] > 7:                                         # 7
        raise Bad("Code", at("method"))
    per = e["vectors_per_entry"]
    if per < 1 or (per != 1 and e["metric"] != 2) or rows % per:    # 8
        raise Bad("Shape", at("vectors_per_entry"))
    if e["reserved"]:                                           # 9
        raise Bad("Reserved", at("reserved"))
    one = row_len(element, dim)                                 # 10
    scales_at = rows * one
    entries_at = scales_at + (4 * rows if element == I8 else 0)
    strings_at = entries_at + rows // per * 40
    length = strings_at + e["strings_len"]
    if length >= U64:
        raise Bad("Size", off["payload_len"])
    if length != c["payload_len"]:
        raise Bad("Shape", off["payload_len"])
    p, base = f.payload, f.payload_off
    if element == BITS and dim % 8:                             # 11
        for row in range(rows):
            last = row * one + one - 1
            if p[last] >> dim % 8:
                raise Bad("SpareBits", base + last)
    for at in range(scales_at, entries_at, 4):                  # 12
        scale = f32_of(p[at:at + 4])
        if not math.isfinite(scale) or scale < 0:
            raise Bad("Number", base + at)
    try:                                                        # 13
        strings = p[strings_at:]
        strings.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Bad("Utf8", base + strings_at + error.start) from None
    entries = []
    for start in range(entries_at, strings_at, 40):             # 14
        context_len, created_at = struct.unpack_from("<Iq", p, start + 4)
        entry = {"l2_norm": p[start:start + 4][::-1].hex(), "context_len": context_len, "created_at": created_at}
        for i, name in enumerate(TEXTS):
            at = start + 16 + 8 * i
            first, n = struct.unpack_from("<II", p, at)
            if first + n > len(strings):
                raise Bad("PastEnd", base + at)
            if any(at < len(strings) and strings[at] & 0xC0 == 0x80 for at in (first, first + n)):
                raise Bad("Utf8", base + strings_at + first)
            entry[name] = strings[first:first + n].decode("utf-8")
        entries.append(entry)
    return {
        "element": element, "rows": rows, "dim": dim, "delta_q16": c["delta_q16"], "metric": e["metric"], "method": e["method"], "vectors_per_entry": per,
        "whitening_prefix": e["whitening_prefix"].hex(), "vectors": p[:scales_at].hex(), "scales": p[scales_at:entries_at].hex(), "entries": entries,
    }


def entry(cache_id=(0, 0), task=(0, 0), model=(0, 0), l2_norm=1.5, context_len=7, created_at=1700000000):
    norm = l2_norm if isinstance(l2_norm, bytes) else struct.pack("<f", l2_norm)
    return norm + struct.pack("<Iq6I", context_len, created_at, *cache_id, *task, *model)


def sealed(f, **seal):
    f.seal(**seal)
    return f.seal(**dict(seal, digest=True)) if f.crc_off() - 4 > DIGEST_LIMIT else f


def index_frame(element=F32_ELEMENT, dim=2, vectors=b"", scales=b"", entries=(), strings=b"", metric=0, method=0, per=1, prefix=bytes(8), reserved=0, rows=None, delta_q16=None,
                context=None, ctx=None, flags=0, **seal):
    rows = len(vectors) // row_len(element, dim) if rows is None else rows
    delta_q16 = (1024 if element == I16 else 0) if delta_q16 is None else delta_q16
    f = Frame(4, element, rows, dim, delta_q16, vectors + scales + b"".join(entries) + strings, flags, context, ctx)
    f.put(ENGRAM, struct.pack(">BBHI8sQ", metric, method, per, len(strings), prefix, reserved))
    f.parts = (len(vectors), len(vectors) + len(scales), len(vectors) + len(scales) + 40 * len(entries))
    return sealed(f, **seal)


def eng(f, **values):
    for name, value in values.items():
        off, fmt = ENG[name]
        f.poke(ENGRAM, off, struct.pack(fmt, value))
    return f


def eng_off(f, name):
    return f.val(ENGRAM) + ENG[name][0]


def payload_poked(f, at, new):
    f.payload = f.payload[:at] + new + f.payload[at + len(new):]
    return f


def longer(f):
    f.payload += b"\x00"
    f.cfg(payload_len=len(f.payload))


class ViewCases(Cases):
    @staticmethod
    def run(view, data, key):
        return read_index(data) if view == "engram-index" else read_whitening(data)

    def no(self, view, id_, comment, f, kind, offset):
        self.reject(id_, comment, f.bytes() if isinstance(f, Frame) else f, view, kind, offset)


STRINGS = "ida idb\u00e4\u20ac\U0001F600model".encode("utf-8")


def arbitrary(rng, n):
    return bytes(rng.u32() >> 24 for _ in range(n))


def base_index(element=F32_ELEMENT, dim=3, rows=2, metric=1, method=2, per=1, **more):
    """Entries of all strings of STRINGS."""
    rng = Lcg(element)
    vectors = b"".join(struct.pack("<f", i - 1.5) for i in range(rows * dim)) if element == F32_ELEMENT else arbitrary(rng, rows * row_len(element, dim))
    if element == BITS and dim % 8:
        one = row_len(element, dim)
        vectors = b"".join(vectors[i:i + one - 1] + bytes([vectors[i + one - 1] & (1 << dim % 8) - 1]) for i in range(0, len(vectors), one))
    scales = struct.pack("<%df" % rows, *[i / 4 for i in range(rows)]) if element == I8 else b""
    entries = [entry((0, 3), (0, 7), (16, 5)), entry((4, 3), (7, 9), (16, 5), b"\x00\x00\xc0\x7f", U32_MAX, -1)] + [entry((i, 1), (3, i)) for i in range(1, 5)]
    return index_frame(element, dim, vectors, scales, entries[:rows // per], STRINGS, metric, method, per, **more)


def index_faults():
    part = lambda f, i, at: f.payload_off() + f.parts[i] + at
    return [
        ("kind", lambda f: f.cfg(kind=3), "Kind", lambda f: f.field("kind")),
        ("missing", lambda f: f.drop(ENGRAM), "TlvMissing", lambda f: f.off(ENGRAM)),
        ("foreign", lambda f: f.put(GIST, BODIES[GIST]), "ForeignTlv", lambda f: f.off(GIST)),
        ("element", lambda f: f.cfg(element=6), "Code", lambda f: f.field("element")),
        ("dim", lambda f: f.cfg(dim=0), "Shape", lambda f: f.field("dim")),
        ("metric", lambda f: eng(f, metric=3), "Code", lambda f: eng_off(f, "metric")),
        ("method", lambda f: eng(f, method=8), "Code", lambda f: eng_off(f, "method")),
        ("per", lambda f: eng(f, vectors_per_entry=0), "Shape", lambda f: eng_off(f, "vectors_per_entry")),
        ("reserved", lambda f: eng(f, reserved=1), "Reserved", lambda f: eng_off(f, "reserved")),
        ("payload-len", longer, "Shape", lambda f: f.field("payload_len")),
        ("scale", lambda f: payload_poked(f, f.parts[0] + 4, struct.pack("<f", -1)), "Number", lambda f: part(f, 0, 4)),
        ("first-past-end", lambda f: payload_poked(f, f.parts[1] + 24, struct.pack("<I", 100)), "PastEnd", lambda f: part(f, 1, 24)),
        ("first-utf8", lambda f: payload_poked(f, f.parts[1] + 32, struct.pack("<II", 8, 1)), "Utf8", lambda f: part(f, 2, 8)),
        ("second-past-end", lambda f: payload_poked(f, f.parts[1] + 60, struct.pack("<I", 100)), "PastEnd", lambda f: part(f, 1, 56)),
    ]


def index_cases():
    c = ViewCases("bit-vectors/engram-index", "spec/engram.md", [
        "View \"engram-index\": every input is given to an exact reader.",
        "CRC, digest and MAC are good unless the case is about them.",
    ])
    view = "engram-index"

    def yes(id_, comment, f, **stated):
        data = f.bytes()
        expect = read_index(data)
        for name, value in stated.items():
            assert expect[name] == value, (id_, name, expect[name], value)
        c.accept(id_, comment, data, view, expect)

    def no(id_, *rest):
        c.no(view, id_, *rest)

    for element, name in ELEMENT_NAME.items():
        for dim in (1, 3, 8, 17):
            yes("%s-%d" % (name, dim), "two entries of %d %s" % (dim, name), base_index(element, dim), rows=2, dim=dim, element=element)
        yes(name + "-none", "no entries", index_frame(element, 5), rows=0, entries=[])
        yes(name + "-max-sim", "two entries of three vectors", base_index(element, 5, 6, 2, 7, 3), vectors_per_entry=3)
    texts = [{name: e[name] for name in TEXTS} for e in read_index(base_index().bytes())["entries"]]
    assert texts == [{"cache_id": "ida", "task_description": "ida idb", "model_id": "model"}, {"cache_id": "idb", "task_description": "\u00e4\u20ac\U0001F600", "model_id": "model"}]
    for metric in range(3):
        for method in range(8):
            if (metric + method) % 3 == 0:
                yes("codes-%d-%d" % (metric, method), "metric %d, method %d" % (metric, method), base_index(metric=metric, method=method))
    yes("max-sim-one", "MaxSim of one vector an entry", base_index(metric=2, per=1))
    yes("max-sim-none", "no entries of 65,535 vectors", index_frame(metric=2, per=65535), vectors_per_entry=65535)
    yes("none-strings", "no entries, but strings", index_frame(strings=b"a\x00"))
    yes("none-dim", "no entries of the largest dim", index_frame(dim=U32_MAX))
    yes("prefix", "a whitening", base_index(prefix=bytes(range(1, 9))), whitening_prefix="0102030405060708")
    vector = struct.pack("<2f", 3, -4)
    yes("strings-none", "no strings", index_frame(vectors=vector, entries=[entry()]))
    yes("strings-at-end", "empty strings at the end", index_frame(vectors=vector, entries=[entry((1, 0), (1, 0), (0, 1))], strings=b"x"))
    yes("strings-overlap", "strings that overlap", index_frame(vectors=vector, entries=[entry((0, 3), (1, 2), (2, 1))], strings=b"abc"))
    yes("strings-unused", "bytes between strings", index_frame(vectors=vector, entries=[entry((1, 1), (3, 2), (0, 0))], strings=b"xaxbcx"))
    yes("strings-nul", "a zero byte, a BOM, a noncharacter", index_frame(vectors=vector, entries=[entry((0, 1), (1, 3), (4, 3))], strings=b"\x00\xef\xbb\xbf\xef\xbf\xbf"))
    yes("ids-twice", "cache_id twice is for writers to exclude", index_frame(vectors=vector * 2, entries=[entry((0, 1)), entry((0, 1))], strings=b"a"))
    for name, norm in (("inf", b"\x00\x00\x80\x7f"), ("nan", b"\x01\x00\x80\xff"), ("minus", struct.pack("<f", -2)), ("minus-0", struct.pack("<f", -0.0))):
        yes("norm-" + name, "l2_norm is not checked", index_frame(vectors=vector, entries=[entry(l2_norm=norm)]), entries=read_index(index_frame(vectors=vector, entries=[entry(l2_norm=norm)]).bytes())["entries"])
    yes("numbers-max", "the largest numbers of an entry", index_frame(vectors=vector, entries=[entry(context_len=U32_MAX, created_at=2 ** 63 - 1), ]))
    yes("numbers-min", "the smallest", index_frame(vectors=vector, entries=[entry(context_len=0, created_at=-2 ** 63)]))
    yes("values-any", "vectors may hold NaN and infinities", index_frame(dim=3, vectors=b"\x00\x00\xc0\x7f\x00\x00\x80\xff\x00\x00\x00\x80", entries=[entry()]))
    yes("i8-128", "-128 is for writers to exclude", index_frame(I8, 2, b"\x80\x7f", bytes(4), [entry()]))
    yes("scales", "scales: 0, the smallest, the largest, -0", index_frame(I8, 1, b"\x01\x02\x03\x04", b"\x00\x00\x00\x00\x01\x00\x00\x00\xff\xff\x7f\x7f\x00\x00\x00\x80", [entry()] * 4))
    yes("step-max", "the largest step", index_frame(I16, 1, b"\xff\x7f", entries=[entry()], delta_q16=U32_MAX))
    yes("bits-full", "every bit", index_frame(BITS, 9, b"\xff\x01", entries=[entry()]))
    yes("no-flags", "FLAGS_V1 left out", base_index(flags=None))
    yes("flags", "flags of the beacon and ignored bits", base_index(flags=0xFFFF0006))
    yes("skipped", "unknown TLVs and LEDGER_MARKS_V1 are not of 03-7F", base_index().put(0x90, b"?").put(MARKS, bytes(4)))
    f = base_index(context=context_text(3, "m", "p", "s"), digest=True, key=KEY, align=64)
    assert f.payload_off() % 64 == 0
    yes("everything", "context, digest, MAC and pad, the payload at a multiple of 64", f)
    yes("context-other-dim", "the context's dim is not the view's to check", base_index(context=context_text(9)))
    yes("mac-wrong", "HMAC_V1, which the view does not verify", base_index(key=KEY).poke(HMAC, 1, bytes(32)))
    yes("large", "over 4,093 bytes: with a digest", index_frame(F16_ELEMENT, 40, arbitrary(Lcg(5), 35 * 80), entries=[entry((i, 1)) for i in range(35)], strings=b"abcdefghijklmnopqrstuvwxyz0123456789"), rows=35)

    # faults, alone and in pairs
    base = base_index(I8)
    faults = index_faults()
    for fault in faults:
        f = with_changes(base, [fault])
        no("fault-" + fault[0], "one fault: " + fault[0], f, fault[2], fault[3](f))
    for one, other in itertools.combinations(faults, 2):
        f = with_changes(base, [one, other])
        if "missing" in (one[0], other[0]) and "foreign" in (one[0], other[0]):
            assert f.off(ENGRAM) > f.off(GIST)
        no("both-%s-%s" % (one[0], other[0]), "two faults: the first of the order counts", f, one[2], one[3](f))
    f = base.copy().cfg(kind=3).flag(0x10)
    no("both-frame-kind", "the frame's checks come before", f, "FlagBits", f.val(FLAGS))
    for kind in (0, 1, 2, 5, 6, 7, 8, 255):
        f = base.copy().cfg(kind=kind)
        if kind == 1:
            f.seal(True)
        no("kind-%d" % kind, "kind %d" % kind, f, "Kind", f.field("kind"))
    for type_ in (CALIB, RESULTS, CHUNK, INDEX, MIRROR, GIST):
        f = base.copy().put(type_, BODIES[type_])
        no("foreign-%02x" % type_, "a TLV of another kind", f, "ForeignTlv", f.off(type_))
    for element in (0, 2, 3, 4, 6):
        f = base.copy().cfg(element=element)
        no("element-%d" % element, "element %d" % element, f, "Code", f.field("element"))
    for metric in (3, 128, 255):
        f = eng(base.copy(), metric=metric)
        no("metric-%d" % metric, "metric %d" % metric, f, "Code", eng_off(f, "metric"))
    for method in (8, 255):
        f = eng(base.copy(), method=method)
        no("method-%d" % method, "method %d" % method, f, "Code", eng_off(f, "method"))
    for metric, per, rows in ((0, 2, 2), (1, 2, 2), (0, 0, 2), (2, 0, 2), (2, 0, 0), (2, 3, 2), (2, 4, 2), (2, 65535, 2), (1, 65535, 0)):
        f = eng(base_index(rows=2) if rows else index_frame(), metric=metric, vectors_per_entry=per)
        no("per-%d-%d-%d" % (metric, per, rows), "%d vectors an entry of %d, metric %d" % (per, rows, metric), f, "Shape", eng_off(f, "vectors_per_entry"))
    for byte in range(8):
        f = base.copy().poke(ENGRAM, 16 + byte, b"\x80" if byte % 2 else b"\x01")
        no("reserved-%d" % byte, "byte %d of reserved" % byte, f, "Reserved", eng_off(f, "reserved"))
    # sizes
    f = base.copy()
    f.payload = f.payload[:-1]
    f.cfg(payload_len=len(f.payload))
    no("payload-short", "a byte less", f, "Shape", f.field("payload_len"))
    for name, changes in (("strings-len", dict(strings_len=len(STRINGS) - 1)), ("strings-len-max", dict(strings_len=U32_MAX))):
        f = eng(base.copy(), **changes)
        no(name, "strings of another length", f, "Shape", f.field("payload_len"))
    for name, rows, dim in (("rows", 1, 3), ("dim", 2, 4), ("rows-max", U32_MAX, 3), ("dim-max", 2, U32_MAX)):
        f = base.copy().cfg(rows=rows, dim=dim)
        no("shape-" + name, "rows %d, dim %d" % (rows, dim), f, "Shape", f.field("payload_len"))
    for name, element, rows, dim in (("f32", F32_ELEMENT, U32_MAX, U32_MAX), ("f32-2", F32_ELEMENT, 2 ** 31, 2 ** 31), ("i16", I16, U32_MAX, U32_MAX), ("f16", F16_ELEMENT, 2 ** 31, U32_MAX + 0),
                                     ("i8-max", I8, U32_MAX, U32_MAX), ("bits-max", BITS, U32_MAX, U32_MAX)):
        f = index_frame(element, dim, rows=rows)
        total = rows * row_len(element, dim) + (4 * rows if element == I8 else 0) + 40 * rows
        no("size-" + name, "%d bytes" % total, f, "Size" if total >= U64 else "Shape", f.field("payload_len"))
    # what is over 64 bits only with the entries, or the strings; with what wraps round to the payload's length
    dim = next(d for d in range(2 ** 30 - 20, 2 ** 30 + 1) if U32_MAX * 4 * d < U64 <= U32_MAX * (4 * d + 40))
    f = index_frame(F32_ELEMENT, dim, rows=U32_MAX)
    no("size-entries", "over 64 bits with the entries", f, "Size", f.field("payload_len"))
    dim = max(d for d in range(2 ** 30 - 30, 2 ** 30) if U32_MAX * (4 * d + 40) < U64)
    f = index_frame(F32_ELEMENT, dim, rows=U32_MAX)
    no("size-entries-fit", "just within", f, "Shape", f.field("payload_len"))
    dim, rows = 2 ** 30 - 10, 2 ** 32 - 4
    assert rows * (4 * dim + 40) == U64 - 2 ** 34
    rows = 2 ** 31
    f = index_frame(F32_ELEMENT, 2 ** 31 - 10, rows=rows)
    assert rows * (4 * (2 ** 31 - 10) + 40) == U64
    no("size-wraps-to-0", "2^64 bytes, and there are 0", f, "Size", f.field("payload_len"))
    f = index_frame(F32_ELEMENT, 2 ** 31 - 10, rows=rows, strings=b"abc")
    no("size-wraps-to-strings", "2^64 + 3 bytes, and there are 3", f, "Size", f.field("payload_len"))
    f = index_frame(I8, 2 ** 32 - 44, rows=2 ** 31, strings=b"ab")
    no("size-i8", "2^63 and 2 bytes", f, "Shape", f.field("payload_len"))
    rows, dim = U32_MAX, U32_MAX - 42                        # rows * (dim + 44) = (2^32 - 1)(2^32 + 1) = 2^64 - 1
    assert rows * (dim + 44) == U64 - 1
    f = index_frame(I8, dim, rows=rows)
    no("size-fits", "2^64 - 1 bytes", f, "Shape", f.field("payload_len"))
    f = eng(index_frame(I8, dim, rows=rows), strings_len=1)
    no("size-strings", "over 64 bits with the strings", f, "Size", f.field("payload_len"))
    f = index_frame(I8, dim, rows=rows, strings=b"a" * 5)
    no("size-strings-5", "2^64 + 4 bytes, and there are 5", f, "Size", f.field("payload_len"))
    # bits
    for dim, row, bit in ((1, 0, 1), (1, 1, 7), (3, 0, 3), (7, 1, 7), (9, 0, 1), (15, 1, 7), (17, 0, 2)):
        f = base_index(BITS, dim)
        one = row_len(BITS, dim)
        last = row * one + one - 1
        payload_poked(f, last, bytes([f.payload[last] | 1 << bit]))
        no("spare-%d-%d-%d" % (dim, row, bit), "bit %d of the last byte of %d bits" % (bit, dim), f, "SpareBits", f.payload_off() + last)
    f = base_index(BITS, 3)
    payload_poked(payload_poked(f, 0, b"\x80"), 1, b"\x40")
    no("spare-two", "two vectors: the first counts", f, "SpareBits", f.payload_off())
    payload_poked(payload_poked(f, 0, b"\x00"), f.parts[1] + 16, struct.pack("<I", 1000))
    no("spare-entry", "a vector, and an entry: the vector counts", f, "SpareBits", f.payload_off() + 1)
    # scales
    for name, bits in (("inf", 0x7F800000), ("minus-inf", 0xFF800000), ("nan", 0x7FC00000), ("minus-nan", 0xFFC00000), ("signalling", 0x7F800001), ("minus-small", 0x80000001), ("minus", 0xBF800000)):
        f = payload_poked(base_index(I8), base.parts[0], struct.pack("<I", bits))
        no("scale-" + name, "a scale of %08x" % bits, f, "Number", f.payload_off() + f.parts[0])
    # strings
    n = len(STRINGS)
    for i, name in enumerate(TEXTS):
        for which in (0, 1):
            for first, length in ((0, n + 1), (n, 1), (n + 1, 0), (U32_MAX, 0), (0, U32_MAX), (U32_MAX, U32_MAX), (U32_MAX, 1), (1, U32_MAX), (2 ** 31, 2 ** 31)):
                if which and first not in (n, U32_MAX):
                    continue
                f = base_index()
                at = f.parts[1] + 40 * which + 16 + 8 * i
                payload_poked(f, at, struct.pack("<II", first, length))
                no("past-%s-%d-%d-%d" % (name, which, first, length), "%d bytes from %d of %d" % (length, first, n), f, "PastEnd", f.payload_off() + at)
    for id_, text in (("80", b"\x80"), ("ff", b"\xff"), ("overlong", b"\xc0\x80"), ("overlong-3", b"\xe0\x80\x80"), ("overlong-4", b"\xf0\x80\x80\x80"), ("surrogate", b"\xed\xa0\x80"), ("beyond", b"\xf4\x90\x80\x80"), ("cut-2", b"a\xc3"),
                      ("cut-3", b"a\xe2\x82"), ("cut-4", b"a\xf0\x9f\x98"), ("five", b"\xf8\x88\x80\x80\x80"), ("later", b"abc\xff")):
        f = index_frame(vectors=vector, entries=[entry((0, 1), (1, len(text)), (0, 1))], strings=b"x" + text)
        good = {"cut-2": 1, "cut-3": 1, "cut-4": 1, "later": 3}.get(id_, 0)
        no("utf8-" + id_, "the strings are no UTF-8: the first byte that begins no character", f, "Utf8", f.payload_off() + f.parts[2] + 1 + good)
        no("utf8-unused-" + id_, "nor where nothing points", index_frame(strings=b"x" + text), "Utf8", index_frame(strings=b"x" + text).payload_off() + 1 + good)
    f = index_frame(vectors=vector, entries=[entry((0, 2), (4, 5), (1, 1))], strings=b"\xc3\xa4x")
    no("order-past-end", "a string past the end", f, "PastEnd", f.payload_off() + f.parts[1] + 24)
    f = index_frame(vectors=vector, entries=[entry((1, 2), (4, 5), (0, 2))], strings=b"\xc3\xa4x")
    no("order-utf8", "cache_id cuts a character, task_description is past the end: cache_id counts", f, "Utf8", f.payload_off() + f.parts[2] + 1)
    f = index_frame(vectors=vector, entries=[entry((0, 1), (0, 0), (0, 0))], strings="\u00e4".encode())
    no("utf8-half", "half a character", f, "Utf8", f.payload_off() + f.parts[2])
    f = index_frame(vectors=vector, entries=[entry((1, 1), (0, 0), (0, 0))], strings="\u00e4".encode())
    no("utf8-other-half", "the other half", f, "Utf8", f.payload_off() + f.parts[2] + 1)
    f = index_frame(vectors=vector, entries=[entry((1, 0), (0, 0), (0, 0))], strings="\u00e4".encode())
    no("utf8-empty-inside", "nothing, inside a character", f, "Utf8", f.payload_off() + f.parts[2] + 1)
    f = index_frame(vectors=vector, entries=[entry((4, 5), (0, 0), (0, 0))], strings=b"ab\xff")
    no("order-strings", "the strings come before their entries", f, "Utf8", f.payload_off() + f.parts[2] + 2)
    data = base.bytes()
    no("trailing", "a byte follows", data + b"\x00", "TrailingBytes", len(data))
    for n in (0, 11, 20, 40, 60, 80, len(data) - 3, len(data) - 1):
        no("cut-%d" % n, "cut", data[:n], "Truncated", cut_at(base, n))
    f = base.copy()
    no("crc", "the CRC", f.bytes(crc=0), "Crc", f.crc_off())
    f = base.copy().put(ENGRAM, bytes(23))
    no("tlv-length", "ENGRAM_INDEX_V1 of 23 bytes", f, "TlvLength", f.off(ENGRAM) + 1)
    return c


# ---------------------------------------------------------------------------------------------------------
# The whitening
# ---------------------------------------------------------------------------------------------------------

def read_whitening(data):
    f = read_frame(data)
    c, off = f.cfg, f.cfg_off
    if c["kind"] != 7:
        raise Bad("Kind", off["kind"])
    foreign(f, None)
    if c["element"] != F32_ELEMENT:
        raise Bad("Code", off["element"])
    if c["rows"] < 2:
        raise Bad("Shape", off["rows"])
    if c["dim"] < 1:
        raise Bad("Shape", off["dim"])
    length = c["rows"] * c["dim"] * 4
    if length >= U64:
        raise Bad("Size", off["payload_len"])
    if length != c["payload_len"]:
        raise Bad("Shape", off["payload_len"])
    for at in range(0, length, 4):
        if not math.isfinite(f32_of(f.payload[at:at + 4])):
            raise Bad("Number", f.payload_off + at)
    return {"inputs": c["dim"], "outputs": c["rows"] - 1, "mean": f.payload[:4 * c["dim"]].hex(), "directions": f.payload[4 * c["dim"]:].hex()}


def f32_round(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def applied(found, key, m):
    """The leading m components of a whitened key. Products and sums of two f32 are exact enough in f64 to be rounded once more."""
    dim = found["inputs"]
    floats = [[f32_of(part[i:i + 4]) for i in range(0, len(part), 4)] for part in (bytes.fromhex(found["mean"]), bytes.fromhex(found["directions"]))]
    d = [f32_round(k - mean) for k, mean in zip(key, floats[0], strict=True)]
    y = []
    for row in range(m):
        s = [0.0] * 16
        for j in range(dim):
            s[j % 16] = f32_round(s[j % 16] + f32_round(floats[1][row * dim + j] * d[j]))
        for half in (8, 4, 2, 1):
            for j in range(half):
                s[j] = f32_round(s[j] + s[j + half])
        y.append(s[0])
    return y


def whitening_frame(rows=3, dim=2, payload=None, element=F32_ELEMENT, delta_q16=0, context=None, ctx=None, flags=0, **seal):
    payload = struct.pack("<%df" % (rows * dim), *[i / 8 - 1 for i in range(rows * dim)]) if payload is None else payload
    return sealed(Frame(7, element, rows, dim, delta_q16, payload, flags, context, ctx), **seal)


def whitening_faults():
    return [
        ("kind", lambda f: f.cfg(kind=6), "Kind", lambda f: f.field("kind")),
        ("foreign", lambda f: f.put(ENGRAM, BODIES[ENGRAM]), "ForeignTlv", lambda f: f.off(ENGRAM)),
        ("element", lambda f: f.cfg(element=6), "Code", lambda f: f.field("element")),
        ("rows", lambda f: f.cfg(rows=1), "Shape", lambda f: f.field("rows")),
        ("dim", lambda f: f.cfg(dim=0), "Shape", lambda f: f.field("dim")),
        ("payload-len", longer, "Shape", lambda f: f.field("payload_len")),
        ("value", lambda f: payload_poked(f, 8, b"\x00\x00\x80\x7f"), "Number", lambda f: f.payload_off() + 8),
        ("later-value", lambda f: payload_poked(f, 20, b"\x00\x00\xc0\x7f"), "Number", lambda f: f.payload_off() + 20),
    ]


def whitening_cases():
    c = ViewCases("bit-vectors/whitening", "spec/engram.md", [
        "View \"whitening\": every input is given to an exact reader. View \"whiten\": k is a key, and expect its leading components after whitening.",
        "CRC, digest and MAC are good unless the case is about them.",
    ])
    view = "whitening"

    def yes(id_, comment, f, **stated):
        data = f.bytes()
        expect = read_whitening(data)
        for name, value in stated.items():
            assert expect[name] == value, (id_, name, expect[name], value)
        c.accept(id_, comment, data, view, expect)

    def no(id_, *rest):
        c.no(view, id_, *rest)

    for rows, dim in ((2, 1), (3, 2), (2, 5), (5, 2), (9, 8), (4, 3), (12, 2)):
        yes("%d-%d" % (dim, rows - 1), "%d components to %d" % (dim, rows - 1), whitening_frame(rows, dim), inputs=dim, outputs=rows - 1)
    yes("values", "-0, subnormals, the largest", whitening_frame(3, 2, struct.pack("<6I", 0x80000000, 1, 0x007FFFFF, 0x7F7FFFFF, 0xFF7FFFFF, 0)))
    yes("zeros", "zeros alone", whitening_frame(2, 3, bytes(24)))
    yes("no-flags", "FLAGS_V1 left out", whitening_frame(flags=None))
    yes("flags", "flags of the beacon and ignored bits", whitening_frame(flags=0xFFFF0006))
    yes("skipped", "unknown TLVs and LEDGER_MARKS_V1 are not of 03-7F", whitening_frame().put(0x90, b"?").put(MARKS, bytes(4)))
    f = whitening_frame(context=context_text(2, "m", "p", "s"), digest=True, key=KEY, align=64)
    assert f.payload_off() % 64 == 0
    yes("everything", "context, digest, MAC and pad, the payload at a multiple of 64", f)
    yes("context-other-dim", "the context's dim is not the view's to check", whitening_frame(context=context_text(3)))
    yes("mac-wrong", "HMAC_V1, which the view does not verify", whitening_frame(key=KEY).poke(HMAC, 1, bytes(32)))
    yes("large", "over 4,093 bytes: with a digest", whitening_frame(33, 32))

    base = whitening_frame()
    faults = whitening_faults()
    for fault in faults:
        f = with_changes(base, [fault])
        no("fault-" + fault[0], "one fault: " + fault[0], f, fault[2], fault[3](f))
    for one, other in itertools.combinations(faults, 2):
        f = with_changes(base, [one, other])
        no("both-%s-%s" % (one[0], other[0]), "two faults: the first of the order counts", f, one[2], one[3](f))
    f = base.copy().cfg(kind=6).flag(0x10)
    no("both-frame-kind", "the frame's checks come before", f, "FlagBits", f.val(FLAGS))
    for kind in (0, 1, 2, 3, 4, 5, 8, 255):
        f = base.copy().cfg(kind=kind)
        if kind == 1:
            f.seal(True)
        no("kind-%d" % kind, "kind %d" % kind, f, "Kind", f.field("kind"))
    for type_ in (CALIB, RESULTS, CHUNK, INDEX, MIRROR, GIST, ENGRAM):
        f = base.copy().put(type_, BODIES[type_])
        no("foreign-%02x" % type_, "a TLV of another kind", f, "ForeignTlv", f.off(type_))
    f = base.copy().put(CALIB, BODIES[CALIB]).put(GIST, BODIES[GIST])
    no("foreign-two", "two of them: the first counts", f, "ForeignTlv", f.off(CALIB))
    for element in (0, 1, 2, 3, 4, 5, 6, 8, 9):
        f = base.copy().cfg(element=element, delta_q16=1 if element == 1 else 0)
        no("element-%d" % element, "element %d" % element, f, "Code", f.field("element"))
    for rows in (0, 1):
        f = base.copy().cfg(rows=rows)
        no("rows-%d" % rows, "rows %d" % rows, f, "Shape", f.field("rows"))
        f = whitening_frame(rows, 2, bytes(8 * rows))
        no("rows-%d-payload" % rows, "rows %d and their payload" % rows, f, "Shape", f.field("rows"))
    f = whitening_frame(3, 0, b"")
    no("dim-0-payload", "dim 0 and its payload", f, "Shape", f.field("dim"))
    for name, rows, dim in (("rows-more", 4, 2), ("rows-less", 2, 2), ("dim-more", 3, 3), ("dim-less", 3, 1), ("rows-max", U32_MAX, 1), ("dim-max", 2, U32_MAX)):
        f = base.copy().cfg(rows=rows, dim=dim)
        no("shape-" + name, "rows %d, dim %d with 24 bytes" % (rows, dim), f, "Shape", f.field("payload_len"))
    for name, rows, dim, payload in (("max", U32_MAX, U32_MAX, b""), ("wraps-to-0", 2 ** 31, 2 ** 31, b""), ("wraps-to-4", 1380655685, 3340214413, bytes(4)), ("fits", U32_MAX, 2 ** 30, b""), ("over", U32_MAX, 2 ** 30 + 1, b"")):
        f = whitening_frame(rows, dim, payload)
        no("size-" + name, "%d bytes" % (rows * dim * 4), f, "Size" if rows * dim * 4 >= U64 else "Shape", f.field("payload_len"))
    for name, bits in (("inf", 0x7F800000), ("minus-inf", 0xFF800000), ("nan", 0x7FC00000), ("minus-nan", 0xFFFFFFFF), ("signalling", 0x7F800001)):
        for at in (0, 1, 2, 5):
            f = payload_poked(base.copy(), 4 * at, struct.pack("<I", bits))
            no("value-%s-%d" % (name, at), "value %d is %08x" % (at, bits), f, "Number", f.payload_off() + 4 * at)
    for at in (0, 700, 1055):
        f = whitening_frame(33, 32)
        payload_poked(f, 4 * at, struct.pack("<I", 0x7F800000)).rehash()
        if at == 1055:
            no("large-value", "the last value of many", f, "Number", f.payload_off() + 4 * at)
    # its application
    rng = Lcg(31)

    def drawn(n):
        return [f32_round(math.ldexp(rng.u32() - 2 ** 31, -34 + rng.u32() % 8)) for _ in range(n)]

    def in_a_row(found, key, m):
        """The sums in another order, which has to show."""
        words = [f32_of(bytes.fromhex(found["mean"] + found["directions"])[4 * i:4 * i + 4]) for i in range(len(key) * (m + 1))]
        out = []
        for row in range(1, m + 1):
            total = 0.0
            for j, k in enumerate(key):
                total = f32_round(total + f32_round(words[row * len(key) + j] * f32_round(k - words[j])))
            out.append(total)
        return out

    def big_endian(floats):
        return [struct.pack(">f", x).hex() for x in floats]

    for dim, outputs in ((1, 1), (2, 2), (15, 2), (16, 3), (17, 2), (31, 2), (40, 9), (64, 5)):
        f = whitening_frame(1 + outputs, dim, struct.pack("<%df" % (dim * (1 + outputs)), *drawn(dim * (1 + outputs))))
        for m in sorted({1, outputs}):
            key = drawn(dim)
            assert dim < 40 or in_a_row(read_whitening(f.bytes()), key, m) != applied(read_whitening(f.bytes()), key, m)
            c.add({
                "id": "apply-%d-%d-%d" % (dim, outputs, m), "comment": "a key of %d components, cut to %d" % (dim, m), "view": "whiten", "hex": f.bytes().hex(), "k": big_endian(key), "components": m,
                "verdict": "accept", "expect": big_endian(applied(read_whitening(f.bytes()), key, m)),
            })
    data = base.bytes()
    no("trailing", "a byte follows", data + b"\x00", "TrailingBytes", len(data))
    for n in (0, 11, 20, 40, len(data) - 3, len(data) - 1):
        no("cut-%d" % n, "cut", data[:n], "Truncated", cut_at(base, n))
    no("crc", "the CRC", base.bytes(crc=0), "Crc", base.crc_off())
    return c


def self_test():
    for text in ("kv", "iswa+outputs-streams", "kv+ext8-values", "kv+ext12-values-data", "none+outputs", "recurrent"):
        assert str(Layout.parse(text)) == text
    assert str(Layout.parse("kv-streams+outputs")) == "kv+outputs-streams"


FILES = (("state", state_cases), ("engram_index", index_cases), ("whitening", whitening_cases))
