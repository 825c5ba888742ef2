"""Writes the files of this folder with NumPy (2.4.6 when they were committed): python3 make.py

The bfloat16 is that of ml_dtypes (0.6.0). The matrices hold (3 * row + column - 7) / 4, which every float type holds exactly, in 5 rows and 3 columns.
"""
import io
import os

import ml_dtypes
import numpy as np
from numpy.lib import format

os.chdir(os.path.dirname(os.path.abspath(__file__)))
matrix = (np.arange(15).reshape(5, 3) - 7) / 4

for kind in "f2", "f4", "f8":
    for order, name in ("<", "le"), (">", "be"):
        typed = matrix.astype(order + kind)
        np.save(f"{kind}_{name}_c.npy", typed)
        np.save(f"{kind}_{name}_fortran.npy", np.asfortranarray(typed))

for version in (2, 0), (3, 0):
    with open(f"version{version[0]}.npy", "wb") as file:
        format.write_array(file, matrix.astype("<f4"), version=version)

refused = {
    "object": np.array([[None, 1]], dtype=object),
    "int32": np.arange(6, dtype="<i4").reshape(2, 3),
    "bool": np.array([[True, False]]),
    "complex64": np.zeros((2, 2), "<c8"),
    "longdouble": np.zeros((1, 2), np.longdouble),
    "text": np.array([["a", "b"]]),
    "date": np.zeros((1, 2), "<M8[ns]"),
    "structured": np.zeros((2, 2), [("a", "<f4"), ("b", "<i8")]),
    "0d": np.float32(1.5),
    "1d": np.arange(4, dtype="<f4"),
    "3d": np.zeros((1, 2, 3), "<f4"),
    "5d": np.zeros((1, 1, 1, 1, 1), "<f4"),
    "9d": np.zeros((1,) * 9, "<f4"),
}
for name, array in refused.items():
    np.save(f"refused_{name}.npy", array, allow_pickle=True)

np.save("rows0.npy", np.zeros((0, 5), "<f4"))
np.save("columns0.npy", np.zeros((5, 0), "<f4"))
np.save("one_row_fortran.npy", np.asfortranarray(matrix[:1].astype("<f4")))

# What the writers have to match.
np.save("scalar_f8.npy", np.float64(2.5))
np.save("vector_f4.npy", np.array([1, 2, 3.5], "<f4"))

# Headers around the point where the padding turns over; the shapes hold no elements, so each is a whole file.
shapes = [(0,), (0, 7), (7, 0)]
shapes += [(0, 10**n) for n in range(18)] + [(10**n, 0) for n in range(17)]
shapes += [(0, 3, 10**n) for n in range(17)] + [(1, 10**n, 0, 3) for n in range(16)]
shapes += [(0, 10**18, 10**18, 10**n) for n in range(18)]
with open("headers.bin", "wb") as file, open("headers.txt", "w") as text:
    for shape in shapes:
        header = io.BytesIO()
        format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": shape})
        file.write(header.getvalue())
        text.write(" ".join(map(str, shape)) + f" : {len(header.getvalue())}\n")

# Blocks: (place in C order - 60) / 4, which every float type holds exactly, and as many quarters as integers.
blocks = np.arange(120).reshape(3, 2, 4, 5) - 60
for kind, dtype in ("f2", np.float16), ("f4", np.float32), ("bf16", ml_dtypes.bfloat16), ("i2", np.int16):
    for order, name in ("<", "le"), (">", "be"):
        values = blocks if kind == "i2" else blocks / 4
        typed = values.astype(dtype).astype(np.dtype(dtype).newbyteorder(order))
        np.save(f"blocks_{kind}_{name}_c.npy", typed)
        np.save(f"blocks_{kind}_{name}_fortran.npy", np.asfortranarray(typed))
np.save("blocks_void.npy", (blocks / 4).astype(ml_dtypes.bfloat16).view("|V2").reshape(3, 2, 4, 5))
np.save("blocks_none.npy", np.zeros((0, 2, 3, 4), "<f4"))
np.save("blocks_empty.npy", np.zeros((3, 2, 0, 4), "<f4"))
np.save("blocks_8d_fortran.npy", np.asfortranarray((blocks / 4).astype("<f4").reshape(3, 1, 2, 1, 2, 2, 1, 5)))
