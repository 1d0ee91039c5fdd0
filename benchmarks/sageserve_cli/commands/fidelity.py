"""`sageserve fidelity`: the simulator against measurements, another simulator and theory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from sageserve_bench.rows import write_json
from sageserve_cli.options import json_option

fidelity_app = typer.Typer(
    name="fidelity",
    help="Check the simulator against published measurements.",
    no_args_is_help=True,
    add_completion=False,
)


JsonOption = Annotated[Path | None, json_option("Write the figures to this file.")]
TablesOption = Annotated[
    Path | None,
    typer.Option(
        "--tables",
        help="Folder of the measured latency tables; default shared/reference/latency_tables "
        "beside the repository.",
    ),
]


@fidelity_app.command("latency")
def latency(
    json_file: JsonOption = None,
    tables: TablesOption = None,
) -> None:
    """Compare the catalogue's latency profiles with the measured tables."""
    from sageserve_cli.terminal import percent, print_table
    from sageserve_validation.fidelity.latency import latency_report
    from sageserve_validation.fidelity.tables import default_tables, load_tables

    report = latency_report(load_tables(tables or default_tables()))
    names = [
        f"{kind}_{figure}_error{weights}"
        for weights in ("", "_by_size")
        for kind in ("prefill", "decode")
        for figure in ("median", "p90")
    ]
    print_table(
        "Absolute relative error, per row of the tables and per size",
        ["model", "VM type", *(n.replace("_error", "").replace("_", " ") for n in names)],
        [
            [r["model"], r["gpu"], *(percent(float(r[name])) for name in names)]
            for r in report["profiles"]
        ],
    )
    _write(json_file, report)


@fidelity_app.command("events")
def events(
    reference: Annotated[
        Path, typer.Option("--reference", help="Per-request results to compare with (CSV).")
    ],
    fleet: Annotated[
        str, typer.Option("--fleet", help="Instances of each model in each region.")
    ] = "A=2,B=2",
    json_file: JsonOption = None,
    tables: TablesOption = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="PNG of the distributions; default beside the JSON file."),
    ] = None,
) -> None:
    """Replay the authors' simulator request by request and compare."""
    from sageserve_bench.errors import UserError
    from sageserve_cli.terminal import print_table
    from sageserve_validation.fidelity.events import compare, parse_fleet, replay
    from sageserve_validation.fidelity.plots import plot_distributions
    from sageserve_validation.fidelity.reference import read_reference
    from sageserve_validation.fidelity.tables import default_tables, load_tables

    instances = parse_fleet(fleet)
    rows = read_reference(reference, instances)
    ours = replay(rows, instances, load_tables(tables or default_tables()))
    report = compare(rows, ours)
    if report["overall"]["compared"] == 0:
        raise UserError(
            f"{reference}: none of its rows with ttft_s and e2e_s finishes in the replay: "
            "there is nothing to compare; is --fleet the fleet behind the file?"
        )
    names = [
        f"{column}_{figure}"
        for column in ("ttft", "e2e")
        for figure in ("p50_ratio", "p90_ratio", "p99_ratio", "mae_rel")
    ]
    print_table(
        f"{reference.name}: ours / reference",
        ["model", "compared", "unfinished", *(name.replace("_", " ") for name in names)],
        [
            [
                group,
                f["compared"],
                f["unfinished"],
                *("-" if f[name] is None else f[name] for name in names),
            ]
            for group, f in report.items()
        ],
    )
    if plot is None and json_file is not None:
        plot = json_file.with_suffix(".png")
    if plot is not None:
        plot_distributions(rows, ours, plot, f"{reference.name}, fleet {fleet}")
    described = {"reference": reference.name, "fleet": instances, **report["overall"]}
    per_model = {name: f for name, f in report.items() if name != "overall"}
    _write(json_file, described | {"overall": report["overall"], "models": per_model})


@fidelity_app.command("queueing")
def queueing(
    json_file: JsonOption = None,
    samples: Annotated[
        int, typer.Option("--samples", min=10_000, help="Requests of each random check.")
    ] = 1_000_000,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
) -> None:
    """Compare limits of the simulator with queueing theory; exit code 1 if one fails."""
    from rich.progress import track

    from sageserve_cli.terminal import percent, print_table
    from sageserve_validation.fidelity.queueing import checks

    done = list(track(checks(samples, seed), description="queues", total=11, transient=True))
    print_table(
        f"Queueing limits, {samples} samples",
        ["check", "figure", "simulated", "theory", "error", "95 % interval", "passed"],
        [
            [
                c.name,
                c.figure,
                c.simulated,
                c.theory,
                percent(c.relative_error),
                f"+- {c.half_width:.3g}" if c.half_width else "exact",
                "yes" if c.passed else "NO",
            ]
            for c in done
        ],
    )
    passed = all(c.passed for c in done)
    figures = {"samples": samples, "seed": seed, "passed": passed}
    _write(json_file, figures | {"checks": [c.to_dict() for c in done]})
    if not passed:
        raise typer.Exit(1)


@fidelity_app.command("hardware")
def hardware(
    rows: Annotated[
        Path, typer.Option("--rows", help="Measurements in the columns of aiconfigurator (CSV).")
    ],
    json_file: JsonOption = None,
) -> None:
    """Compare the measured profiles of the catalogue with measurements of engines."""
    from rich.progress import track

    from sageserve_bench.errors import UserError
    from sageserve_cli.terminal import percent, print_table
    from sageserve_validation.fidelity.hardware import compare, report
    from sageserve_validation.fitting.measurements import read_silicon

    found, left_out = read_silicon(rows)
    done, skipped = compare(track(found, description="rows", transient=True), left_out)
    if not done:
        raise UserError(f"{rows}: none of its rows is of a measured profile of the catalogue")
    result = report(done, skipped)
    names = ["tpot_median_abs_rel", "tpot_p90_abs_rel", "ttft_median_abs_rel"]
    groups = {"all": result} | result["models"] | result["gpus"]
    print_table(
        f"{rows.name}: {result['rows']} rows compared, {result['skipped']} skipped",
        ["group", "rows", "TPOT median", "TPOT p90", "TTFT median"],
        [[key, f["rows"], *(percent(f[name]) for name in names)] for key, f in groups.items()],
    )
    for reason, count in sorted(result["skipped_because"].items()):
        typer.echo(f"skipped {count}: {reason}")
    _write(json_file, result)


@fidelity_app.command("requests")
def requests(
    folder: Annotated[
        Path, typer.Argument(help="Folder with requests.jsonl and meta.json of an engine.")
    ],
    json_file: JsonOption = None,
    rules: Annotated[
        bool, typer.Option("--rules", help="Compare the rules for mixed iterations too.")
    ] = False,
) -> None:
    """Replay an engine's requests: profile from the first half, errors of the second."""
    from sageserve_cli.terminal import print_table
    from sageserve_validation.fidelity.requests import compare, read_folder

    report = compare(read_folder(folder), other_rules=rules)
    parts = {"second half": report, "first half (fitted)": report["first_half"]}
    parts |= {f"second half, rule {name}": f for name, f in report.get("rules", {}).items()}
    names = ["ttft_mae_rel", "tpot_mae_rel", "e2e_mae_rel", "e2e_p50_ratio", "e2e_p90_ratio"]
    print_table(
        f"{folder.name}: {report['requests']} requests, mean absolute errors over the mean",
        ["part", *names],
        [[part, *(f[name] for name in names)] for part, f in parts.items()],
    )
    _write(json_file, report)


@fidelity_app.command("prefix")
def prefix(
    trace: Annotated[Path, typer.Option("--trace", help="Trace with block ids.")],
    workers: Annotated[int, typer.Option("--workers", min=1, help="Caches.")] = 8,
    capacity_tokens: Annotated[
        int, typer.Option("--capacity-tokens", min=1, help="Tokens that each cache holds.")
    ] = 1_000_000,
    router: Annotated[
        str,
        typer.Option("--router", help="round_robin, longest_prefix, prefix_if_half or least_work."),
    ] = "least_work",
    block_tokens: Annotated[
        int, typer.Option("--block-tokens", min=1, help="Tokens of a block.")
    ] = 512,
    json_file: JsonOption = None,
) -> None:
    """Hit rates of prefix caches: prompts in file order, without time."""
    from sageserve_cli.terminal import percent, print_table
    from sageserve_validation.fidelity.prefix import hit_rates

    report = hit_rates(
        trace,
        workers=workers,
        capacity_tokens=capacity_tokens,
        router=router,
        block_tokens=block_tokens,
    )
    print_table(
        f"{trace.name}: {report['requests']} requests, {workers} caches of {capacity_tokens}",
        ["router", "hit rate by tokens", "requests with a hit", "max over mean computed tokens"],
        [
            [
                router,
                percent(report["hit_rate"]),
                percent(report["requests_with_a_hit"]),
                report["max_over_mean_computed_tokens"],
            ]
        ],
    )
    _write(json_file, report)


@fidelity_app.command("llm-d")
def llm_d(
    file: Annotated[Path, typer.Argument(help="Runs of llm-d (JSON).")],
    json_file: JsonOption = None,
) -> None:
    """Predict runs of several replicas behind a router from runs of one replica."""
    from sageserve_cli.terminal import percent, print_table
    from sageserve_validation.fidelity.llm_d import compare, read_runs

    report = compare(read_runs(file))
    parts = ("one_replica_fitted", "several_replicas")
    names = ("ttft", "tpot", "e2e")
    print_table(
        "Median absolute errors of means",
        ["runs", "rows", *(name.upper() for name in names)],
        [
            [part, report[part]["rows"]]
            + [percent(report[part].get(f"{name}_median_abs_rel", 0.0)) for name in names]
            for part in parts
        ],
    )
    _write(json_file, report)


def _write(json_file: Path | None, report: Mapping[str, Any]) -> None:
    if json_file is not None:
        write_json(json_file, report)
