"""Mean and covariance of 100,000 x 384 f32: bitwire beside NumPy, on the same file, in turns.

    cargo bench --features simd --bench window_stats_once --no-run
    python3 benches/window_stats.py EXECUTABLE [--rounds N] [--threads N]

EXECUTABLE is the path that cargo prints. "diagonal" is the mean and the variances, "full" the whole covariance (with
bitwire the mean as well), f64 results from f32 rows in memory, divisor n - 1. One round of each in every turn; the
medians and the least are compared, and the results with them. NumPy runs its BLAS on `--threads` threads, as bitwire
its parts; the rest of NumPy knows one thread.
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
parser.add_argument("--rounds", type=int, default=7)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--rows", type=int, default=100_000)
parser.add_argument("--dim", type=int, default=384)
options = parser.parse_args()
# Read when NumPy is loaded.
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(options.threads)

import numpy as np  # noqa: E402


def milliseconds(function):
    start = time.perf_counter()
    result = function()
    return (time.perf_counter() - start) * 1e3, result


def diagonal(x):
    return x.mean(axis=0, dtype=np.float64), x.var(axis=0, ddof=1, dtype=np.float64)


def full(x):
    return np.cov(x, rowvar=False, dtype=np.float64)


def close(ours, numpy, scale):
    assert abs(ours - numpy) <= 1e-9 * abs(scale), (ours, numpy)


with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "matrix.npy")
    generator = np.random.default_rng(20240501)
    x = generator.standard_normal((options.rows, options.dim), dtype=np.float32)
    x *= np.float32(0.05)
    x += np.float32(0.01)
    np.save(path, x)
    times = {(kind, who): [] for kind in ("diagonal", "full") for who in ("NumPy", "bitwire")}
    # One more round of each first: the memory is then there and the clock is up.
    for turn in range(options.rounds + 1):
        diagonal_ms, (mean, _) = milliseconds(lambda: diagonal(x))
        full_ms, cov = milliseconds(lambda: full(x))
        command = [options.executable, path, "2", str(options.threads)]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        ours = json.loads(lines[-1])
        close(ours["mean0"], mean[0], mean[0])
        close(ours["trace"], np.trace(cov), np.trace(cov))
        close(ours["cov01"], cov[0, 1], np.sqrt(cov[0, 0] * cov[1, 1]))
        if turn > 0:
            times["diagonal", "NumPy"].append(diagonal_ms)
            times["full", "NumPy"].append(full_ms)
            times["diagonal", "bitwire"].append(ours["diagonal"])
            times["full", "bitwire"].append(ours["full"])

print(
    f"{options.rows} x {options.dim} f32, {options.threads} thread(s), NumPy {np.__version__}, {options.rounds} rounds"
)
print(f"{'':20}{'NumPy ms':>10}{'bitwire ms':>12}{'ratio':>8}")
for kind in ("diagonal", "full"):
    for what, choose in (("median", statistics.median), ("least", min)):
        numpy_ms, ours_ms = (choose(times[kind, who]) for who in ("NumPy", "bitwire"))
        print(f"{kind + ', ' + what:20}{numpy_ms:10.1f}{ours_ms:12.1f}{numpy_ms / ours_ms:8.2f}")
