"""When an hourly plan is made and when it takes force."""

from __future__ import annotations

_SLACK_S = 1e-6


class HourlySchedule:
    """Plans for ``[k period, (k+1) period)``, each made ``lead_s`` before its period begins.

    Args:
        period_s: Length of a period.
        lead_s: How long before a period its plan is made; at most one period.
    """

    def __init__(self, period_s: float, lead_s: float) -> None:
        self.period_s = period_s
        self.lead_s = min(max(lead_s, 0.0), period_s)
        self._planned_until_s = 0.0
        self.switch_s = 0.0

    def starts_now(self, time_s: float) -> bool:
        """Return whether the period that was planned last has begun."""
        return time_s >= self.switch_s - _SLACK_S

    def due(self, time_s: float, again: bool = False) -> tuple[float, float] | None:
        """Return the period to plan now as (start, end), or None.

        Args:
            time_s: Now.
            again: Plan the present period again though it has a plan.
        """
        index = int((time_s + self.lead_s + _SLACK_S) // self.period_s)
        end_s = (index + 1) * self.period_s
        if end_s <= self._planned_until_s + _SLACK_S and not again:
            return None
        self._planned_until_s = end_s
        self.switch_s = index * self.period_s
        return max(time_s, index * self.period_s), end_s
