"""`sageserve fidelity`: the simulator against measurements, another simulator and theory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

fidelity_app = typer.Typer(
    name="fidelity",
    help="Check the simulator against published measurements.",
    no_args_is_help=True,
    add_completion=False,
)


@fidelity_app.callback()
def _group() -> None:
    """Check the simulator against published measurements."""


JsonOption = Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")]
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
    fits: Annotated[
        bool, typer.Option("--fits", help="Compare other fits of the prefill too (15 s).")
    ] = False,
) -> None:
    """Compare the catalogue's latency profiles with the measured tables."""
    from sageserve_bench.fidelity.latency import fits_report, latency_report
    from sageserve_bench.fidelity.output import percent, print_table, write_json
    from sageserve_bench.fidelity.tables import default_tables, load_tables

    folder = tables or default_tables()
    measured = load_tables(folder)
    report = latency_report(measured)
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
    if fits:
        report["fits"] = fits_report(measured)
        print_table(
            "Fits of the prefill",
            ["model", "VM type", "fit", "median", "p90", "median by size", "p90 by size"],
            [
                [
                    r["model"],
                    r["gpu"],
                    r["fit"],
                    *(
                        percent(float(r[f"prefill_{figure}_error{weights}"]))
                        for weights in ("", "_by_size")
                        for figure in ("median", "p90")
                    ),
                ]
                for r in report["fits"]
            ],
        )
    if json_file is not None:
        write_json(json_file, report)
