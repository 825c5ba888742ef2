"""The masks of benches/gist_mask.rs in NumPy: n x n as the original code builds it, then packed.

    python3 benches/gist_mask.py

The original scans for gists with a Python loop over a tensor; here the gists are known, as they are in the Rust bench, and
the scan is timed by itself. Medians of 15 rounds, one thread.
"""

import os
import statistics
import time

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402

N, START, END, PADDED = 4096, 4000, 4010, 96
padding = np.arange(N) >= PADDED
tokens = np.arange(N)


def mask(padded):
    out = np.tril(np.ones((N, N), dtype=bool))
    out[END:, :START] = False
    out[END:, START:END] = True
    if padded:
        out &= padding[None, :]
        out &= padding[:, None]
    return out


def packed(padded):
    return np.packbits(mask(padded), axis=1, bitorder="little")


def additive(padded):
    return np.where(mask(padded), np.float32(0), np.finfo(np.float32).min)


def scan():
    gists = set(range(START, END))
    return [int(token) in gists for token in tokens]


def milliseconds(function):
    samples = []
    for _ in range(15):
        start = time.perf_counter()
        function()
        samples.append((time.perf_counter() - start) * 1e3)
    return statistics.median(samples)


print(f"NumPy {np.__version__}, {N} x {N}, milliseconds")
for name, function in (("bool", mask), ("packed bits", packed), ("additive f32", additive)):
    for padded in (False, True):
        label = f"{name}, {'with' if padded else 'no'} padding"
        print(f"{label:28} {milliseconds(lambda: function(padded)):8.2f}")
whole = mask(True)
print(f"{'packbits alone':28} {milliseconds(lambda: np.packbits(whole, axis=1, bitorder='little')):8.2f}")
print(f"{'scan for gists':28} {milliseconds(scan):8.2f}")
