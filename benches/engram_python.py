"""State blobs beside a reader in Python that does what ENGRAM's does, on the same bytes, in turns.

    cargo bench --all-features --bench engram_once --no-run
    python3 benches/engram_python.py EXECUTABLE [--rounds N]

EXECUTABLE is the path that cargo prints. ENGRAM's own code is not at hand; this reader does its work and no more: it unpacks
the header and the cells field by field, and makes K and V of shape [layers, heads, cells, head_dim] in f16, copied out of
the blob (V is stored transposed). "EGR" is extraction (8192 of the rows of layers 8 to 24, SVD, mean projected) and a search
for 5 of 1,000 vectors: ENGRAM reports 30.6 ms for it, of torch and FAISS. One thread in NumPy; medians of all rounds, the
first left out.
"""

import argparse
import json
import os
import statistics
import struct
import subprocess
import tempfile
import time

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("executable")
parser.add_argument("--rounds", type=int, default=5)
options = parser.parse_args()

LAYERS, HEADS, DIM = 32, 8, 128
EMBD = HEADS * DIM


def blob(cells, generator):
    parts = [struct.pack("<I", 5), b"llama", struct.pack("<II", 1, cells)]
    parts += [struct.pack("<iIi", pos, 1, 0) for pos in range(cells)]
    parts.append(struct.pack("<II", 1, LAYERS))
    one = generator.standard_normal((cells, EMBD), dtype=np.float32).astype(np.float16)
    for layer in range(LAYERS):
        parts += [struct.pack("<iQ", 1, 2 * EMBD), np.roll(one, layer, axis=0).tobytes()]
    for layer in range(LAYERS):
        parts += [struct.pack("<iII", 1, 2, EMBD), np.roll(one, layer, axis=1).T.tobytes()]
    return b"".join(parts)


def parse(data):
    at = 0

    def take(form):
        nonlocal at
        values = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return values

    (length,) = take("I")
    at += length
    _, cells = take("II")
    table = []
    for _ in range(cells):
        pos, count = take("iI")
        table.append((pos, take(f"{count}i")))
    v_trans, layers = take("II")
    keys, values = [], []
    for _ in range(layers):
        kind, row_size = take("iQ")
        assert kind == 1
        rows = np.frombuffer(data, np.float16, cells * row_size // 2, at).reshape(cells, HEADS, DIM)
        keys.append(rows.transpose(1, 0, 2).copy())
        at += cells * row_size
    for _ in range(layers):
        kind, _, width = take("iII")
        assert kind == 1 and v_trans
        rows = np.frombuffer(data, np.float16, cells * width, at).reshape(HEADS, DIM, cells)
        values.append(rows.transpose(0, 2, 1).copy())
        at += 2 * cells * width
    return np.stack(keys), np.stack(values), table


chosen = np.random.default_rng(42).permutation(16 * HEADS * 600)[:8192]


def egr(keys, vectors):
    rows = keys[8:24].astype(np.float32).reshape(-1, DIM)[chosen]
    axes = np.linalg.svd(rows, full_matrices=False)[2]
    state = (rows @ axes.T).mean(axis=0)
    scores = vectors @ state
    best = np.argpartition(-scores, 5)[:5]
    return best[np.argsort(-scores[best])]


def microseconds(function, times):
    samples = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        samples.append((time.perf_counter() - start) * 1e6)
    return statistics.median(samples)


generator = np.random.default_rng(20260403)
vectors = np.sin(np.arange(1000 * DIM, dtype=np.float32) * 0.618).reshape(1000, DIM)
print(f"NumPy {np.__version__}, medians of {options.rounds} rounds, microseconds")
with tempfile.TemporaryDirectory() as folder:
    for cells, times in ((600, 21), (4000, 5)):
        data = blob(cells, generator)
        path = os.path.join(folder, "state.bin")
        with open(path, "wb") as file:
            file.write(data)
        found = {}
        for turn in range(options.rounds + 1):
            python = {"Python parse": microseconds(lambda: parse(data), 3)}
            if cells == 600:
                keys = parse(data)[0]
                python["Python EGR after its parse"] = microseconds(lambda: egr(keys, vectors), 3)
            output = subprocess.run([options.executable, path, str(times)], check=True, capture_output=True, text=True)
            ours = json.loads(output.stdout.splitlines()[-1])
            assert ours.pop("tokens") == cells
            if turn > 0:
                for name, value in (python | ours).items():
                    found.setdefault(name, []).append(value)
        medians = {name: statistics.median(values) for name, values in found.items()}
        print(f"\n{LAYERS} layers x {HEADS} x {DIM}, {cells} cells, {len(data):,} bytes")
        for name, value in medians.items():
            print(f"  {name:32} {value:12.1f}")
        print(f"  parse: {medians['Python parse'] / medians['parse']:.0f} times")
