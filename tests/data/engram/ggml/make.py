"""Writes the files of this folder: `python3 make.py STATES`. Needs NumPy and llama.cpp's own Python package, gguf.

STATES is a folder with state blobs that llama.cpp wrote, each beside a JSON of the places of its tensors.

TYPE.rows      4 rows of 96 elements of random codes, with scales and minima of every kind (negative, subnormal, huge, -0)
TYPE.expected  what gguf.quants.dequantize makes of them, as f32
NAME.TYPE      a tensor of a real blob, layer 0: NAME says which
NAME.expected  the same from the .npy beside the blob, which is not from this folder's code
rope.json      keys rotated by NumPy in f64
"""

import json
import pathlib
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

states, here = pathlib.Path(sys.argv[1]), pathlib.Path(__file__).parent
random = np.random.default_rng(5)

# -- every type, by gguf
SCALES = np.array([0.0625, -0.0123, -0.0, 6e-8, 1.7e-5, 60000.0, 1.0, -3.14159], np.float16)
for name, scales in [("q4_0", 1), ("q4_1", 2), ("q5_0", 1), ("q5_1", 2), ("q8_0", 1), ("iq4_nl", 1)]:
    kind = Type[name.upper()]
    _, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (12, size), dtype=np.uint8)
    for i in range(scales):
        values = np.resize(np.roll(SCALES, 3 * i), 12).astype("<f2")
        blocks[:, 2 * i : 2 * i + 2] = values.view(np.uint8).reshape(12, 2)
    rows = blocks.reshape(4, 3 * size)
    rows.tofile(here / f"{name}.rows")
    gguf.quants.dequantize(rows, kind).astype("<f4").tofile(here / f"{name}.expected")


# -- real tensors
def tensor(blob, part, layer=0):
    entry = json.loads((states / f"{blob}.json").read_text())["caches"][0]["streams"][0][part][layer]
    data = (states / f"{blob}.bin").read_bytes()
    return data[entry["offset"] : entry["offset"] + entry["length"]], entry


def real(name, blob, part, cells=None):
    data, entry = tensor(blob, part)
    data = data[: cells * entry["row_size"]] if cells else data
    (here / f"{name}.{entry['type']}").write_bytes(data)


def truth(name, blob, part):
    np.load(states / f"{blob}.{part}.npy")[0].astype("<f4").tofile(here / f"{name}.expected")


for name, blob, part in [
    ("hd32_n37_k", "v0336_llama_hd32_q8_0_fa_n37_norot", "k"),
    ("hd64_n5_k", "v0336_llama_hd64_bf16_fa_n5", "k"),
    ("hd32_n5_v_transposed", "v0336_llama_f32_vtrans_n5", "v"),
    ("hd32_n37_v_transposed", "v0336_llama_f16_vtrans_n37_savestate", "v"),
]:
    real(name, blob, part)
    truth(name, blob, part)
# One model, the same tokens: as they are, and rotated by llama.cpp. Tokens 26 and 31 are the same, and 28 and 30.
real("hd64_n37_k", "v0336_llama_hd64_f16_fa_n200", "k", 37)
real("hd64_n37_v", "v0336_llama_hd64_f16_fa_n200", "v", 37)
real("hd64_n37_k_rotated", "v0336_llama_hd64_k_q8_0_v_f16_vtrans_n37_rot", "k")
real("hd64_n37_v_rotated", "v0336_llama_hd64_q4_0_fa_n37_rot", "v")

# -- RoPE
cases = []
for pairs, base, head_dim, dims, scale, magnitude, position, divide in [
    ("interleaved", 10000.0, 8, 8, 1.0, 1.0, 0, False),
    ("interleaved", 10000.0, 8, 8, 1.0, 1.0, 3, False),
    ("halves", 10000.0, 8, 8, 1.0, 1.0, 3, False),
    ("halves", 1000000.0, 64, 64, 1.0, 1.0, 131071, False),
    ("interleaved", 500000.0, 64, 64, 1.0, 1.0, 2**31 - 1, True),
    ("halves", 10000.0, 80, 20, 0.25, 1.0, 511, False),
    ("interleaved", 10000.0, 20, 6, 1.0, 1.1902, 77, True),
    ("halves", 10000.0, 10, 6, 1.0, 1.0, -5, False),
]:
    key = random.standard_normal(head_dim).astype(np.float32)
    divisors = np.linspace(1, 8, dims // 2).astype(np.float32) if divide else np.ones(dims // 2, np.float32)
    rotated = key.astype(np.float64)
    for i in range(dims // 2):
        angle = position * scale * base ** (-2 * i / dims) / float(divisors[i])
        a, b = (2 * i, 2 * i + 1) if pairs == "interleaved" else (i, i + dims // 2)
        turned = complex(key[a], key[b]) * np.exp(1j * angle) * magnitude
        rotated[a], rotated[b] = turned.real, turned.imag
    cases.append({
        "pairs": pairs, "base": base, "dims": dims, "scale": scale, "magnitude": magnitude, "position": position,
        "divisors": [float(x) for x in divisors] if divide else None,
        "key": [float(x) for x in key], "rotated": [float(x) for x in rotated],
    })
(here / "rope.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
