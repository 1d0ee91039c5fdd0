"""Tables by which kernels turn the numbers of an action into values of knobs."""

from __future__ import annotations

from typing import Any

import numpy as np

from sageserve_env.control import Decided
from sageserve_env.forms import CHOICE, STEP
from sageserve_env.knobs import KNOBS
from sageserve_env.policies import DISCIPLINES, ROUTERS
from sageserve_env.simulator._handle import Handle

Array = np.ndarray[Any, Any]

NO_ROUTER = -1

ENTRY = np.dtype(
    (
        np.record,
        [
            ("knob", "i8"),  # row of `KNOBS`
            ("form", "i8"),
            ("first", "i8"),  # first of its places
            ("places", "i8"),
            ("low", "f8"),
            ("centre", "f8"),
            ("high", "f8"),
            ("group", "i8"),  # at the first entry of a group that adds up to 1: its size, else 1
            ("options", "i8"),  # discrete: number of choices
            ("first_option", "i8"),  # discrete: place of its first choice in the mask
            ("preset", "i8"),  # choice: row of its first preset
        ],
    ),
    align=True,
)

OTHERWISE = np.dtype(
    (
        np.record,
        [
            ("router", "i8"),
            ("discipline", "i8"),
            ("by_rule", "i8"),  # 1 where the reactive rule scales the fleet
        ],
    ),
    align=True,
)

_F8, _F4, _I8, _BOOL = (np.dtype(t) for t in (np.float64, np.float32, np.int64, np.bool_))


class Decoder(Handle):
    """What an action is decoded by, and the action itself."""

    otherwise: Array  # OTHERWISE [1]: what is in force where nobody decides
    neutral: Array  # f8 [Q]: values of the knobs with axes where nobody decides
    neutral_at: Array  # i8 [Q, 4]: knob and indices of each
    entry: Array  # ENTRY [N]
    place: Array  # i8 [P, 3]: indices that the entries set
    preset: Array  # f8 [rows, most places of an entry]
    preset_router: Array  # i8 [rows]: router that takes a preset, or `NO_ROUTER`
    action: Array  # f4 [N]: continuous action as given
    choice: Array  # i8 [N]: discrete action as given
    value: Array  # f8 [N]: scratch
    mask: Array  # bool [sum of options]

    FIELDS = (
        ("otherwise", OTHERWISE, 1),
        ("neutral", _F8, 1),
        ("neutral_at", _I8, 2),
        ("entry", ENTRY, 1),
        ("place", _I8, 2),
        ("preset", _F8, 2),
        ("preset_router", _I8, 1),
        ("action", _F4, 1),
        ("choice", _I8, 1),
        ("value", _F8, 1),
        ("mask", _BOOL, 1),
    )


def build_decoder(decided: Decided) -> Decoder:
    """Return the tables of continuous or discrete actions, empty ones of structured actions."""
    entry = np.zeros(sum(len(e.names) for _, e in decided.entries), dtype=ENTRY)
    places: list[Array] = [np.zeros((0, 3), dtype=np.int64)]
    presets: list[Array] = []
    routers: list[int] = []
    i = first = options = 0
    for knob, made in decided.entries:
        for n in range(len(made.names)):
            row, at = entry[i], made.at[n]
            row["knob"], row["form"] = knob.code, made.form
            row["first"], row["places"] = first, len(at)
            row["group"] = made.group if n % made.group == 0 else 1
            row["options"], row["first_option"] = made.options, options
            row["preset"] = len(presets)
            if made.form == CHOICE:
                for preset in made.presets[n]:
                    presets.append(preset.values)
                    router = preset.router
                    routers.append(NO_ROUTER if router is None else ROUTERS.index(router))
            else:
                row["low"], row["centre"], row["high"] = made.low[n], made.centre[n], made.high[n]
            places.append(at)
            first, options, i = first + len(at), options + made.options, i + 1
    discrete = any(made.form in (STEP, CHOICE) for _, made in decided.entries)
    table = np.zeros((len(presets), max((len(p) for p in presets), default=0)))
    for j, values in enumerate(presets):
        table[j, : len(values)] = values
    neutral, neutral_at = _neutral(decided)
    return Decoder(
        otherwise=_otherwise(decided),
        neutral=neutral,
        neutral_at=neutral_at,
        entry=entry,
        place=np.concatenate(places).astype(np.int64),
        preset=table,
        preset_router=np.array(routers, dtype=np.int64),
        action=np.zeros(len(entry), dtype=np.float32),
        choice=np.zeros(len(entry), dtype=np.int64),
        value=np.zeros(len(entry)),
        mask=np.ones(options if discrete else 0, dtype=np.bool_),
    )


def _otherwise(decided: Decided) -> Array:
    row = np.zeros(1, dtype=OTHERWISE)
    row["router"] = ROUTERS.index(decided.router)
    row["discipline"] = DISCIPLINES.index(decided.discipline)
    row["by_rule"] = not decided.decides("instances") and "instances" not in decided.fixed
    return row


def _neutral(decided: Decided) -> tuple[Array, Array]:
    """Return the values and places of what is not a target that the learner or a rule sets."""
    values: list[Array] = [np.zeros(0)]
    at: list[Array] = [np.zeros((0, 4), dtype=np.int64)]
    for knob in KNOBS:
        if not knob.axes or (knob.name == "instances" and knob.name not in decided.fixed):
            continue
        array = np.asarray(decided.value(knob), dtype=np.float64)
        index = np.zeros((array.size, 4), dtype=np.int64)
        index[:, 0] = knob.code
        index[:, 1 : 1 + array.ndim] = np.argwhere(np.ones(array.shape, dtype=np.bool_))
        values.append(array.ravel())
        at.append(index)
    return np.concatenate(values), np.concatenate(at)
