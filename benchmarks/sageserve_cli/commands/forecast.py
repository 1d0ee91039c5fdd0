"""`sageserve forecast`: how well each forecaster would have done, by rolling origin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sageserve_cli.traffic import Traffic, plays_trace

if TYPE_CHECKING:
    from rich.table import Table

    from sageserve_agents.planner.forecast.scoring import Backtest, Score
    from sageserve_env.scenario import Scenario as Cluster

_COLUMNS = ("mape", "wape", "bias", "pinball", "coverage", "peak_wape")


@plays_trace
def forecast(
    forecasters: Annotated[
        str, typer.Option(help="Names, separated by commas; all without the perfect one if unset.")
    ] = "",
    *,
    traffic: Traffic,
    seed: Annotated[int, typer.Option(min=0, help="Seed; 1000 is the first of validation.")] = 1000,
    horizon: Annotated[str, typer.Option(help="How far each forecast reaches.")] = "1h",
    step: Annotated[str, typer.Option(help="Time between two forecasts.")] = "1h",
    bin_size: Annotated[str, typer.Option("--bin", help="Width of a bin.")] = "5m",
    quantile: Annotated[float, typer.Option(min=0.01, max=0.99, help="Quantile to score.")] = 0.9,
    output: Annotated[
        Path | None, typer.Option(help="Folder for scores.csv and forecast.png.")
    ] = None,
) -> None:
    """Score forecasters on a trace: each forecast uses only what was known at its time."""
    import pandas as pd
    from rich.console import Console
    from rich.progress import track

    from sageserve_agents.demand import to_bins
    from sageserve_agents.parameters import check_choice
    from sageserve_agents.planner.forecast import FORECASTERS
    from sageserve_agents.planner.forecast.scoring import backtest, score
    from sageserve_cli import terminal
    from sageserve_cli.commands.plan import calendar
    from sageserve_traces import parse_duration

    names = [n.strip() for n in forecasters.split(",") if n.strip()]
    for name in names:
        check_choice(name, FORECASTERS, "forecaster")
    names = names or [n for n in FORECASTERS if n != "perfect"]
    workload = traffic.grid(["static"], [seed]).tasks()[0].workload()
    cluster = workload.scenario
    width = parse_duration(bin_size)
    past, known = workload.history(clairvoyant=False), workload.history(clairvoyant=True)
    before = to_bins(past, width)
    after = to_bins(known.window(0.0, cluster.horizon_s), width, from_start=True)
    series = before.concat(after)
    interactive = _interactive(cluster)
    console = Console(stderr=True)
    tests, scores = [], []
    for name in track(names, "Forecasting", console=console, transient=True):
        test = backtest(
            name,
            series,
            clock=calendar(workload.trace),
            interactive=interactive,
            horizon_s=parse_duration(horizon),
            step_s=parse_duration(step),
            quantile=quantile,
        )
        tests.append(test)
        scores.extend(score(test, cluster.models, interactive))
    out = terminal.output()
    terminal.show(_table(scores, workload.trace.name, quantile), out)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(scores).to_csv(output / "scores.csv", index=False)
        _plot(tests, cluster, interactive, output / "forecast.png")
        out.print(f"Wrote {output / 'scores.csv'} and {output / 'forecast.png'}")


def _interactive(scenario: Cluster) -> Any:
    import numpy as np

    return np.array([t.interactive for t in scenario.tiers])


def _table(scores: list[Score], trace: str, quantile: float) -> Table:
    from rich.table import Table

    title = (
        f"Prompt tokens of {trace}, errors per bin, pooled over regions (pinball at {quantile:g})"
    )
    table = Table("forecaster", "model", "tiers", title=title, header_style="bold")
    for name in (*_COLUMNS, "ms"):
        table.add_column(name, justify="right")
    previous = scores[0].forecaster if scores else ""
    for row in scores:
        if row.forecaster != previous:
            table.add_section()
            previous = row.forecaster
        cells = [f"{100 * getattr(row, name):.1f} %" for name in _COLUMNS]
        table.add_row(row.forecaster, row.model, row.tiers, *cells, f"{row.ms:.1f}")
    return table


def _plot(tests: list[Backtest], scenario: Cluster, interactive: Any, path: Path) -> None:
    """Draw actual and forecast interactive tokens per second of every model."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    models = scenario.models
    figure, axes = plt.subplots(
        len(models), 1, figsize=(10, 2.2 * len(models) + 0.6), sharex=True, squeeze=False
    )
    for m, axis in enumerate(axes[:, 0]):
        for number, test in enumerate(tests):
            bins = test.actual.shape[1]
            step = (test.origin_s[1] - test.origin_s[0]) if len(test.origin_s) > 1 else 3600.0
            width = float(step) / bins if len(test.origin_s) > 1 else 300.0
            times = (test.origin_s[:, None] + width * np.arange(bins)).ravel() / 3600.0
            lines = [
                v[:, :, m][..., interactive].sum(axis=(2, 3)).ravel() / width
                for v in (test.actual, test.point, test.upper)
            ]
            if number == 0:
                axis.plot(times, lines[0], color="0.6", linewidth=1.0, label="actual")
            (line,) = axis.plot(times, lines[1], linewidth=1.2, label=test.forecaster)
            axis.fill_between(times, lines[1], lines[2], color=line.get_color(), alpha=0.12)
        axis.set_title(models[m], fontsize=9, loc="left")
        axis.set_ylabel("tokens/s")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[0, 0].legend(fontsize=8, ncols=len(tests) + 1, loc="upper left")
    axes[-1, 0].set_xlabel("hours from the start")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
