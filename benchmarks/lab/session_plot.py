"""A picture of generated agent sessions beside the published parameters they are drawn from.

The parameters are those of the manifest of a published data set of coding-agent sessions
(docs/sources.md, "Prefixes and sessions"). What is drawn is measured on the turns of a generated
trace, so that errors of the generator show.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sageserve_traces.plotting import save
from sageserve_traces.session_law import AGENT
from sageserve_traces.sessions import make_sessions

Floats = NDArray[np.float64]
Law = Callable[[Floats], Floats]

PICTURE = Path("docs/images/sessions_vs_published.png")
SEED, LENGTH_S = 1, 6 * 3600.0


def _lognormal(given: Mapping[str, Any], unit: float = 1.0) -> Law:
    """Return the distribution function of published parameters, cut at their largest value."""
    most = math.inf if given.get("max") is None else float(given["max"])
    erf = np.vectorize(math.erf)

    def below(x: Floats) -> Floats:
        z = (np.log(x / unit) - given["mu"]) / (given["sigma"] * math.sqrt(2.0))
        share: Floats = np.where(x / unit >= most, 1.0, 0.5 * (1.0 + erf(z)))
        return share

    return below


def measured() -> dict[str, Floats]:
    """Return what the turns of agents in generated hours show."""
    trace = make_sessions(SEED, LENGTH_S, history_days=0.0, kinds=(AGENT,))
    assert trace.session is not None and trace.think_s is not None
    order = np.lexsort((trace.arrival_s, trace.session))
    session, prompt = trace.session[order], trace.prompt_tokens[order].astype(np.float64)
    output, think_s = trace.output_tokens[order].astype(np.float64), trace.think_s[order]
    follows = session[1:] == session[:-1]
    grown = (prompt[1:] - prompt[:-1] - output[:-1])[follows]
    _, turns = np.unique(session, return_counts=True)
    return {
        "new tokens of a turn": grown[grown > 0],  # a restart begins anew
        "tokens of an answer": output,
        "seconds between answer and next turn": think_s[1:][follows],
        "turns of a session": turns.astype(np.float64),
    }


def published(manifest: Path) -> dict[str, Law]:
    """Return the distribution functions that the manifest says."""
    given = json.loads(manifest.read_text("utf-8"))["generation_params"]
    delay = given["inter_turn_delay"]
    tool = _lognormal(delay["agentic_delay"], 1e-3)  # milliseconds
    human = _lognormal(delay["human_delay"], 1e-3)
    share = float(delay["agentic_fraction"])
    return {
        "new tokens of a turn": _lognormal(given["new_tokens_per_turn"]),
        "tokens of an answer": _lognormal(given["generation_length"]),
        "seconds between answer and next turn": lambda x: share * tool(x) + (1 - share) * human(x),
    }


def largest_gaps(manifest: Path) -> dict[str, float]:
    """Return the largest distance between generated and published distribution functions."""
    laws = published(manifest)
    gaps = {}
    for name, values in measured().items():
        if name in laws:
            x = np.sort(values)
            ranks = np.arange(1, len(x) + 1) / len(x)
            gaps[name] = float(np.abs(ranks - laws[name](x)).max())
    return gaps


def picture(manifest: Path, output: Path = PICTURE) -> None:
    """Draw generated against published distribution functions."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    laws = published(manifest)
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    for axis, (name, values) in zip(figure.subplots(2, 2).flat, measured().items(), strict=True):
        x = np.quantile(values, np.linspace(0.002, 0.998, 200))
        ranks = np.searchsorted(np.sort(values), x, side="right") / len(values)
        axis.plot(x, ranks, ".", markersize=3, label="generated")
        if name in laws:
            axis.plot(x, laws[name](x), linewidth=1, label="published")
        axis.set_xscale("log")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xlabel(name)
        axis.set_ylabel("share below")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    save(figure, output)
