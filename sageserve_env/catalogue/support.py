"""What runs on what: the support table of the catalogue, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from sageserve_env._markdown import markdown_table
from sageserve_env.catalogue.gpus import SLICES, slice_name
from sageserve_env.catalogue.measured import is_estimate
from sageserve_env.catalogue.models import MODELS
from sageserve_env.catalogue.tables import devices, measured, model_facts


def support_rows() -> list[list[str]]:
    """Return a row per model and GPU: names, precision, engine, GPUs measured and estimated."""
    rows = []
    for facts in model_facts().values():
        profiles = MODELS[facts.name].profiles
        for device in devices():
            known = {n: profiles.get(slice_name(device, n)) for n in SLICES}
            found = {n: profile for n, profile in known.items() if profile is not None}
            if not found:
                continue
            of = [measured()[facts.name, device, n] for n in found if not is_estimate(found[n])]
            rows.append(
                [
                    facts.name,
                    device,
                    facts.precision,
                    facts.engine if of else "-",
                    _numbers(n for n in found if not is_estimate(found[n])),
                    _numbers(n for n in found if is_estimate(found[n])),
                    str(sum(row.rows for row in of)) if of else "-",
                    _range([row.tpot_error for row in of]),
                    _range([row.ttft_error for row in of]),
                ]
            )
    return rows


COLUMNS = (
    "model",
    "GPU",
    "weights",
    "engine",
    "GPUs of an instance, measured",
    "estimated",
    "rows",
    "TPOT error",
    "TTFT error",
)


def support_table() -> str:
    """Return the table as Markdown; errors are medians of the fits, over the slices."""
    return markdown_table(COLUMNS, support_rows()) + "\n"


def support_grid() -> str:
    """Return the short table of the README as Markdown: a row per model, a column per GPU."""
    found: dict[str, dict[str, set[str]]] = {}
    for facts in model_facts().values():
        for model, device, precision, engine, *_ in support_rows():
            if model == facts.name:
                said = "estimate" if engine == "-" else f"{precision} {engine}"
                found.setdefault(facts.family, {}).setdefault(device, set()).add(said)
    rows = []
    for family, by_device in found.items():
        cells = []
        for device in devices():
            known = by_device.get(device, set())
            cells.append(", ".join(sorted(known - {"estimate"})) or ("estimate" if known else "-"))
        rows.append([f"`{family}`", *cells])
    return markdown_table(["model", *devices()], rows)


def _numbers(values: Iterable[int]) -> str:
    return ", ".join(map(str, values)) or "-"


def _range(errors: list[float]) -> str:
    if not errors:
        return "-"
    low, high = 100 * min(errors), 100 * max(errors)
    return f"{low:.1f} %" if low == high else f"{low:.1f}-{high:.1f} %"
