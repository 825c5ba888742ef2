"""Exact searches beside FAISS, on the same vectors, in turns, one thread.

    pip install faiss-cpu numpy
    cargo bench --features simd --bench search_once --no-run
    python3 benches/search_faiss.py EXECUTABLE [--rounds N] [--rows N] [--dim N]

EXECUTABLE is the path that cargo prints. Both search the same random vectors for the same queries, k = 10, inner product:
FAISS with IndexFlatIP (and its scalar quantisers for f16 and 8 bits), bitwire in each of its types. "read" is a plain pass
over the same bytes, which no search can beat. The ids found in f32 have to be the same. Medians over all rounds, and
the ratios' medians, so that a busy machine disturbs both sides alike; the first round is left out.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import faiss  # noqa: E402
import numpy as np  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("executable")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--rows", type=int, default=1_000_000)
parser.add_argument("--dim", type=int, default=128)
options = parser.parse_args()

K, QUERIES, TIMES = 10, 32, 11
faiss.omp_set_num_threads(1)
generator = np.random.default_rng(20260403)
vectors = generator.standard_normal((options.rows, options.dim), dtype=np.float32)
queries = generator.standard_normal((QUERIES, options.dim), dtype=np.float32)

indexes = {"FAISS IndexFlatIP": faiss.IndexFlatIP(options.dim)}
for label, kind in (("f16", faiss.ScalarQuantizer.QT_fp16), ("8 bit", faiss.ScalarQuantizer.QT_8bit)):
    index = faiss.IndexScalarQuantizer(options.dim, kind, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors[:100_000])
    indexes[f"FAISS {label}"] = index
for index in indexes.values():
    index.add(vectors)


def microseconds(function, times):
    samples = []
    for i in range(times):
        start = time.perf_counter()
        function(i)
        samples.append((time.perf_counter() - start) * 1e6)
    return statistics.median(samples)


flat = indexes["FAISS IndexFlatIP"]
expected = [list(row) for row in flat.search(queries, K)[1]]
print(f"FAISS {faiss.__version__}, {options.rows} x {options.dim}, k = {K}, one thread, medians of {options.rounds} rounds, us")
found = {}
ratios = {}
with tempfile.TemporaryDirectory() as folder:
    paths = [os.path.join(folder, name) for name in ("vectors.npy", "queries.npy")]
    for path, array in zip(paths, (vectors, queries)):
        np.save(path, array)
    for turn in range(options.rounds + 1):
        times = {}
        for name, index in indexes.items():
            one = lambda i: index.search(queries[i % QUERIES][None], K)  # noqa: E731, B023
            times[name] = microseconds(one, TIMES)
        batch = microseconds(lambda i: flat.search(queries, K), 1)
        times[f"FAISS batch of {QUERIES}, each"] = batch / QUERIES
        command = [options.executable, *paths, str(K), str(TIMES)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        ours = json.loads(output.splitlines()[-1])
        assert ours.pop("found") == expected, "other ids"
        if turn == 0:
            continue
        times.update(ours)
        for name, value in times.items():
            found.setdefault(name, []).append(value)
        for name, above, below in (
            ("FAISS IndexFlatIP / F32", "FAISS IndexFlatIP", "F32"),
            ("FAISS IndexFlatIP / Mu16", "FAISS IndexFlatIP", "Mu16"),
            ("F32 / Mu16", "F32", "Mu16"),
            ("FAISS f16 / F16", "FAISS f16", "F16"),
            ("FAISS 8 bit / I8", "FAISS 8 bit", "I8"),
            (
                "FAISS / F32, batches",
                f"FAISS batch of {QUERIES}, each",
                f"F32 batch of {QUERIES}, each",
            ),
            ("F32: speed of a plain read", "F32 read", "F32"),
            ("F16: speed of a plain read", "F16 read", "F16"),
            ("Mu16: speed of a plain read", "Mu16 read", "Mu16"),
        ):
            ratios.setdefault(name, []).append(times[above] / times[below])
for name, values in found.items():
    print(f"  {name:28}{statistics.median(values):12.1f}")
for name, values in ratios.items():
    print(f"  {name:28}{statistics.median(values):12.2f}")
