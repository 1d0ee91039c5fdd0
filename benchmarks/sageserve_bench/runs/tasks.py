"""One cell of a comparison: an agent on a trace with a seed, and the names it goes by."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from sageserve_agents import Agent, make_agent
from sageserve_agents.learned import checkpoint
from sageserve_agents.registry import (
    calibrated_options,
    is_calibrated,
    is_file,
    parse_spec,
    split_file,
)
from sageserve_bench.errors import UserError
from sageserve_bench.runs.agent_files import expand
from sageserve_bench.runs.versions import code_hash
from sageserve_bench.runs.workload import digest, resolve
from sageserve_env.scenario import Scenario
from sageserve_env.workload import TraceSpec, Workload
from sageserve_traces import TraceSource


@dataclass(frozen=True)
class Task:
    """An episode to run.

    Attributes:
        agent: Specification of an agent, or an agent.
        scenario: The cluster, before the agent's pooling.
        trace: The trace, before the seed.
        seed: Fixes the trace, its assignment and all randomness of the simulator.
    """

    agent: str | Agent
    scenario: Scenario
    trace: TraceSpec | TraceSource
    seed: int

    def workload(self) -> Workload:
        """Return the scenario and the trace of the seed."""
        return resolve(self.scenario, self.trace, self.seed)

    def make_agent(self) -> Agent:
        """Return a fresh agent."""
        if isinstance(self.agent, str):
            return make_agent(self.agent, scenario=self.scenario)
        return copy.deepcopy(self.agent)

    @property
    def agent_label(self) -> str:
        """Name of the agent in tables: its specification."""
        return agent_label(self.agent)

    def key(self, workload: Workload) -> str:
        """Return the name of the run's folder, which changes with everything that matters."""
        parts = [
            self.agent_label,
            _agent_content(self.agent, self.scenario),
            workload.scenario.config_hash,
            workload.trace.content_hash,
            self.seed,
            code_hash(),
        ]
        slug = re.sub(r"[^a-z0-9.]+", "-", self.agent_label.lower()).strip("-.")[:40]
        return f"{slug}-{self.seed}-{digest(parts)}"


def agent_label(agent: str | Agent) -> str:
    """Return the name of an agent in tables; of a file's path only the name is kept."""
    if not isinstance(agent, str):
        return agent.name
    name, options = parse_spec(agent)
    if is_file(name):
        file, cls = split_file(name)
        name = f"{PureWindowsPath(file).name}:{cls}"  # takes both kinds of slashes
    tail = ";".join(f"{key}={value}" for key, value in options.items())
    return f"{name}:{tail}" if tail else name


def content_of_files(agent: str | Agent, scenario: Scenario) -> str:
    """Return a hash of the user's files behind the names in an agent and a scenario.

    That is the file of an agent, router or discipline, and a checkpoint that is not shipped. Empty
    if there are none, so that nothing changes for names of the package.
    """
    files: list[Path] = []
    texts = list(_texts(scenario.to_dict()))
    if isinstance(agent, str):
        name, options = parse_spec(agent)
        texts = [name, *options.values(), *texts]
        folder = _checkpoint(agent, scenario)
        files = [] if folder is None or _is_shipped(folder) else _files_of(folder)
    for text in texts:
        file, colon, _ = text.rpartition(":")
        if colon and file.endswith(".py"):
            files.append(Path(file).expanduser())
    return _sha(list(dict.fromkeys(files))) if files else ""


def _agent_content(agent: str | Agent, scenario: Scenario) -> str:
    """Return what a label does not say.

    That is users' files, a checkpoint, calibrated options, the options of an object.
    """
    files = content_of_files(agent, scenario)
    if isinstance(agent, str):
        shipped = _shipped_options(agent, scenario)
        known = json.dumps(shipped, sort_keys=True) if shipped else ""
        folder = _checkpoint(agent, scenario)
        if folder is not None and _is_shipped(folder):
            known += _sha(_files_of(folder))
        return known + files
    try:
        return hashlib.sha256(pickle.dumps(agent)).hexdigest() + files
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise UserError(f"agent {agent.name!r} cannot be pickled: {error}") from None


def _shipped_options(agent: str, scenario: Scenario) -> Mapping[str, Any]:
    """Return the calibrated options that an agent takes in a scenario."""
    name, _ = parse_spec(agent)
    known = not is_file(name) and is_calibrated(agent, scenario)
    return calibrated_options(name, scenario) if known else {}


def _checkpoint(agent: str, scenario: Scenario) -> Path | None:
    """Return the folder of an agent's checkpoint; None where it has none."""
    name, options = parse_spec(agent)
    if is_file(name):
        return None
    named = {**_shipped_options(agent, scenario), **options}.get("checkpoint", name)
    try:
        return checkpoint.find(str(named))
    except ValueError:  # an agent without one
        return None


def _is_shipped(folder: Path) -> bool:
    return checkpoint.SHIPPED in folder.parents


def _files_of(folder: Path) -> list[Path]:
    return [folder / checkpoint.CARD, folder / checkpoint.WEIGHTS]


def _texts(value: object) -> Iterator[str]:
    """Iterate over the texts in plain values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(part)


def _sha(files: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(f.read_bytes() for f in files if f.is_file())).hexdigest()


def split_agents(text: str) -> list[str]:
    """Split ``static,ilp:forecaster=arima;router=threshold`` into specifications.

    A piece ``@FILE`` stands for the agents that `sageserve calibrate` or `tune` wrote there.

    Raises:
        UserError: If a piece is empty or looks like an option of the piece before it.
    """
    pieces = [piece.strip() for piece in text.split(",")]
    for piece in pieces:
        if not piece:
            raise UserError(f"--agents {text!r}: an agent has no name; write static,reactive,ilp")
        if "=" in re.split(r"[:\\/]", piece, maxsplit=1)[0]:
            raise UserError(
                f"--agents: {piece!r} is no agent; options of one agent are separated by ';', "
                "as in ilp:forecaster=seasonal;router=threshold"
            )
    return expand(pieces)


def check_agents(agents: Sequence[str | Agent], scenario: Scenario | str | None = None) -> None:
    """Make every agent once, so that a mistake shows before anything runs.

    Args:
        agents: Agents or specifications.
        scenario: Where they will act.

    Raises:
        ValueError: On an unknown agent or option, a repeated agent, or no agent at all.
    """
    if not agents:
        raise UserError("no agent given; use static,reactive,ilp for a start")
    labels = [agent_label(agent) for agent in agents]
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise UserError(f"agent {repeated[0]!r} is named twice")
    for agent in agents:
        if isinstance(agent, str):
            make_agent(agent, scenario=scenario)
