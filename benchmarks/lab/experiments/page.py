"""The tables of a published experiment, as they stand in a page of the docs."""

from __future__ import annotations

from lab.experiments.outcomes import Outcomes
from lab.experiments.tables import claims, gaps, table


def tables(outcomes: Outcomes) -> str:
    """Return the tables of an experiment, with a heading each if there are several scenarios."""
    parts = []
    for name, results in outcomes.by_scenario.items():
        if len(outcomes.by_scenario) > 1:
            parts.append(f"**{name}**")
        parts.append(table(results, outcomes.horizon_s[name]))
        if outcomes.experiment.claims:
            parts.append(claims(outcomes, results))
        if outcomes.bounds:
            parts.append(gaps(outcomes, name))
    return "\n\n".join(parts)
