"""The comparison that the tests of the benchmark look at."""

from tests.bench.conftest import compared, small

__all__ = ["compared", "small"]
