"""Exact figures: whole thousandths inside, decimals of the source's own scale outside.

Every balance of the operator closes to the last digit because volumes are integers until the moment they are written.
"""

from zlib import crc32

import numpy as np
import pyarrow as pa


def stream(seed: int, name: str) -> np.random.Generator:
    """The random numbers of one quantity.

    Draw them with time as the first axis: a longer history then begins with exactly the shorter one.
    """
    return np.random.default_rng([seed, crc32(name.encode())])


def thousandths(values: np.ndarray) -> np.ndarray:
    return np.rint(np.asarray(values, dtype=float) * 1000).astype(np.int64)


def decimals(values, digits: int, precision: int, scale: int, null: np.ndarray | None = None) -> pa.Array:
    """Integers in units of 10^-digits as exact decimals(precision, scale), without passing through a float."""
    low = np.ascontiguousarray(values, dtype=np.int64) * 10 ** (scale - digits)
    words = np.empty((len(low), 2), dtype=np.int64)  # a 128-bit integer, low word first
    words[:, 0], words[:, 1] = low, low >> 63
    kind = pa.decimal128(precision, scale)
    if null is None:
        return pa.Array.from_buffers(kind, len(low), [None, pa.py_buffer(words)])
    valid = pa.array(~np.asarray(null, dtype=bool)).buffers()[1]
    return pa.Array.from_buffers(kind, len(low), [valid, pa.py_buffer(words)])


def volumes(thousandths_of_a_unit: np.ndarray, null: np.ndarray | None = None) -> pa.Array:
    """The numeric(18, 6) of the field database, measured to the thousandth."""
    return decimals(thousandths_of_a_unit, 3, 18, 6, null)


def split(totals: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Split each integer total by the weights on the last axis; the parts add up to the total exactly.

    Weights that are all zero count as equal.
    """
    weights = np.where(weights.sum(axis=-1, keepdims=True) > 0, weights, 1.0)
    share = np.cumsum(weights, axis=-1) / weights.sum(axis=-1, keepdims=True)
    share[..., -1] = 1.0
    edges = np.rint(np.asarray(totals)[..., None] * share).astype(np.int64)
    return np.diff(edges, axis=-1, prepend=0)
