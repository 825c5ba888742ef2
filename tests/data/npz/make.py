"""Writes the files of this folder with NumPy and zipfile (2.4.6 and Python 3 when they were committed): python3 make.py

Run as `python3 make.py check FILE` it reads FILE, an archive written by bitwire, as NumPy does, without pickle.
"""
import io
import os
import sys
import warnings
import zipfile

import numpy as np

mu = np.array([1.0, -2.5, 0.25])
sigma = np.array([[4.0, 0.5, -0.25], [0.5, 1.0, 0.125], [-0.25, 0.125, 2.0]])
good = {"mu": mu, "Sigma": sigma, "W": np.float64(10), "t0": np.float64(-1.5), "t1": np.float64(2)}

if sys.argv[1:2] == ["check"]:
    with np.load(sys.argv[2], allow_pickle=False) as archive:
        assert sorted(archive.files) == sorted(good)
        for name, array in good.items():
            found = archive[name]
            assert found.dtype == np.float64 and found.shape == array.shape and (found == array).all(), name
    with zipfile.ZipFile(sys.argv[2]) as archive:
        assert archive.testzip() is None
    print("numpy reads it")
    raise SystemExit

os.chdir(os.path.dirname(os.path.abspath(__file__)))


def npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


np.savez("stored.npz", **good)
np.savez_compressed("deflated.npz", **good)
np.savez("f2_big_endian.npz", **{name: np.asarray(array).astype(">f2") for name, array in good.items()})
np.savez("f4.npz", **{name: np.asarray(array).astype("<f4") for name, array in good.items()})
np.savez("integers.npz", mu=mu, Sigma=sigma, W=np.array([10], "<u4"), t0=np.array([[-1]], ">i2"), t1=2)
# Upper and lower half differ by less than is tolerated, and by different amounts for each reading order.
skew = sigma.copy()
skew[0, 1] += 1e-7
np.savez("c_order.npz", **{**good, "Sigma": skew})
np.savez("fortran.npz", **{**good, "Sigma": np.asfortranarray(skew)})

bad = {
    "no_mu": {"mu": None},
    "no_sigma": {"Sigma": None},
    "no_w": {"W": None},
    "no_t0": {"t0": None},
    "no_t1": {"t1": None},
    "mu_2d": {"mu": mu.reshape(1, 3)},
    "mu_empty": {"mu": np.zeros(0), "Sigma": np.zeros((0, 0))},
    "mu_nan": {"mu": np.array([1, np.nan, 0])},
    "mu_object": {"mu": np.array([1, 2, None], dtype=object)},
    "mu_int": {"mu": np.array([1, 2, 3])},
    "sigma_1d": {"Sigma": sigma.ravel()},
    "sigma_wide": {"Sigma": np.zeros((3, 4))},
    "sigma_other_dim": {"Sigma": np.eye(4)},
    "sigma_skew": {"Sigma": sigma + np.array([[0, 1e-5, 0]] + [[0] * 3] * 2)},
    "sigma_inf": {"Sigma": np.diag([1, np.inf, 1])},
    "w_two": {"W": np.array([1.0, 2.0])},
    "w_negative": {"W": -1},
    "w_text": {"W": "10"},
    "w_beyond_f64": {"W": 2**53 + 1},
    "t_backwards": {"t0": 3},
}
for name, change in bad.items():
    arrays = {key: array for key, array in {**good, **change}.items() if array is not None}
    np.savez(f"bad_{name}.npz", **arrays)


def archive(name, members, method=zipfile.ZIP_STORED):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(name, "w", method) as file:
            for member, data in members:
                file.writestr(zipfile.ZipInfo(member), data, method)


members = [(key + ".npy", npy(array)) for key, array in good.items()]
archive("extra.npz", [("readme.txt", b"hello"), ("../mu.npy", b"x"), ("/mu.npy", b"x"), ("MU.npy", b"x"), ("mu", b"x")] + members)
archive("bad_twice.npz", members + [members[0]])
archive("bad_path.npz", [("./" + key, data) for key, data in members])
archive("bad_bzip2.npz", members, zipfile.ZIP_BZIP2)
archive("bad_trailing.npz", [(key, data + b"\0") for key, data in members])
archive("bad_short.npz", [(key, data[:-1]) for key, data in members])
# 16 MiB in 16 KiB: mu goes on after what its header says, or says it has 2^40 values.
archive("bad_bomb_after.npz", [("mu.npy", members[0][1] + bytes(16 << 20))] + members[1:], zipfile.ZIP_DEFLATED)
huge = members[0][1].replace(b"(3,), }" + b" " * 12, b"(1099511627776,), }")
archive("bad_bomb_claimed.npz", [("mu.npy", huge + bytes(1 << 20))] + members[1:], zipfile.ZIP_DEFLATED)
archive("bad_empty.npz", [])
# 20 MB of zeros in 21 KB; a diagonal packs less.
zeros = {**good, "mu": np.zeros(1600), "Sigma": np.zeros((1600, 1600))}
archive("bad_zeros.npz", [(key + ".npy", npy(array)) for key, array in zeros.items()], zipfile.ZIP_DEFLATED)
