"""A policy in a process of its own, with a limit on its time."""

from __future__ import annotations

import json
import multiprocessing
import time
from types import TracebackType
from typing import Any, Self

import numpy as np

from sageserve_agents.playing import own_seed
from sageserve_bench.evaluation import worker
from sageserve_env.actions import ClusterAction
from sageserve_env.scenario import Scenario
from sageserve_env.view import ClusterView
from sageserve_traces import DemandSeries

NAME = "policy"


class PolicyError(Exception):
    """The policy failed: it raised, ended, answered nonsense or took too long."""


class RemotePolicy:
    """An agent whose decisions are made in another process.

    Args:
        file: The policy.
        limit_s: Seconds that it may take for everything it is asked, loading included.
    """

    name = NAME
    clairvoyant = False

    def __init__(self, file: str, limit_s: float) -> None:
        self._limit_s = self._left_s = limit_s
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = (theirs, file, own_seed(NAME))
        self._process = context.Process(target=worker.serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        try:
            self.pooling = str(self._answer().get("pooling"))
        except PolicyError:
            self.close()
            raise

    def reset(self, scenario: Scenario, seed: int, history: DemandSeries) -> None:
        """Start an episode; the seed is the policy's own, which the worker knows."""
        self._ask("reset", scenario, history)

    def act(self, view: ClusterView) -> ClusterAction:
        """Return the policy's decision."""
        values = self._ask("act", view).get("action", {})
        arrays: dict[str, Any] = {
            name: value if isinstance(value, str) else np.array(value)
            for name, value in values.items()
        }
        return ClusterAction(**arrays)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def __enter__(self) -> Self:
        """Return the policy itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        """End the process."""
        self.close()

    def _ask(self, *question: object) -> dict[str, Any]:
        try:
            self._pipe.send(question)
        except OSError:
            raise PolicyError(self._ended()) from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        asked = time.monotonic()
        try:
            if not self._pipe.poll(max(0.0, self._left_s)):
                raise PolicyError(f"timeout: the policy took more than {self._limit_s:g} s")
            values = json.loads(self._pipe.recv_bytes())
        except (EOFError, OSError):
            raise PolicyError(self._ended()) from None
        self._left_s -= time.monotonic() - asked
        if not isinstance(values, dict):
            raise PolicyError("the policy's process gave no answer that can be read")
        if "error" in values:
            raise PolicyError(str(values["error"]))
        return values

    def _ended(self) -> str:
        self._process.join(1.0)
        return f"the policy's process ended with code {self._process.exitcode}"
