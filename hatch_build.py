"""Put compiled kernels into the wheel where the build environment can make them.

That takes the package's own dependencies in the build environment (``--no-build-isolation``, or
``python -m build --no-isolation``). Without them the wheel has none, and the first run compiles.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_FOLDERS = ("", "agents", "traces", "benchmarks")
_COMMON = "traces/sageserve_traces/_common_code/*"


class CompiledKernels(BuildHookInterface[Any]):
    """The hook that hatchling calls before it packs a wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and name the files that are to be packed though Git ignores them."""
        if version == "editable":
            return
        path = os.pathsep.join(os.path.join(self.root, folder) for folder in _FOLDERS)
        done = subprocess.run(
            [sys.executable, "-m", "sageserve_env.precompile"],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        said = (done.stdout or done.stderr).strip().splitlines()[-1:] or ["nothing"]
        self.app.display_info(f"compiled kernels: {said[0]}")
        build_data["artifacts"].append(_COMMON)
