"""`sageserve plan-capacity`: how many GPUs the traffic of a request log needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sageserve_cli.options import READING, gives, json_option, read_options
from sageserve_traces import ReadOptions

_READING = [p.replace(default="drop") if p.name == "on_error" else p for p in READING]


@gives("reading", _READING, read_options)
def plan_capacity(
    file: Annotated[Path, typer.Argument(help="CSV, JSON lines or Parquet, a row per request.")],
    gpu: Annotated[str, typer.Option(help="GPU: h100, h200, b200, l40s.")] = "h100",
    models: Annotated[
        str | None,
        typer.Option("--map", help="What your models are: chat=70b,coder=qwen3-32b."),
    ] = None,
    price: Annotated[float | None, typer.Option(help="Dollars per GPU and hour.")] = None,
    ttft: Annotated[float, typer.Option(help="Promise: seconds to the first token.")] = 3.0,
    target: Annotated[float, typer.Option(help="Share of requests to be in time.")] = 0.95,
    current: Annotated[
        str | None,
        typer.Option(help="What you run now: a number of GPUs, or an autoscaler such as hpa."),
    ] = None,
    *,
    reading: ReadOptions,
    json_file: Annotated[Path | None, json_option("File for the answer.")] = None,
) -> int:
    """Say how many GPUs your own traffic needs, and what a planner would save.

    Finds the columns, says what it assumes, and compares three policies at equal service.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from sageserve_bench.errors import UserError
    from sageserve_bench.rows import write_json
    from sageserve_capacity.fleet import parse_map
    from sageserve_capacity.plan import Question
    from sageserve_capacity.plan import plan_capacity as answer_of
    from sageserve_cli import terminal

    if not 0 < target < 1:
        raise UserError(f"--target must be between 0 and 1, got {target:g}")
    if not ttft > 0:
        raise UserError(f"--ttft must be above 0, got {ttft:g}")
    if price is not None and not price > 0:
        raise UserError(f"--price must be above 0, got {price:g}")
    question = Question(
        file,
        reading,
        gpu,
        parse_map(models),
        {} if price is None else {gpu: price},
        ttft,
        target,
        current,
    )
    console = Console(stderr=True)
    with console.status("reading") as status:
        answer = answer_of(question, lambda line: status.update(line))
    out = terminal.output()
    soft = not out.is_terminal
    for line in answer.assumed:
        out.print(f"- {line}", markup=False, soft_wrap=soft)
    table = Table(header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.show_edge = False
    table.add_column("policy", no_wrap=True)
    for title in ("GPUs", "$ / month", "in time %", "misses"):
        table.add_column(title, justify="left" if title == "misses" else "right")
    for use in answer.uses:
        worst = min(use.slo.values(), default=0.0)
        table.add_row(
            use.name.partition(":")[0],
            f"{use.gpus:,.1f}",
            f"{use.usd_per_month:,.0f}",
            f"{100 * worst:.2f}",
            "; ".join(use.misses) or "-",
        )
    out.print(table)
    for line in answer.lines():
        out.print(line, markup=False, soft_wrap=soft)
    if json_file is not None:
        write_json(json_file, answer.to_dict())
    return 0
