"""Episodes for searches: every setting of an agent on the same few days, none run twice.

Finished episodes are kept as lines of a journal, so that a search that was interrupted goes on
where it stopped: it asks the same questions again and finds the answers there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sageserve_agents.registry import parse_spec
from sageserve_bench.analysis.targets import Targets
from sageserve_bench.results.journal import Journal
from sageserve_bench.rows import Row
from sageserve_bench.runs.backends import execute
from sageserve_bench.runs.episode import RunResult
from sageserve_bench.runs.pools import Backend
from sageserve_bench.runs.tasks import Task
from sageserve_env.scenario import Scenario
from sageserve_env.workload import TraceSpec

Told = Callable[[str], None]


@dataclass(frozen=True)
class Probe:
    """One setting of an agent and what came of it, in means over the seeds.

    Attributes:
        spec: The agent's specification.
        means: Service and cost, see `Targets.means`.
        margin: See `Targets.margin`; at least 0 where every target is attained.
        misses: The targets that are missed, as text.
    """

    spec: str
    means: Mapping[str, float]
    margin: float
    misses: tuple[str, ...]

    @classmethod
    def of(cls, spec: str, targets: Targets, rows: Sequence[Row]) -> Probe:
        """Return what the rows of a setting come to, judged by some targets."""
        means = targets.means(rows)
        return cls(spec, means, targets.margin(means), targets.misses(means))

    @property
    def attains(self) -> bool:
        """Whether every target is attained."""
        return not self.misses

    @property
    def cost_usd(self) -> float:
        """Mean cost of an episode."""
        return self.means["cost_usd"]


@dataclass
class Prober:
    """Runs settings of agents on the same scenario, trace and seeds.

    Attributes:
        scenario: The cluster.
        trace: The trace, before the seed.
        seeds: Episodes of each setting.
        journal: Where finished episodes lie.
        backend: Where episodes run.
        told: Is given one line per setting.
        episodes: Episodes asked for so far, also those that the journal had.
    """

    scenario: Scenario
    seeds: Sequence[int]
    trace: TraceSpec = field(default_factory=TraceSpec)
    journal: Journal = field(default_factory=lambda: Journal(None))
    backend: Backend = field(default_factory=Backend)
    told: Told | None = None
    episodes: int = 0

    def __post_init__(self) -> None:
        """Find out the service that is asked for."""
        first = Task("static", self.scenario, self.trace, self.seeds[0])
        self.service = Targets.of(first.workload().scenario)
        self._known: dict[str, Probe] = {}

    def __call__(self, spec: str) -> Probe:
        """Return what comes of a setting."""
        if spec in self._known:
            return self._known[spec]
        rows = self._rows(spec)
        self.episodes += len(rows)
        probe = Probe.of(spec, self.service, rows)
        self._known[spec] = probe
        if self.told is not None:
            missed = "; ".join(probe.misses) or "attains"
            self.told(f"{spec}: ${probe.cost_usd:,.0f}, {missed}")
        return probe

    def _rows(self, spec: str) -> list[Row]:
        tasks = [Task(spec, self.scenario, self.trace, seed) for seed in self.seeds]
        keys = [task.key(task.workload()) for task in tasks]
        todo = [i for i, key in enumerate(keys) if self.journal.get(key) is None]

        def finished(index: int, result: RunResult) -> None:
            self.journal.add(keys[todo[index]], result.row)

        execute([tasks[i] for i in todo], self.backend, finished)
        found = [self.journal.get(key) for key in keys]
        return [row for row in found if row is not None]


def with_options(spec: str, options: Mapping[str, object]) -> str:
    """Return a specification with options added or replaced; numbers get four digits."""
    name, present = parse_spec(spec)
    shown = {key: shown_value(value) for key, value in options.items()}
    tail = ";".join(f"{key}={value}" for key, value in {**present, **shown}.items())
    return f"{name}:{tail}" if tail else name


def uncalibrated(spec: str) -> str:
    """Return a specification that does without calibrated options unless it says otherwise."""
    given = parse_spec(spec)[1]
    return spec if "calibrated" in given else with_options(spec, {"calibrated": "no"})


def shown_value(value: object) -> str:
    """Return an option as text; four digits are as many as a search can tell apart."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
