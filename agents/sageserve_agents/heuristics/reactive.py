"""`reactive` and `reactive-lw`: the paper's unified pool scaled by utilisation thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sageserve_agents.heuristics.signals import measured
from sageserve_agents.heuristics.thresholds import ThresholdRule
from sageserve_agents.options import When, option
from sageserve_agents.parameters import Range, ServiceKnob, Tunable
from sageserve_agents.rule import RuleAgent
from sageserve_agents.stack import StackOptions
from sageserve_env.policies import ROUTERS
from sageserve_env.view import ClusterView, Ints

_BY_RATIO: When = ("in_below is none", lambda o: o.in_below is None)


@dataclass(frozen=True)
class ReactiveOptions(StackOptions):
    """Options of `Reactive`; the defaults are the paper's (docs/sources.md, "Paper").

    Attributes:
        out_above: Utilisation above which an instance is added.
        in_below: Utilisation below which one is removed; None means ``in_ratio`` x ``out_above``.
        in_ratio: The paper's 30 % over 70 %, used where ``in_below`` is None.
        cooldown_s: Least time between two changes of one endpoint.
    """

    out_above: float = option(0.7, above=0)
    in_below: float | None = option(None, low=0)
    in_ratio: float = option(3.0 / 7.0, low=0, below=1, when=_BY_RATIO)
    cooldown_s: float = option(15.0, low=0)

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        if not self.low < self.out_above:
            raise ValueError(
                f"need 0 <= in_below < out_above, got {self.low:g} and {self.out_above:g}"
            )

    @property
    def low(self) -> float:
        """The utilisation below which an instance is removed."""
        return self.in_ratio * self.out_above if self.in_below is None else self.in_below


@dataclass(frozen=True)
class ReactiveLwOptions(ReactiveOptions):
    """As `ReactiveOptions`, with the thresholds of docs/sources.md, "First simulations"."""

    out_above: float = option(0.65, above=0)
    in_ratio: float = option(0.32 / 0.65, low=0, below=1, when=_BY_RATIO)
    router: str | None = option("least_wait", choices=ROUTERS)


class Reactive(RuleAgent[ReactiveOptions]):
    """Scale out above a utilisation and in below another, one instance per decision."""

    name = "reactive"
    options_type = ReactiveOptions
    tunable: ClassVar[Tunable] = {
        "out_above": Range(0.15, 0.9),
        "in_ratio": Range(0.2, 0.8),
        "cooldown_s": Range(15.0, 960.0, "log"),
    }
    service_knob = ServiceKnob("out_above", stingy=1.5, generous=0.05, log=True)

    def start(self) -> None:
        """Make the rule of an episode."""
        o = self.options
        self._rule = ThresholdRule(len(self.endpoints.model), o.out_above, o.low, o.cooldown_s)

    def desired(self, view: ClusterView) -> Ints:
        """Return the standing targets with at most one instance more or less, [E]."""
        change = self._rule.step(view, measured(view, self.scenario))
        wanted: Ints = view.target.sum(axis=1) + change
        return wanted


class ReactiveLw(Reactive):
    """`Reactive` under the ``least_wait`` router."""

    name = "reactive-lw"
    options_type = ReactiveLwOptions
