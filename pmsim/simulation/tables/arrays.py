"""Between Arrow arrays and NumPy's, by their buffers.

PyArrow's own ways there and back load pandas first, which takes as long as many a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Number = Literal["int", "float", "bool"]

_TYPES = {"int": np.int64, "float": np.float64, "bool": np.bool_}
_NATIVE = {pa.int64(): np.int64, pa.int32(): np.int32, pa.float64(): np.float64}


def numbers(values: Sequence[Any] | npt.NDArray[Any], kind: Number = "int") -> pa.Array:
    """Return numbers as an array, those that are `None` as missing."""
    if isinstance(values, np.ndarray):
        return _numbers(values, kind)
    missing = [value is None for value in values]
    if not any(missing):
        return _numbers(np.array(values, dtype=_TYPES[kind]), kind)
    filled: npt.NDArray[Any] = np.array(
        [0 if value is None else value for value in values], dtype=_TYPES[kind]
    )
    return _numbers(filled, kind, np.array(missing))


def none_where(values: npt.NDArray[np.int64], missing: int = -1) -> pa.Array:
    """Return integers as an array in which ``missing`` stands for none."""
    return _numbers(values, "int", values == missing)


def words(codes: npt.NDArray[np.int64], names: Sequence[str]) -> pa.Array:
    """Return words from numbers: ``names[code]`` for each; none for a negative one."""
    data = np.ascontiguousarray(codes, dtype=np.int32)
    buffers = [_bits(data >= 0) if len(data) and data.min() < 0 else None, pa.py_buffer(data)]
    places = pa.Array.from_buffers(pa.int32(), len(data), buffers)
    return pa.DictionaryArray.from_arrays(places, strings(names))


def few_words(values: Sequence[str | None]) -> pa.Array:
    """Return words, each of which occurs many times, as numbers of words; `None` as missing."""
    names = [value for value in dict.fromkeys(values) if value is not None]
    code: dict[str | None, int] = {None: -1}
    code |= {name: at for at, name in enumerate(names)}
    return words(np.fromiter(map(code.__getitem__, values), np.int64, len(values)), names)


def strings(values: Sequence[str | None]) -> pa.Array:
    """Return texts as they are, `None` as missing."""
    encoded = [b"" if value is None else value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    known = np.array([value is not None for value in values], dtype=bool)
    buffers = [_bits(known), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


def filled(column: pa.Array) -> npt.NDArray[Any]:
    """Return a column of numbers as NumPy has them, -1 for none."""
    known, data = column.buffers()
    end = column.offset + len(column)
    if data is None:  # PyArrow leaves out the buffer of no rows
        return np.empty(0, dtype=np.int64)
    if pa.types.is_boolean(column.type):
        return _bools(data, end)[column.offset :]
    values = np.frombuffer(data, _NATIVE[column.type], end)[column.offset :]
    if column.null_count:
        return np.where(_bools(known, end)[column.offset :], values, -1)
    return values


def coded(column: pa.Array) -> tuple[npt.NDArray[Any], list[str]]:
    """Return a column of words as numbers, -1 for none, and the words that they stand for."""
    return filled(column.indices), column.dictionary.to_pylist()


def _numbers(
    values: npt.NDArray[Any], kind: Number, missing: npt.NDArray[np.bool_] | None = None
) -> pa.Array:
    data: npt.NDArray[Any] = np.ascontiguousarray(values, dtype=_TYPES[kind])
    kept = _bits(data) if kind == "bool" else pa.py_buffer(data)
    known = None if missing is None or not missing.any() else _bits(~missing)
    types = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
    return pa.Array.from_buffers(types[kind], len(data), [known, kept])


def _bits(values: npt.NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little"))


def _bools(bits: pa.Buffer, count: int) -> npt.NDArray[np.bool_]:
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=count, bitorder="little").astype(bool)
