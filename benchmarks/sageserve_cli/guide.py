"""Every command: its line in `sageserve --help`, when to use it, and an example."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A command.

    Attributes:
        when: When to use it, and ...
        example: ... an example: the last lines of its help.
        line: What it does, in the list of commands; none for one of a group.
    """

    when: str
    example: str
    line: str = ""


GUIDE: dict[str, Entry] = {
    "list": Entry(
        "you look for a name",
        "sageserve list agents",
        "List environments, agents, traces and scenarios.",
    ),
    "run": Entry(
        "you want to watch one agent, or need a row per request",
        "sageserve run reactive --scenario tiny --records requests.parquet",
        "Run one agent on one trace, with live progress.",
    ),
    "compare": Entry(
        "you want to know which policy is cheapest at your targets, and by how much",
        "sageserve compare --agents reactive,hpa,ilp --scenario tiny --seeds 3",
        "Compare agents on identical traces and seeds.",
    ),
    "evaluate": Entry(
        "a person or a program writes policies and needs one number for each",
        "sageserve evaluate my_policy.py --scenario small-day --seeds 2 --json score.json",
        "Score one policy file against the calibrated planner.",
    ),
    "plan-capacity": Entry(
        "you have a request log and want to know how many GPUs it needs",
        "sageserve plan-capacity my.csv --gpu h100 --current 40",
        "Say how many GPUs your own traffic needs.",
    ),
    "plan": Entry(
        "you want to see what the planner decides for one hour, and why",
        "sageserve plan --scenario tiny",
        "Make one ILP plan for a forecast and explain it.",
    ),
    "calibrate": Entry(
        "agents must serve equally well before their costs are compared",
        "sageserve calibrate --agents reactive,ilp --scenario tiny --seeds 2",
        "Set agents to equal service, each at its lowest cost.",
    ),
    "headroom": Entry(
        "you wrote a scenario and want to know what it leaves to decide",
        "sageserve headroom tiny --seed-list 2000,2001 --evaluations 50",
        "Say how much a scenario leaves to gain, and of what kind.",
    ),
    "tune": Entry(
        "an agent's options should fit a scenario",
        "sageserve tune --agent reactive --scenario tiny --budget 40",
        "Tune an agent's options on the validation split.",
    ),
    "train": Entry(
        "you want a learned agent from the package's own trainers",
        "sageserve train --agent ppo --scenario tiny --output results/ppo",
        "Train a learned agent.",
    ),
    "report": Entry(
        "the report of a comparison is to be made anew",
        "sageserve report results/compare",
        "Write the report of a finished comparison.",
    ),
    "benchmark": Entry(
        "you want to check published rows, or make yours beside them",
        "sageserve benchmark tiny --agent my_agent.py:MyAgent",
        "Run the published comparisons again and check them.",
    ),
    "trace": Entry(
        "you have or need a trace",
        "sageserve trace info my.csv",
        "Inspect, make, convert, download or plot request traces.",
    ),
    "trace info": Entry(
        "you want to know what was read from a file",
        "sageserve trace info my.csv",
    ),
    "trace make": Entry(
        "another program needs a generated trace",
        "sageserve trace make o365 --length 1d --seed 2000 -o day.parquet",
    ),
    "trace convert": Entry(
        "a file should have the native columns",
        "sageserve trace convert my.csv -o native.parquet",
    ),
    "trace download": Entry(
        "a named trace of real traffic is not there yet",
        "sageserve trace download azure-2023-conv",
    ),
    "trace plot": Entry(
        "you want to see its rates",
        "sageserve trace plot my.csv -o rates.png",
    ),
    "catalogue": Entry(
        "you ask what runs on what",
        "sageserve catalogue list",
        "List models and GPUs; fit or estimate a latency profile.",
    ),
    "catalogue list": Entry(
        "you ask what is measured and what estimated",
        "sageserve catalogue list",
    ),
    "catalogue fit": Entry(
        "you have measured your own engine",
        "sageserve catalogue fit own.csv --vm h100x2 --like llama-3.1-70b --name our-70b",
    ),
    "catalogue estimate": Entry(
        "nobody has measured your model",
        "sageserve catalogue estimate --vm b200x1 --like qwen3-32b --name guess",
    ),
    "forecast": Entry(
        "you want to know how well demand can be foreseen",
        "sageserve forecast --scenario tiny",
        "Score forecasters by rolling origin.",
    ),
    "speed": Entry(
        "you changed the engine, or doubt its speed",
        "sageserve speed --quick",
        "Measure the speed and memory of simulator, environment and planner.",
    ),
    "fidelity": Entry(
        "you ask how far the simulator can be trusted",
        "sageserve fidelity latency",
        "Check the simulator against published measurements.",
    ),
    "fidelity latency": Entry(
        "you doubt a latency profile",
        "sageserve fidelity latency",
    ),
    "fidelity events": Entry(
        "you have a run of the authors' simulator",
        "sageserve fidelity events --reference results.csv",
    ),
    "fidelity queueing": Entry(
        "you doubt the queues",
        "sageserve fidelity queueing",
    ),
    "fidelity hardware": Entry(
        "you have closed-loop measurements of engines",
        "sageserve fidelity hardware --rows rows.csv",
    ),
    "fidelity requests": Entry(
        "you have an engine's log of single requests",
        "sageserve fidelity requests logs/",
    ),
    "fidelity prefix": Entry(
        "you have prompts with block ids and ask for hit rates",
        "sageserve fidelity prefix --trace trace.jsonl --workers 8",
    ),
    "fidelity llm-d": Entry(
        "you have runs of several replicas behind a router",
        "sageserve fidelity llm-d runs.csv",
    ),
}
"""By the words of the command, in the order of `sageserve --help`."""


def lines_of(words: str) -> str:
    """Return the last lines of a command's help; empty for one that is not in the guide."""
    if words not in GUIDE:
        return ""
    return f"Use it when {GUIDE[words].when}.\n\nExample: {GUIDE[words].example}"
