"""When to use which command, with an example of each: the last lines of its help."""

from __future__ import annotations

GUIDE: dict[str, tuple[str, str]] = {
    "list": ("you look for a name", "sageserve list agents"),
    "run": (
        "you want to watch one agent, or need a row per request",
        "sageserve run reactive --scenario tiny --records requests.parquet",
    ),
    "compare": (
        "you want to know which policy is cheapest at your targets, and by how much",
        "sageserve compare --agents reactive,hpa,ilp --scenario tiny --seeds 3",
    ),
    "evaluate": (
        "a person or a program writes policies and needs one number for each",
        "sageserve evaluate my_policy.py --scenario small-day --seeds 2 --json score.json",
    ),
    "plan-capacity": (
        "you have a request log and want to know how many GPUs it needs",
        "sageserve plan-capacity my.csv --gpu h100 --current 40",
    ),
    "plan": (
        "you want to see what the planner decides for one hour, and why",
        "sageserve plan --scenario tiny",
    ),
    "calibrate": (
        "agents must serve equally well before their costs are compared",
        "sageserve calibrate --agents reactive,ilp --scenario tiny --seeds 2",
    ),
    "headroom": (
        "you wrote a scenario and want to know what it leaves to decide",
        "sageserve headroom tiny --seed-list 2000,2001 --evaluations 50",
    ),
    "tune": (
        "an agent's options should fit a scenario",
        "sageserve tune --agent reactive --scenario tiny --budget 40",
    ),
    "train": (
        "you want a learned agent from the package's own trainers",
        "sageserve train --agent ppo --scenario tiny --output results/ppo",
    ),
    "report": ("the report of a comparison is to be made anew", "sageserve report results/compare"),
    "benchmark": (
        "you want to check published rows, or make yours beside them",
        "sageserve benchmark tiny --agent my_agent.py:MyAgent",
    ),
    "trace": ("you have or need a trace", "sageserve trace info my.csv"),
    "trace info": ("you want to know what was read from a file", "sageserve trace info my.csv"),
    "trace make": (
        "another program needs a generated trace",
        "sageserve trace make o365 --length 1d --seed 2000 -o day.parquet",
    ),
    "trace convert": (
        "a file should have the native columns",
        "sageserve trace convert my.csv -o native.parquet",
    ),
    "trace download": (
        "a named trace of real traffic is not there yet",
        "sageserve trace download azure-2023-conv",
    ),
    "trace plot": ("you want to see its rates", "sageserve trace plot my.csv -o rates.png"),
    "catalogue": ("you ask what runs on what", "sageserve catalogue list"),
    "catalogue list": ("you ask what is measured and what estimated", "sageserve catalogue list"),
    "catalogue fit": (
        "you have measured your own engine",
        "sageserve catalogue fit own.csv --vm h100x2 --like llama-3.1-70b --name our-70b",
    ),
    "catalogue estimate": (
        "nobody has measured your model",
        "sageserve catalogue estimate --vm b200x1 --like qwen3-32b --name guess",
    ),
    "forecast": (
        "you want to know how well demand can be foreseen",
        "sageserve forecast --scenario tiny",
    ),
    "speed": ("you changed the engine, or doubt its speed", "sageserve speed --quick"),
    "fidelity": ("you ask how far the simulator can be trusted", "sageserve fidelity latency"),
    "fidelity latency": ("you doubt a latency profile", "sageserve fidelity latency"),
    "fidelity events": (
        "you have a run of the authors' simulator",
        "sageserve fidelity events --reference results.csv",
    ),
    "fidelity queueing": ("you doubt the queues", "sageserve fidelity queueing"),
    "fidelity hardware": (
        "you have closed-loop measurements of engines",
        "sageserve fidelity hardware --rows rows.csv",
    ),
    "fidelity requests": (
        "you have an engine's log of single requests",
        "sageserve fidelity requests logs/",
    ),
    "fidelity prefix": (
        "you have prompts with block ids and ask for hit rates",
        "sageserve fidelity prefix --trace trace.jsonl --workers 8",
    ),
    "fidelity llm-d": (
        "you have runs of several replicas behind a router",
        "sageserve fidelity llm-d runs.csv",
    ),
}
"""By the words of the command: when to use it, and an example."""


def lines_of(words: str) -> str:
    """Return the last lines of a command's help; empty for one that is not in the guide."""
    if words not in GUIDE:
        return ""
    when, example = GUIDE[words]
    return f"Use it when {when}.\n\nExample: {example}"
