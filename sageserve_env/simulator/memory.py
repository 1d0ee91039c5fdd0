"""Where the arrays of a state lie: whole cache lines, one block, on huge pages where there are any.

A simulation touches a few hundred bytes at each event, at random places of a few megabytes. With
pages of 4 KB many of these touches miss the processor's table of pages as well.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

LINE_BYTES = 64
PAIR_BYTES = 2 * LINE_BYTES  # processors fetch lines in pairs
HUGE_PAGE_BYTES = 2 << 20


def zeros(length: int, dtype: np.dtype[Any]) -> Array:
    """Return zeros that start at a pair of cache lines."""
    return _block(length * dtype.itemsize)[: length * dtype.itemsize].view(dtype)


def together(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return copies of arrays that lie in one block, each from a pair of cache lines on."""
    block = _block(sum(_whole(array.nbytes) for array in arrays.values()))
    placed, at = {}, 0
    for name, array in arrays.items():
        view = block[at : at + array.nbytes].view(array.dtype).reshape(array.shape)
        view[...] = array
        placed[name] = view
        at += _whole(array.nbytes)
    return placed


def _whole(nbytes: int) -> int:
    return -(-nbytes // PAIR_BYTES) * PAIR_BYTES


def _block(nbytes: int) -> Array:
    """Return zeroed bytes; half a huge page and more are asked for as huge pages."""
    if nbytes < HUGE_PAGE_BYTES // 2 or not hasattr(mmap, "MADV_HUGEPAGE"):
        raw = np.zeros(nbytes + PAIR_BYTES, dtype=np.uint8)
        return raw[-raw.ctypes.data % PAIR_BYTES :]
    # A page more than is needed, of which only the aligned part is ever touched.
    size = -(-nbytes // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES + HUGE_PAGE_BYTES
    mapped = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        mapped.madvise(mmap.MADV_HUGEPAGE)
    except OSError:  # a kernel without huge pages
        pass
    raw = np.frombuffer(mapped, dtype=np.uint8)
    start = -raw.ctypes.data % HUGE_PAGE_BYTES
    return raw[start : start + size - HUGE_PAGE_BYTES]
