"""Mirrors beside the same in NumPy, on the same arrays, in turns.

    cargo bench --features simd --bench mirror_once --no-run
    python3 benches/mirror_numpy.py EXECUTABLE [--rounds N]

EXECUTABLE is the path that cargo prints. The NumPy side does what TokenDance's Python storage does: subtract, norm of each
block, indices over the threshold, their differences; and master.copy() with the differences added. 2 % of the blocks
differ; threshold 1e-4. "register" is a whole register_mirror, with everything it allocates; "reconstruct" gives a new
array in NumPy, and with bitwire both that ("fresh") and into an array that is there ("into"); so does the copy it is compared
with. NumPy asks the system for huge pages for its large arrays, which makes fresh ones cheaper than Rust's allocator does.
Medians over all rounds; the first round is left out.
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

import numpy as np  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("executable")
parser.add_argument("--rounds", type=int, default=7)
options = parser.parse_args()

THRESHOLD = 1e-4


def register(master, agent):
    delta = agent - master
    norms = np.linalg.norm(delta.reshape(len(delta), -1), axis=1)
    indices = np.flatnonzero(norms > THRESHOLD)
    return indices, delta[indices].copy()


def reconstruct(master, indices, differences):
    out = master.copy()
    out[indices] += differences
    return out


def microseconds(function, times):
    samples = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        samples.append((time.perf_counter() - start) * 1e6)
    return statistics.median(samples)


generator = np.random.default_rng(20260403)
print(f"NumPy {np.__version__}, one thread, medians of {options.rounds} rounds, microseconds")
with tempfile.TemporaryDirectory() as folder:
    for rows, dim, times in ((200, 128, 2000), (4096, 4096, 7)):
        master = generator.standard_normal((rows, dim), dtype=np.float32)
        agent = master.copy()
        changed = generator.choice(rows, size=rows // 50, replace=False)
        agent[changed] += generator.standard_normal((len(changed), dim), dtype=np.float32)
        paths = [os.path.join(folder, f"{rows}.{name}.npy") for name in ("master", "agent")]
        for path, array in zip(paths, (master, agent)):
            np.save(path, array)
        indices, differences = register(master, agent)
        assert sorted(changed) == list(indices)
        found = {}
        for turn in range(options.rounds + 1):
            numpy = {
                "NumPy register": microseconds(lambda: register(master, agent), times),
                "NumPy reconstruct": microseconds(lambda: reconstruct(master, indices, differences), times),
            }
            command = [options.executable, *paths, str(times)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            ours = json.loads(output.splitlines()[-1])
            assert ours.pop("differing") == len(indices)
            if turn > 0:
                for name, value in {**numpy, **ours}.items():
                    found.setdefault(name, []).append(value)
        found = {name: statistics.median(values) for name, values in found.items()}
        size = rows * dim * 4
        print(f"\n{rows} x {dim} f32, {len(indices)} blocks differ")
        for name, value in found.items():
            moved = 1 if name == "digest" else 2
            print(f"  {name:28}{value:12.2f}{moved * size / value / 1e3:10.1f} GB/s")
        ratio = lambda above, below: found[above] / found[below]  # noqa: E731
        print(f"  register: NumPy / bitwire          {ratio('NumPy register', 'register'):8.1f}")
        print(f"  register: speed of a plain read    {ratio('read both', 'register'):8.2f}")
        print(f"  reconstruct: NumPy / bitwire fresh {ratio('NumPy reconstruct', 'reconstruct fresh'):8.1f}")
        print(f"  reconstruct: NumPy / bitwire into  {ratio('NumPy reconstruct', 'reconstruct into'):8.1f}")
        print(f"  reconstruct: speed of a plain copy {ratio('copy', 'reconstruct into'):8.2f}")
        print(f"  ... both into fresh memory         {ratio('copy fresh', 'reconstruct fresh'):8.2f}")
