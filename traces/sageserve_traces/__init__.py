"""Request traces for `sageserve_env`: schema, loaders, synthetic generator, transforms."""

from .catalogue import make_trace
from .demand import DemandSeries
from .errors import TraceError
from .names import MODELS, REGIONS, TIERS, split_of_seed
from .source import TraceSource
from .synthetic import O365Trace
from .token_mix import TokenMix
from .trace import RequestTrace

__all__ = [
    "MODELS",
    "REGIONS",
    "TIERS",
    "DemandSeries",
    "O365Trace",
    "RequestTrace",
    "TokenMix",
    "TraceError",
    "TraceSource",
    "make_trace",
    "split_of_seed",
]
