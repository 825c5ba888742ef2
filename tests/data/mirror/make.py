"""Writes the frames of this folder: `python3 make.py BITWIRE` with the built binary. Needs NumPy and ml_dtypes."""

import pathlib
import subprocess
import sys
import tempfile

import ml_dtypes
import numpy as np

bitwire, here = sys.argv[1], pathlib.Path(__file__).parent
context = ["kv", "demo", "layer0"]
master = (np.arange(128, dtype=np.float32).reshape(16, 8) / 4).astype(ml_dtypes.bfloat16)
agent = master.copy()
agent[3] = 100
agent[12, 5] = -0.5
other = master.copy()
other[0, 0] = 1
with tempfile.TemporaryDirectory() as folder:
    paths = {}
    for name, array in (("master", master), ("agent", agent), ("other", other)):
        paths[name] = f"{folder}/{name}.npy"
        np.save(paths[name], array)
    run = lambda *args: subprocess.run([bitwire, "mirror", *args, "--element", "bf16"], check=True)  # noqa: E731
    run("master", paths["master"], str(here / "master.bit"), *context)
    run("diff", paths["master"], paths["agent"], str(here / "agent.bit"), *context)
    run("diff", paths["other"], paths["agent"], str(here / "of-another-master.bit"), *context)
