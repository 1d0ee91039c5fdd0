"""Request traces for `sageserve_env`: schema, loaders, synthetic generator, transforms.

`make_trace` gives a `TraceSource` by name, path or object; `RequestTrace` holds requests in memory;
`SyntheticTrace` generates a workload while it is read; `sageserve_traces.transforms` changes
traces; `list_traces` and `download` deal with the published ones.
"""

from .assignment import assign
from .catalogue import download, make_trace, read_trace
from .demand import DemandSeries
from .durations import parse_duration
from .errors import TraceError
from .named import NamedTrace, is_generated, list_traces
from .names import MODELS, REGIONS, TIERS, split_of_seed
from .rate_curve import RateCurveTrace, reshape_to_rate_curve
from .reading import ReadOptions
from .source import TraceSource
from .sources import LoadReport, load_rows, load_trace
from .streams import BurstSource, repeat_first_minutes
from .synthetic import TRAFFIC, SyntheticTrace
from .token_mix import TokenMix
from .trace import RequestTrace

__all__ = [
    "MODELS",
    "REGIONS",
    "TIERS",
    "TRAFFIC",
    "BurstSource",
    "DemandSeries",
    "LoadReport",
    "NamedTrace",
    "RateCurveTrace",
    "ReadOptions",
    "RequestTrace",
    "SyntheticTrace",
    "TokenMix",
    "TraceError",
    "TraceSource",
    "assign",
    "download",
    "is_generated",
    "list_traces",
    "load_rows",
    "load_trace",
    "make_trace",
    "parse_duration",
    "read_trace",
    "repeat_first_minutes",
    "reshape_to_rate_curve",
    "split_of_seed",
]
