"""What the readers and writers of these modules say of the vectors on disk, in the form that `bitwire vectors check` judges.

Each is given what a case states as its input, and nothing else of it: README.md, "Judging an implementation".
"""

import json
import os
import struct

import accumulated
from certificate import CertificateCases, NUMBERS, VECTORS, write_certificate
from engram import Ambiguous, ViewCases, applied, read_state, read_whitening
from generate import Bad, Cases, auto_step, dequantise, f32_finite, quantise
from gist import ForeignSource, GistCases, NonFinite as NotStored, SHAPE, for_model, of_source, run_of, store
from ledger import Damaged, LedgerCases, choose, open_ledger, pack, read_proof, unpack
from mirror import ADD, MirrorCases, NonFinite as NoDifference, REPLACE, apply, diff
from stream import StreamCases

FILES = ("accumulated", "beacon", "certificate", "chunk", "context", "engram_index", "frame", "gist", "index", "ledger", "mirror", "mu16", "pack", "proof", "state", "stream",
         "whitening")


class Refused(Exception):
    """An error as the vectors state it."""


def in_bytes(case, name="hex"):
    return bytes.fromhex(case[name]) if case.get(name) is not None else None


def words(values):
    return [int(value, 16) for value in values]


def view_of(cases):
    return lambda case: {"expect": cases.run(case["view"], in_bytes(case), in_bytes(case, "key"))}


def expected(read):
    return lambda case: {"expect": read(case)}


def accumulated_view(case):
    out, _, _ = accumulated.accumulated((case["count"],))
    found = out[case["count"]]
    if case["count"] != accumulated.COUNTS[0]:
        del found["lines"]
    return {"expect": found}


def quantised(case):
    all_bits, delta = words(case["x_hex"]), case["delta_q16"]
    for i, bits in enumerate(all_bits):
        if not f32_finite(bits):
            raise Refused({"kind": "NonFinite", "row": i // case["dim"], "column": i % case["dim"]})
    pairs = [quantise(bits, delta) for bits in all_bits]
    return {"q": [q for q, _ in pairs], "saturated": sum(over for _, over in pairs), "dequantised_hex": [dequantise(q, delta) for q, _ in pairs]}


def step(case):
    found = auto_step(words(case["x_hex"]), case["dim"])
    if isinstance(found, dict):
        raise Refused(found)
    return {"delta_q16": found}


def packed(case):
    tokens, spare = unpack(in_bytes(case), len(case["tokens"]), case["bits"])
    assert not any(spare)
    return {"hex": pack(case["tokens"], case["bits"]).hex(), "tokens": tokens}


def chosen(case):
    encoding, element, bits, payload = choose(case["tokens"])
    return {"encoding": ("raw", "packed")[encoding], "element": element, "bits": bits, "hex": payload.hex()}


def differences(case):
    mode = {"replace": REPLACE, "add": ADD}[case["mode"]]
    threshold = struct.unpack(">d", in_bytes(case, "threshold"))[0]
    indices, values, saturated = diff(case["element"], case["dim"], case["delta_q16"], in_bytes(case, "master"), in_bytes(case, "agent"), mode, case["value_element"],
                                      case["value_delta_q16"], threshold)
    return {"indices": indices, "payload": (struct.pack("<%dI" % len(indices), *indices) + values).hex(), "saturated": saturated}


def whitened(case):
    key = [struct.unpack(">f", bytes.fromhex(word))[0] for word in case["k"]]
    return [struct.pack(">f", y).hex() for y in applied(read_whitening(in_bytes(case)), key, case["components"])]


def certificate(case):
    def vector(value):
        return words([value[0]]) * value[1] if isinstance(value, list) else words([value[i:i + 8] for i in range(0, len(value), 8)])

    inputs = {name: vector(value) if name in VECTORS else int(value, 16) if name in NUMBERS else value for name, value in case.items()}
    return {"hex": write_certificate(inputs).hex()}


VIEWS = {
    **{view: view_of(Cases) for view in ("frame", "verify", "beacon", "context")},
    **{view: view_of(LedgerCases) for view in ("chunk", "index", "ledger")},
    **{view: view_of(MirrorCases) for view in ("blocks", "mirror")},
    **{view: view_of(ViewCases) for view in ("engram-index", "whitening")},
    **{view: view_of(CertificateCases) for view in ("certificate", "certificate-99", "certificate-107")},
    **{view: expected(lambda case: StreamCases.run(case["view"], in_bytes(case), case["max_frame"], in_bytes(case, "key"))) for view in ("raw", "cobs")},
    "gist": view_of(GistCases),
    "accumulated": accumulated_view,
    "quantise": quantised,
    "auto": step,
    "pack": packed,
    "choose": chosen,
    "ledger+index": expected(lambda case: open_ledger(in_bytes(case), in_bytes(case, "index_hex"), in_bytes(case, "key"))),
    "proof": expected(lambda case: read_proof(in_bytes(case), in_bytes(case, "root"), in_bytes(case, "digest"), in_bytes(case, "old_root"))),
    "diff": expected(differences),
    "apply": expected(lambda case: {"agent": apply(in_bytes(case), in_bytes(case, "master_hex")).hex()}),
    "state": expected(lambda case: read_state(in_bytes(case), case.get("arch"), case.get("layout"))),
    "whiten": expected(whitened),
    "certificate-write": expected(certificate),
    "model": expected(lambda case: for_model(in_bytes(case), in_bytes(case, "context_hex")) or {}),
    "source": expected(lambda case: of_source(in_bytes(case), in_bytes(case, "root"), case["total_tokens"]) or {}),
    "store": expected(lambda case: store(words(case["x_hex"]), case[SHAPE[3]], case["element"], case["delta_q16"])),
    "run": expected(lambda case: run_of(case["tokens"], case["gists"], case["which"])),
}


def placed(error):
    return {"kind": error.kind, **({} if error.offset is None else {"offset": error.offset})}


def result(case):
    try:
        return {"id": case["id"], "verdict": "accept", **VIEWS[case["view"]](case)}
    except Damaged as damaged:
        more = {"error": placed(damaged.error), "damaged": {"chunk": damaged.chunk, "offset": damaged.error.offset}}
    except Ambiguous as error:
        more = {"error": {"kind": error.kind, "layouts": error.layouts}}
    except Bad as error:
        more = {"error": placed(error)}
    except Refused as refused:
        more = {"error": refused.args[0]}
    except ForeignSource as foreign:
        more = {"error": {"kind": "ForeignSource", "what": foreign.args[0]}}
    except (NotStored, NoDifference) as wrong:
        more = {"error": {"kind": "NonFinite", "row": wrong.args[0], "column": wrong.args[1]}}
    return {"id": case["id"], "verdict": "reject", **more}


def write(vectors, folder):
    os.makedirs(folder, exist_ok=True)
    for name in FILES:
        with open(os.path.join(vectors, name + ".json"), encoding="utf-8") as file:
            cases = json.load(file)["cases"]
        with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8", newline="") as file:
            for case in cases:
                file.write(json.dumps(result(case), separators=(",", ":")) + "\n")
