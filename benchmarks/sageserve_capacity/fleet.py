"""What models of a user's own run on: a profile from the catalogue, or an estimate."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sageserve_bench.errors import UserError
from sageserve_env.catalogue import GPUS, MODELS, Model
from sageserve_env.catalogue.gpus import SLICES, slice_name
from sageserve_env.catalogue.measured import is_estimate
from sageserve_env.catalogue.roofline import estimate, fits
from sageserve_env.catalogue.tables import ModelFacts, devices, model_facts

UNKNOWN_B = 8.0
"""Billions of parameters of a model whose name says nothing (A)."""

SAME_SIZE = 0.1
"""A model within this share of the size of a measured one is taken for it (A)."""


_SIZE = r"(?<![\d.])(\d+(?:\.\d+)?)\s*b(?![a-z])"


@dataclass(frozen=True)
class Placed:
    """One model and the VM type that it runs on.

    Attributes:
        name: In the user's file.
        like: The model of the catalogue that it is taken for or scaled from.
        vm: The slice.
        model: Sizes and the profile.
        estimated: Whether nobody has measured that profile.
        said: Where it comes from.
    """

    name: str
    like: str
    vm: str
    model: Model
    estimated: bool
    said: str


def place(name: str, gpu: str, given: Mapping[str, str]) -> Placed:
    """Return what a model runs on: the smallest slice that holds it with room for its KV cache.

    Args:
        name: In the user's file.
        gpu: Device of the catalogue.
        given: What the user says of models: a model of the catalogue, or a size such as ``13b``.

    Raises:
        UserError: If the user names what there is not, or the model fits no slice.
    """
    said = given.get(name, name)
    facts, how = _facts(said, name)
    if name in given and how.startswith("nothing"):
        known = ", ".join(model_facts())
        raise UserError(f"--map {name}={said}: write a size such as 13b or one of {known}")
    device = devices()[gpu]
    for gpus in SLICES:
        if fits(facts, device, gpus):
            break
    else:
        raise UserError(f"model {name!r}: {facts.weights_gb:g} GB fit no slice of {gpu}")
    vm = slice_name(gpu, gpus)
    known_model = MODELS.get(facts.name)
    profile = known_model.profiles.get(vm) if known_model is not None else None
    guessed = not re.search(_SIZE, said.lower()) and said not in model_facts()
    estimated = guessed or profile is None or is_estimate(profile)
    if profile is None:
        profile = estimate(facts, device, gpus)
    weights_bytes, longest = facts.weights_gb * 1e9, facts.max_context_tokens
    model = Model(name, weights_bytes, facts.kv_bytes_per_token, longest, {vm: profile})
    kind = "a profile estimated from data sheets" if is_estimate(profile) else "a measured profile"
    return Placed(name, facts.name, vm, model, estimated, f"{name}: {how}, on {vm} with {kind}")


def _facts(said: str, name: str) -> tuple[ModelFacts, str]:
    """Return the sizes of a model by what is said of it, and how they were found."""
    table = model_facts()
    if said in table:
        return table[said], said if said == name else f"taken as {said}"
    size = re.search(_SIZE, said.lower())
    billions = float(size[1]) if size else UNKNOWN_B
    near = min(
        table.values(),
        key=lambda f: (
            round(abs(math.log(f.parameters_b / billions)), 2),
            -_alike(said, f.family),
            list(table).index(f.name),
        ),
    )
    if abs(near.parameters_b / billions - 1.0) <= SAME_SIZE:
        how = f"{billions:g} billion parameters, taken as {near.name}"
        return near, how if size else f"nothing known of its size, taken as {near.name}"
    factor = billions / near.parameters_b
    scaled = replace(
        near,
        name=name,
        weights_gb=near.weights_gb * factor,
        parameters_b=billions,
        active_b=min(billions, near.active_b * factor),
        kv_bytes_per_token=near.kv_bytes_per_token * math.sqrt(factor),
        attention_width=max(128, round(near.attention_width * math.sqrt(factor))),
    )
    return scaled, f"{billions:g} billion parameters, scaled from {near.name}"


def _alike(a: str, b: str) -> int:
    """Return how many words two names share."""
    words = [set(re.findall(r"[a-z]+", text.lower())) for text in (a, b)]
    return len(words[0] & words[1])


def parse_map(text: str | None) -> dict[str, str]:
    """Return the mapping of a text such as ``chat-large=70b,coder=qwen3-32b``.

    Raises:
        UserError: If a piece has another form.
    """
    found: dict[str, str] = {}
    for piece in filter(None, (text or "").split(",")):
        name, equals, value = piece.partition("=")
        if not (equals and name.strip() and value.strip()):
            raise UserError(f"--map {piece!r}: write NAME=MODEL or NAME=SIZE, as chat-large=70b")
        found[name.strip()] = value.strip()
    return found


def gpus_of(vm: str) -> int:
    """Return the GPUs of an instance."""
    return GPUS[vm].gpus_per_vm
