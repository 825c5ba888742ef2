"""Writes what NumPy says of the embeddings beside this file: NAME.json for NAME.npy.

Run in this folder, after a change of the matrices: python3 numpy_stats.py
Means and covariances are NumPy's own (f64 from f32, divisor n - 1). The last matrix, shifted.npy, is the window, scaled to
a spread of about 1, plus 1e6, in f64: a sum of squares would lose 12 digits of its variances.
"""

import json

import numpy as np

ROWS = (0, 100, 383)  # rows of the covariance written out; "norm" covers the rest

window = np.load("window.npy")
np.save("shifted.npy", 20 * window[:, :32].astype(np.float64) + 1e6)
for name in ("window", "questions", "baseline", "shifted"):
    x = np.load(name + ".npy")
    cov = np.cov(x, rowvar=False, dtype=np.float64)
    stats = {
        "mean": x.mean(axis=0, dtype=np.float64).tolist(),
        "variances": x.var(axis=0, ddof=1, dtype=np.float64).tolist(),
        "trace": float(np.trace(cov)),
        "norm": float(np.linalg.norm(cov)),
        "covariance": {i: cov[i].tolist() for i in ROWS if i < len(cov)},
    }
    with open(name + ".json", "w") as file:
        json.dump(stats, file)
        file.write("\n")
