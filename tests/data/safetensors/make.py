"""Writes the files of this folder that come from the safetensors package (0.8.0 when they were committed, with NumPy 2.4.6
and ml_dtypes 0.6.0): python3 make.py

gist_*.safetensors and gist_*.npy are no work of this script: the former were written by PyTorch (safetensors.torch), with
the cache of a gist model in them, and the latter hold their tensor layer_0_key as NumPy sees it (bfloat16 as <u2).
"""
import os

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

os.chdir(os.path.dirname(os.path.abspath(__file__)))

# The array of ../npy/make.py: (place in C order - 60) / 4, and as many quarters as integers.
blocks = np.arange(120).reshape(3, 2, 4, 5) - 60
tensors = {
    "f32": (blocks / 4).astype("<f4"),
    "f16": (blocks / 4).astype("<f2"),
    "bf16": (blocks / 4).astype(ml_dtypes.bfloat16),
    "i16": blocks.astype("<i2"),
    "f64": np.zeros((2, 3), "<f8"),
    "u8": np.arange(3, dtype="u1"),
    "bool": np.array([[True, False]]),
    "f8": np.zeros((2, 2), ml_dtypes.float8_e4m3fn),
    "scalar": np.array(1.5, "<f4"),
    "vector": np.arange(4, dtype="<f4"),
    "no blocks": np.zeros((0, 2, 3), "<f4"),
    "empty blocks": np.zeros((3, 0), "<f4"),
    "\u043a\u043b\u044e\u0447/\u0000\"\\": np.ones((1, 1), "<f2"),
}
save_file(tensors, "types.safetensors", {"note": "\u043a\u043b\u044e\u0447"})
save_file({}, "none.safetensors")
