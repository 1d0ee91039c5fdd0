"""Mooncake traces, JSON lines: github.com/kvcache-ai/Mooncake (Apache-2.0)."""

from __future__ import annotations

from .columns import Checker
from .schema import Names, Parsed, Schema
from .times import read_times


def parse(checker: Checker, names: Names) -> Parsed:
    """Read ``timestamp`` (milliseconds), ``input_length``, ``output_length`` and ``hash_ids``.

    Files of this form in seconds are told by their fractions or their length.
    """
    prompt = checker.tokens("input_length", 1)
    output = checker.tokens("output_length", 0)
    arrival, first = read_times(checker, "timestamp", "ms")
    return Parsed(arrival, prompt, output, first=first, blocks=checker.blocks("hash_ids"))


SCHEMA = Schema(
    "mooncake",
    {"timestamp": True, "input_length": True, "output_length": True, "hash_ids": False},
    parse,
)
