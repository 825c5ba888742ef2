"""Fingerprints beside the same in NumPy, on the same keys, in turns.

    cargo bench --features simd,linalg --bench fingerprint --no-run
    python3 benches/fingerprint_numpy.py EXECUTABLE [--rounds N] [--threads N]

EXECUTABLE is the path that cargo prints. The keys are 32 layers x 8 heads x 600 cells x 128 in binary16, normal numbers of
falling variance. The NumPy side does what ENGRAM's Python does on torch: widens the layers to f32, takes the rows of the
permutation, decomposes them (numpy.linalg.svd), projects, takes the mean. The permutation is drawn beforehand there, since
NumPy has not torch's. bitwire takes two threads for the products of svd_project and xkv_project. Medians over all rounds;
the first round is left out.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

parser = argparse.ArgumentParser()
parser.add_argument("executable")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)
options = parser.parse_args()
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(options.threads)

import numpy as np  # noqa: E402

CAP, RANK = 8192, 160


def first_places(n, take, seed):
    """torch.randperm(n, generator=seed)[:take] on the CPU: RandomState seeds MT19937 as init_genrand does."""
    draws = np.random.RandomState(seed).randint(0, 2**32, size=take, dtype=np.uint64)
    rows = np.arange(n)
    for i, draw in enumerate(draws):
        j = i + int(draw) % (n - i)
        rows[i], rows[j] = rows[j], rows[i]
    return rows[:take]


def svd_project(keys, rows):
    flat = keys[8:24].astype(np.float32).reshape(-1, keys.shape[-1])[rows]
    _, _, vh = np.linalg.svd(flat, full_matrices=False)
    return (flat @ vh[:RANK].T).mean(axis=0)


def mean_pool(keys):
    return keys[8:24].astype(np.float32).mean(axis=(0, 1, 2))


def layer_means(keys):
    means = keys.astype(np.float32).mean(axis=2)
    return means.reshape(len(means), -1)


def fourier_v2(keys):
    means = layer_means(keys)
    means = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    amplitudes = np.abs(np.fft.rfft(means, axis=0))[:2]
    return (amplitudes / np.maximum(np.linalg.norm(amplitudes, axis=1, keepdims=True), 1e-12)).ravel()


def microseconds(function, times):
    samples = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        samples.append((time.perf_counter() - start) * 1e6)
    return statistics.median(samples)


generator = np.random.default_rng(20260403)
spread = np.geomspace(4, 0.05, 128, dtype=np.float32)
keys = generator.standard_normal((32, 8, 600, 128), dtype=np.float32) * spread + spread[::-1] / 2
keys = keys.astype(np.float16)
rows = first_places(16 * 8 * 600, CAP, 42)
numpy = {
    "svd_project": lambda: svd_project(keys, rows),
    "mean_pool": lambda: mean_pool(keys),
    "layer means, all layers": lambda: layer_means(keys),
    "Fourier v2, all layers": lambda: fourier_v2(keys),
}
print(f"NumPy {np.__version__}, {options.threads} threads; medians of {options.rounds} rounds, microseconds")
found = {}
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "keys.npy")
    np.save(path, keys)
    for turn in range(options.rounds + 1):
        theirs = {name: microseconds(run, 3) for name, run in numpy.items()}
        output = subprocess.run([options.executable, path, "30"], check=True, capture_output=True, text=True).stdout
        result = json.loads(output.splitlines()[-1])
        for ours, expected in (
            (result["state"], np.abs(svd_project(keys, rows))),
            (result["mean"], mean_pool(keys)),
            (result["v2"], fourier_v2(keys)),
        ):
            error = np.abs(np.array(ours) - expected).max() / np.linalg.norm(expected)
            assert error < 1e-4, error
        if turn > 0:
            for name, value in result["us"].items():
                found.setdefault(name, ([], []))[0].append(value)
            for name, value in theirs.items():
                found[name][1].append(value)
print(f"{'':28}{'bitwire':>12}{'NumPy':>12}")
for name, (ours, theirs) in found.items():
    ours = statistics.median(ours)
    if theirs:
        theirs = statistics.median(theirs)
        print(f"{name:28}{ours:12.0f}{theirs:12.0f}{theirs / ours:8.1f} x")
    else:
        print(f"{name:28}{ours:12.0f}")
