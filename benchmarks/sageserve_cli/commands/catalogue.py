"""`sageserve catalogue`: what there is, and latency profiles of one's own."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sageserve_env.catalogue.tables import ModelFacts

catalogue_app = typer.Typer(
    name="catalogue",
    help="List models and GPUs; fit or estimate a latency profile.",
    no_args_is_help=True,
    add_completion=False,
)


VmOption = Annotated[str, typer.Option("--vm", help="Slice of the catalogue, such as h100x2.")]
NameOption = Annotated[str, typer.Option("--name", help="Name of the model in the scenario.")]
LikeOption = Annotated[
    str, typer.Option("--like", help="Model of the catalogue whose sizes are taken.")
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", help="Write the YAML to this file; default: print it.")
]


def _size(value: float | None) -> float | None:
    """Return a size that replaces one of the catalogue's."""
    if value is not None and not 0 < value < math.inf:
        raise typer.BadParameter(f"expected a number above 0, got {value:g}")
    return value


SizeOption = Annotated[
    float | None, typer.Option(callback=_size, help="Replaces the size of --like.")
]


@catalogue_app.command("list")
def list_support(
    markdown: Annotated[bool, typer.Option("--markdown", help="As the README has it.")] = False,
) -> None:
    """Show which model runs on which GPUs, and what is measured."""
    from sageserve_cli.terminal import print_table
    from sageserve_env.catalogue.support import COLUMNS, support_rows, support_table

    if markdown:
        typer.echo(support_table(), nl=False)
        return
    print_table("Models on slices of GPUs", COLUMNS, support_rows())


@catalogue_app.command("fit")
def fit(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV of closed-loop means: concurrency, prompt_tokens, output_tokens, ttft_ms, "
            "tpot_ms."
        ),
    ],
    vm: VmOption,
    like: LikeOption,
    name: NameOption = "own-model",
    engine: Annotated[str, typer.Option(help="vllm, trtllm or sglang.")] = "vllm",
    budget: Annotated[int, typer.Option(min=1, help="Token budget of an iteration.")] = 8192,
    weights_gb: SizeOption = None,
    kv_bytes_per_token: SizeOption = None,
    output: OutputOption = None,
) -> None:
    """Fit a profile to measurements of your own; write YAML that a scenario takes."""
    from sageserve_bench.errors import UserError
    from sageserve_validation.fitting.measurements import read_own
    from sageserve_validation.fitting.own import ENGINES, fit_own, model_yaml

    if engine not in ENGINES:
        raise UserError(f"--engine: expected one of {', '.join(ENGINES)}, got {engine!r}")
    facts = _facts(like, name, weights_gb, kv_bytes_per_token)
    facts = dataclasses.replace(facts, engine=engine)
    profile, errors = fit_own(read_own(file, name), facts, vm, budget)
    _write(model_yaml(facts, {vm: profile}), output)
    typer.echo(
        f"{errors['rows']} rows: median error TPOT {errors['tpot_median_abs_rel']:.1%}, "
        f"TTFT {errors['ttft_median_abs_rel']:.1%}",
        err=True,
    )


@catalogue_app.command("estimate")
def estimate(
    vm: VmOption,
    like: LikeOption,
    name: NameOption = "own-model",
    parameters_b: SizeOption = None,
    active_b: SizeOption = None,
    weights_gb: SizeOption = None,
    kv_bytes_per_token: SizeOption = None,
    output: OutputOption = None,
) -> None:
    """Estimate a profile from data sheets, without measurements; write YAML."""
    from sageserve_bench.errors import UserError
    from sageserve_env.catalogue.roofline import estimate as roofline
    from sageserve_env.catalogue.roofline import fits
    from sageserve_validation.fitting.own import known_slice, model_yaml

    facts = _facts(like, name, weights_gb, kv_bytes_per_token)
    if parameters_b is not None:  # all of them active unless said otherwise
        facts = dataclasses.replace(facts, parameters_b=parameters_b, active_b=parameters_b)
    if active_b is not None:
        if active_b > facts.parameters_b:
            raise UserError(
                f"--active-b must be at most all {facts.parameters_b:g} billion parameters "
                f"(--parameters-b), got {active_b:g}"
            )
        facts = dataclasses.replace(facts, active_b=active_b)
    device, gpus, _ = known_slice(vm)
    if not fits(facts, device, gpus):
        raise UserError(f"{facts.weights_gb:g} GB of weights leave no room for KV on {vm}")
    _write(model_yaml(facts, {vm: roofline(facts, device, gpus)}), output)
    typer.echo("an estimate: nobody has measured this profile", err=True)


def _facts(
    like: str, name: str, weights_gb: float | None, kv_bytes_per_token: float | None
) -> ModelFacts:
    """Return the sizes of a model of the catalogue under another name, some replaced."""
    from sageserve_validation.fitting.own import known_model

    facts = known_model(like)
    if weights_gb is not None:
        facts = dataclasses.replace(facts, weights_gb=weights_gb)
    if kv_bytes_per_token is not None:
        facts = dataclasses.replace(facts, kv_bytes_per_token=kv_bytes_per_token)
    return dataclasses.replace(facts, name=name)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
