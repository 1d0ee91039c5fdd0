"""Arrays of many runs in one file: what `numpy.load` calls ``RUN/NAME``.

The file is an ordinary ``.npz``: ``numpy.load("decisions.npz")["static-2000-1f3a/instances"]``. The
same runs give the same bytes whenever they are packed.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

from sageserve_bench.rows import replaced

EPOCH = (1980, 1, 1, 0, 0, 0)


def members(path: Path) -> set[str]:
    """Return the runs of an archive; none if it is not there or damaged."""
    try:
        with ZipFile(path) as file:
            return {name.partition("/")[0] for name in file.namelist()}
    except (OSError, BadZipFile):
        return set()


def add(path: Path, pieces: Mapping[str, Path]) -> None:
    """Put the arrays of runs into an archive, in place of those it has of the same runs.

    Args:
        path: The archive; made if it is not there, and never half written.
        pieces: The ``.npz`` file of each run.
    """
    with ExitStack() as stack:
        sources: dict[str, tuple[ZipFile, str]] = {}
        if members(path) - set(pieces):
            old = stack.enter_context(ZipFile(path))
            sources |= {name: (old, name) for name in old.namelist()}
        for run, piece in pieces.items():
            file = stack.enter_context(ZipFile(piece))
            sources = {k: v for k, v in sources.items() if not k.startswith(f"{run}/")}
            sources |= {f"{run}/{name}": (file, name) for name in file.namelist()}
        with replaced(path) as scratch, ZipFile(scratch, "w") as target:
            for name in sorted(sources):
                source, inner = sources[name]
                info = ZipInfo(name, EPOCH)
                info.compress_type = ZIP_DEFLATED
                target.writestr(info, source.read(inner), compresslevel=9)
