"""`reactive` and `reactive-lw`: the paper's unified pool scaled by utilisation thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sageserve_agents.heuristics.thresholds import ThresholdRule
from sageserve_agents.parameters import Range, ServiceKnob, Tunable, check_choice
from sageserve_agents.rule import RuleAgent
from sageserve_env.policies import DISCIPLINES, ROUTERS
from sageserve_env.view import ClusterView, Ints


@dataclass(frozen=True)
class ReactiveOptions:
    """Options of `Reactive`; the defaults are the paper's (DOMAIN.md section 1).

    Attributes:
        out_above: Utilisation above which an instance is added.
        in_below: Utilisation below which one is removed; None means ``in_ratio`` x ``out_above``.
        in_ratio: The paper's 30 % over 70 %, used where ``in_below`` is None.
        cooldown_s: Least time between two changes of one endpoint.
        router: Router of the requests.
        discipline: Order of waiting requests; None for the scenario's. The planning agents use
            ``edf``.
    """

    out_above: float = 0.7
    in_below: float | None = None
    in_ratio: float = 3.0 / 7.0
    cooldown_s: float = 15.0
    router: str = "threshold"
    discipline: str | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        check_choice(self.router, ROUTERS, "router")
        if self.discipline is not None:
            check_choice(self.discipline, DISCIPLINES, "discipline")
        if not 0 <= self.low < self.out_above:
            raise ValueError(
                f"need 0 <= in_below < out_above, got {self.low:g} and {self.out_above:g}"
            )

    @property
    def low(self) -> float:
        """The utilisation below which an instance is removed."""
        return self.in_ratio * self.out_above if self.in_below is None else self.in_below


@dataclass(frozen=True)
class ReactiveLwOptions(ReactiveOptions):
    """Options of `ReactiveLw`: as `ReactiveOptions`, with the thresholds of DOMAIN.md section 9."""

    out_above: float = 0.65
    in_ratio: float = 0.32 / 0.65
    router: str = "least_wait"


class Reactive(RuleAgent[ReactiveOptions]):
    """Scale out above a utilisation and in below another, one instance per decision."""

    name = "reactive"
    router = "threshold"
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
        self._rule = ThresholdRule(len(self.layout.model), o.out_above, o.low, o.cooldown_s)

    def desired(self, view: ClusterView) -> Ints:
        """Return the standing targets with at most one instance more or less, [E]."""
        wanted: Ints = view.target.sum(axis=1) + self._rule.step(view)
        return wanted


class ReactiveLw(Reactive):
    """`Reactive` under the ``least_wait`` router: the strongest plain rule."""

    name = "reactive-lw"
    options_type = ReactiveLwOptions
