"""Agents by name: built in, from entry points, or from a user's own file.

A specification is a name with options that ride on it: ``ilp:forecaster=arima;router=threshold``.
A user's own agent is named by its file and class, ``my_agent.py:MyAgent``, and takes options the
same way: ``my_agent.py:MyAgent:margin=0.8``.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from sageserve_agents.base import Agent
from sageserve_agents.calibrated import calibrated
from sageserve_agents.options import build_options
from sageserve_agents.parameters import nearest
from sageserve_env.scenario import Scenario
from sageserve_env.user_files import load_user_file

_DRIVE = re.compile(r"[A-Za-z]:[\\/]")

ENTRY_POINT_GROUP = "sageserve.agents"

_HEURISTICS = "sageserve_agents.heuristics"
_PLANNER = "sageserve_agents.planner"
_LEARNED = "sageserve_agents.learned"
BUILT_IN: dict[str, str] = {
    "static": f"{_HEURISTICS}.static:Static",
    "siloed": f"{_HEURISTICS}.siloed:Siloed",
    "reactive": f"{_HEURISTICS}.reactive:Reactive",
    "chiron": f"{_HEURISTICS}.chiron:Chiron",
    "reactive-lw": f"{_HEURISTICS}.reactive:ReactiveLw",
    "pooled": f"{_HEURISTICS}.pooled:Pooled",
    "hpa": f"{_HEURISTICS}.hpa:Hpa",
    "kpa": f"{_HEURISTICS}.kpa:Kpa",
    "ray-serve": f"{_HEURISTICS}.ray_serve:RayServe",
    "skyserve": f"{_HEURISTICS}.skyserve:SkyServe",
    "lt-i": f"{_PLANNER}.lt:LtI",
    "lt-u": f"{_PLANNER}.lt:LtU",
    "lt-ua": f"{_PLANNER}.lt:LtUa",
    "staffing": f"{_PLANNER}.staffing:Staffing",
    "ilp": f"{_PLANNER}.ilp:Ilp",
    "mpc": f"{_PLANNER}.mpc:Mpc",
    "oracle": f"{_PLANNER}.mpc:Oracle",
    "ppo": f"{_LEARNED}.network:Ppo",
    "maskable-ppo": f"{_LEARNED}.network:MaskablePpo",
    "sac": f"{_LEARNED}.network:Sac",
    "tqc": f"{_LEARNED}.network:Tqc",
    "residual-es": f"{_LEARNED}.residual:ResidualEs",
}
"""Name to ``module:Class`` of the agents that come with the package."""


def list_agents() -> list[str]:
    """Return the names of all agents, built in and from entry points of installed packages."""
    return sorted({*BUILT_IN, *(e.name for e in entry_points(group=ENTRY_POINT_GROUP))})


def agent_class(name: str) -> type[Any]:
    """Return the class of an agent from its name or ``file.py:Class``.

    Raises:
        ValueError: If there is no such agent, file or class; one line with the nearest valid name.
    """
    if is_file(name):
        return _class_from_file(name)
    if name in BUILT_IN:
        return _load(BUILT_IN[name], name)
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name == name:
            return _checked(entry.load(), name)
    raise nearest(name, list_agents(), "agent")


def make_agent(name: str, *, scenario: Scenario | str | None = None, **options: Any) -> Agent:
    """Make an agent from a name or a specification.

    Args:
        name: ``ilp``, ``ilp:forecaster=arima;router=threshold`` or ``my_agent.py:MyAgent``.
        scenario: Where it will act: a scenario or the name of one. Options that were calibrated to
            its targets and ship with the package are the defaults then, unless the specification
            says ``calibrated=no``. None: no calibrated options.
        **options: More options; they win over those in the specification, and those over
            calibrated ones.

    Raises:
        ValueError: On an unknown agent or option or an unusable value.
    """
    base, in_name = parse_spec(name)
    values = {**in_name, **options}
    wanted = _wanted(values.pop("calibrated", True), base)
    cls = agent_class(base)
    shipped = calibrated_options(base, scenario) if wanted else {}
    options_type = getattr(cls, "options_type", None)
    if isinstance(options_type, type) and dataclasses.is_dataclass(options_type):
        made = cls(build_options(options_type, values, base, shipped))
    else:
        made = _call(cls, values, base)
    if not isinstance(made, Agent):
        missing = [
            a for a in ("name", "pooling", "clairvoyant", "reset", "act") if not hasattr(made, a)
        ]
        raise ValueError(f"agent {base!r} is no agent: it lacks {', '.join(missing)}")
    return made


def calibrated_options(name: str, scenario: Scenario | str | None) -> Mapping[str, Any]:
    """Return the options of an agent that ship for a scenario; empty where there are none."""
    if scenario is None or name not in BUILT_IN:
        return {}
    return calibrated(scenario if isinstance(scenario, str) else scenario.name).get(name, {})


def is_calibrated(spec: str, scenario: Scenario | str | None) -> bool:
    """Return whether `make_agent` takes shipped options for a specification on a scenario."""
    base, values = parse_spec(spec)
    return _wanted(values.get("calibrated", True), base) and bool(
        calibrated_options(base, scenario)
    )


def _wanted(value: Any, name: str) -> bool:
    text = str(value).lower()
    if text not in {"yes", "no", "true", "false"}:
        raise ValueError(f"agent {name!r}: calibrated: expected yes or no, got {value!r}")
    return text in {"yes", "true"}


def parse_spec(spec: str) -> tuple[str, dict[str, str]]:
    """Split ``name:key=value;key=value`` into the name and its options.

    Raises:
        ValueError: If an option is not of the form ``key=value``.
    """
    name, tail = split_file(spec.strip())
    if name.endswith(".py") and tail:
        cls, _, tail = tail.partition(":")
        name = f"{name}:{cls}"
    options: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in tail.split(";"))):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"agent {name!r}: expected option=value, got {part!r}")
        options[key.strip()] = value.strip()
    return name, options


def is_file(name: str) -> bool:
    """Return whether a name stands for a class in a user's file."""
    return split_file(name)[0].endswith(".py")


def split_file(text: str) -> tuple[str, str]:
    """Split a file and its class, or a name and its options, at the first colon.

    The colon of a drive of Windows, as before ``/agents/my_agent.py:MyAgent``, is none.
    """
    drive = text[:2] if _DRIVE.match(text) else ""
    head, _, rest = text[len(drive) :].partition(":")
    return drive + head, rest


def _load(target: str, name: str) -> type[Any]:
    module, _, attribute = target.partition(":")
    return _checked(getattr(importlib.import_module(module), attribute), name)


def _checked(value: object, name: str) -> type[Any]:
    if not inspect.isclass(value):
        raise ValueError(f"agent {name!r} is not a class but {value!r}")
    return value


def _class_from_file(name: str) -> type[Any]:
    file, attribute = split_file(name)
    if not attribute:
        raise ValueError(f"agent {name!r}: name the class as {file}:ClassName")
    module = load_user_file(file, f"agent {name!r}")
    classes = {k: v for k, v in vars(module).items() if inspect.isclass(v)}
    if attribute not in classes:
        own = [k for k, v in classes.items() if v.__module__ == module.__name__]
        raise nearest(attribute, own, f"class in {file!r}:")
    return classes[attribute]


def _call(cls: type[Any], values: dict[str, Any], name: str) -> object:
    """Make a user's agent, whose options are the keywords of its constructor."""
    try:
        inspect.signature(cls).bind(**values)
    except TypeError as error:
        valid = [p for p in inspect.signature(cls).parameters if p not in {"args", "kwargs"}]
        unknown = [k for k in values if k not in valid]
        if unknown:
            raise nearest(unknown[0], valid, f"option of agent {name!r}:") from None
        raise ValueError(f"agent {name!r}: {error}") from None
    return cls(**{k: _number(v) for k, v in values.items()})


def _number(value: Any) -> Any:
    """Return a number where text is one: a user's constructor has no declared types."""
    if not isinstance(value, str):
        return value
    for convert in (int, float):
        try:
            return convert(value)
        except ValueError:
            continue
    return value
