"""The comparison that the tests of the benchmark look at."""

from tests.bench.conftest import compared

__all__ = ["compared"]
