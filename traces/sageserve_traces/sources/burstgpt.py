"""BurstGPT traces: github.com/HPMLL/BurstGPT (CC-BY 4.0).

Its model column names OpenAI models, which say nothing about the models served here: they are
assigned. Failed requests have 0 response tokens, which are read as 1.
"""

from __future__ import annotations

from .columns import Checker
from .schema import Names, Parsed, Schema
from .times import read_times


def parse(checker: Checker, names: Names) -> Parsed:
    """Read ``Timestamp`` (seconds), ``Request tokens`` and ``Response tokens``."""
    prompt = checker.tokens("Request tokens", 1)
    output = checker.tokens("Response tokens", 0)
    arrival, first = read_times(checker, "Timestamp", "s")
    return Parsed(arrival, prompt, output, first=first)


SCHEMA = Schema(
    "burstgpt",
    {
        "Timestamp": True,
        "Model": True,
        "Request tokens": True,
        "Response tokens": True,
        "Total tokens": False,
        "Log Type": False,
    },
    parse,
)
