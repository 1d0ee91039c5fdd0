"""Azure LLM inference traces 2023 and 2024: github.com/Azure/AzurePublicDataset (CC-BY 4.0).

The 2024 files have the same columns; their timestamps carry a time zone offset.
"""

from __future__ import annotations

from .columns import Checker
from .schema import Names, Parsed, Schema
from .times import read_times


def parse(checker: Checker, names: Names) -> Parsed:
    """Read ``TIMESTAMP,ContextTokens,GeneratedTokens``."""
    prompt = checker.tokens("ContextTokens", 1)
    output = checker.tokens("GeneratedTokens", 0)
    arrival, first = read_times(checker, "TIMESTAMP")
    return Parsed(arrival, prompt, output, first=first)


SCHEMA = Schema("azure", {"TIMESTAMP": True, "ContextTokens": True, "GeneratedTokens": True}, parse)
