"""What results may depend on: the code that decides about them, and its libraries."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import sageserve_agents
import sageserve_env
import sageserve_traces
from sageserve_agents import calibrated
from sageserve_agents.learned import checkpoint
from sageserve_env.extras import versions_of

PACKAGES = ("sageserve-env", "numpy", "numba", "gymnasium", "pulp", "highspy", "pandas")


def versions() -> dict[str, str]:
    """Return the versions that results may depend on."""
    return {**versions_of(PACKAGES), "code": code_hash()}


@lru_cache(maxsize=1)
def code_hash() -> str:
    """Return 12 digits that name the code that decides about results.

    A row of older code is not taken for a finished one when a comparison resumes. Checkpoints and
    calibrated options count for the agents that use them only.
    """
    packages = (sageserve_env, sageserve_agents, sageserve_traces)
    roots = [Path(str(package.__file__)).parent for package in packages]
    files = [
        (root, path)
        for root in roots
        for path in root.rglob("*")
        if path.is_file() and not {checkpoint.SHIPPED, calibrated.FOLDER} & {*path.parents}
    ]
    own = Path(__file__).parents[1]
    names = ("runs/episode.py", "runs/workload.py", "rows.py")
    files += [(own, own / name) for name in names]
    sha = hashlib.sha256()
    for root, path in sorted(files):
        if path.suffix in {".py", ".yaml", ".csv", ".json", ".npz", ".zip"}:
            sha.update(f"{root.name}/{path.relative_to(root)}".encode())
            sha.update(path.read_bytes())
    return sha.hexdigest()[:12]
