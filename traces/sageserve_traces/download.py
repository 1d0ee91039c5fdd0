"""Finding and fetching the files of named traces."""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import TraceError
from .files import atomic_path, file_sha256

#: Environment variable with folders (joined by the path separator) that hold trace files.
TRACE_DIR_VARIABLE: Final = "SAGESERVE_TRACE_DIR"
_TIMEOUT_S: Final = 60.0
_BLOCK: Final = 1 << 18


@dataclass(frozen=True)
class TraceFile:
    """A file of a named trace.

    Attributes:
        name: File name, by which it is looked for.
        url: Public address; None if there is none.
        sha256: Of its bytes.
    """

    name: str
    url: str | None
    sha256: str


def cache_dir() -> Path:
    """Return the folder for downloads: ``$XDG_CACHE_HOME/sageserve/traces`` or below ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sageserve" / "traces"


def find(file: TraceFile) -> Path | None:
    """Return where a file lies with the right content: trace folders first, then the cache.

    Raises:
        TraceError: If there is only a file of that name with other content.
    """
    folders = [Path(p) for p in os.environ.get(TRACE_DIR_VARIABLE, "").split(os.pathsep) if p]
    wrong = None
    for folder in [*folders, cache_dir()]:
        for path in sorted(folder.rglob(file.name)) if folder.is_dir() else []:
            if path.is_file():
                if _sha256_kept(path) == file.sha256:
                    return path
                wrong = path
    if wrong is not None:
        raise TraceError(
            f"{wrong}: is not the published {file.name} (SHA-256 differs); give its path instead "
            "of the name to use it as a trace of your own"
        )
    return None


_hashes: dict[tuple[str, int, int], str] = {}


def _sha256_kept(path: Path) -> str:
    """Hash a file once per process while it does not change."""
    stat = path.stat()
    key = (str(path), stat.st_mtime_ns, stat.st_size)
    if key not in _hashes:
        _hashes[key] = file_sha256(path)
    return _hashes[key]


def locate(trace: str, files: Sequence[TraceFile]) -> list[Path]:
    """Return the paths of all files of a named trace.

    Raises:
        TraceError: If one is missing; the message says how to get it.
    """
    paths = []
    for file in files:
        path = find(file)
        if path is None:
            raise TraceError(
                f"trace {trace!r}: {file.name} is not on this machine; get it with `sageserve "
                f"trace download {trace}` (--file PATH if you have it), or set "
                f"{TRACE_DIR_VARIABLE} to a folder that holds it"
            )
        paths.append(path)
    return paths


def fetch(
    file: TraceFile,
    *,
    local: str | Path | None = None,
    target: str | Path | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Bring a file to the cache: from its address or from a copy on disk. Atomic and verified.

    Args:
        file: What to bring.
        local: A copy on this machine; None downloads.
        target: Folder; None takes the cache.
        progress: Called with bytes so far and in all (None if unknown).

    Raises:
        TraceError: If it cannot be had or its SHA-256 is wrong; then nothing is left behind.
    """
    path = (Path(target) if target else cache_dir()) / file.name
    if path.is_file() and file_sha256(path) == file.sha256:
        return path
    with atomic_path(path) as temporary:
        if local is not None:
            origin = str(local)
            try:
                shutil.copyfile(local, temporary)
            except OSError as error:
                raise TraceError(f"{local}: cannot be read: {error.strerror or error}") from error
        elif file.url is None:
            raise TraceError(f"{file.name} has no public address; give a copy with --file")
        else:
            origin = file.url
            _download(file.url, temporary, progress)
        if file_sha256(temporary) != file.sha256:
            raise TraceError(f"{origin}: SHA-256 differs from the published {file.name}")
    return path


def _download(url: str, path: Path, progress: Callable[[int, int | None], None] | None) -> None:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response, path.open("wb") as out:
            length = response.headers.get("Content-Length")
            total = int(length) if length and length.isdigit() else None
            done = 0
            while block := response.read(_BLOCK):
                out.write(block)
                done += len(block)
                if progress is not None:
                    progress(done, total)
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise TraceError(f"{url}: cannot be downloaded: {reason}") from error
