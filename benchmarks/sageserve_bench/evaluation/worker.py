"""The process that holds the policy: it loads one file and answers what it is asked.

What comes in is pickled by us; what goes out is JSON, so that nothing the policy writes is ever
executed by the process that keeps the score.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import random
import sys
import traceback
from importlib.abc import MetaPathFinder
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

CLOSED = (
    "sageserve_bench",
    "sageserve_capacity",
    "sageserve_cli",
    "sageserve_env.env",
    "sageserve_env.pettingzoo_env",
    "sageserve_env.simulator",
    "sageserve_env.vector_env",
    "sageserve_env.workload",
    "sageserve_search",
    "sageserve_validation",
)
"""Modules that could play the episode ahead; a policy may not import them."""

MAKERS = frozenset(("make_trace", "read_trace", "SyntheticTrace"))
"""What makes the traffic of an episode; a policy may not call it."""

PREFERRED = "Policy"
RANDOM_SEED = 0


class Closed(MetaPathFinder):
    """Refuses the import of what could play the episode ahead."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> None:
        """Refuse a closed module; leave every other one to the finders after this.

        Raises:
            ImportError: If the module is closed.
        """
        if any(name == closed or name.startswith(f"{closed}.") for closed in CLOSED):
            raise ImportError(f"a policy may not import {name}")


def serve(connection: Connection, file: str, seed: int) -> None:
    """Load the policy and answer until the other side closes.

    Args:
        connection: Gives ``("reset", scenario, history)`` and ``("act", view)``, takes JSON.
        file: Path of the policy, with ``:Class`` behind it where it holds several.
        seed: The policy's own randomness.
    """
    silence()
    sys.argv = [file]  # that of the process which keeps the score names the seeds
    random.seed(RANDOM_SEED)  # a policy may use the global generators
    np.random.set_state(np.random.RandomState(RANDOM_SEED).get_state())  # noqa: NPY002
    policy: Any = None
    path = file.rpartition(":")[0] if ".py:" in file else file
    try:
        close_future()
        made = find_class(file)
        policy = made()
        if getattr(policy, "clairvoyant", False):
            raise ValueError("a policy may not be clairvoyant")
        answer(connection, pooling=str(getattr(policy, "pooling", "unified")))
        while True:
            question, *given = connection.recv()
            if question == "reset":
                policy = made()
                if hasattr(policy, "reset"):
                    policy.reset(given[0], seed, given[1])
                answer(connection)
            else:
                answer(connection, action=plain(policy.act(given[0])))
    except EOFError:
        return
    except BaseException as error:  # SystemExit and its like are the policy's failure too
        answer(connection, error=described(error, path))


def silence() -> None:
    """Send what the policy prints nowhere: standard output belongs to the score."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def close_future() -> None:
    """Shut the ways to the traffic of the episode that Python code would take.

    It keeps honest policies honest; it is no sandbox for hostile code.
    """
    import sageserve_env.actions  # noqa: F401  (brings what an honest policy needs)
    import sageserve_traces  # noqa: F401

    def refused(*_: object, **__: object) -> None:
        raise PermissionError("a policy may not make traces")

    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "sageserve_traces":
            for maker in MAKERS.intersection(vars(module)):
                setattr(module, maker, refused)
    sys.meta_path.insert(0, Closed())


def find_class(file: str) -> type[Any]:
    """Return the class of a policy file: the one named, `Policy`, or the only one that can act.

    Raises:
        ValueError: If there is none, or which one is meant is not clear.
    """
    from sageserve_env.user_files import load_user_file

    path, _, wanted = file.rpartition(":") if ".py:" in file else (file, "", "")
    module = load_user_file(path, "the policy")
    found = {
        name: value
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and hasattr(value, "act")
    }
    if wanted:
        if wanted not in found:
            raise ValueError(f"no class {wanted!r} with a method act(view)")
        return found[wanted]
    if PREFERRED in found:
        return found[PREFERRED]
    if len(found) != 1:
        names = ", ".join(found) or "none"
        raise ValueError(f"expected one class with a method act(view), found {names}")
    return next(iter(found.values()))


def plain(action: object) -> dict[str, Any]:
    """Return a decision as plain values.

    Raises:
        TypeError: If it is not a `ClusterAction`.
    """
    from sageserve_env.actions import ClusterAction

    if not isinstance(action, ClusterAction):
        raise TypeError(f"act returned {type(action).__name__}, expected a ClusterAction")
    values = ((one.name, getattr(action, one.name)) for one in dataclasses.fields(action))
    return {
        name: value if isinstance(value, str) else np.asarray(value).tolist()
        for name, value in values
        if value is not None
    }


def answer(connection: Connection, **values: Any) -> None:
    """Send plain values as JSON."""
    connection.send_bytes(json.dumps(values).encode())


def described(error: BaseException, path: str) -> str:
    """Return an error in one line, with the line of the policy where it arose."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if type(error) is ValueError:
        text = str(error)
    name = Path(path).name
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == _of(path)]
    return " ".join(text.split()) + (f" ({name}, line {lines[-1]})" if lines else "")


def _of(path: str) -> str:
    return str(Path(path).expanduser().resolve())
