"""Scenario files that cannot be used: wrong keys, types, values, nesting, and YAML itself."""

from __future__ import annotations

from collections.abc import Iterator

from .malformed_traces import Content

WRONG_FOR_NUMBERS = ["soon", "true", "[1]", "{a: 1}", ".nan", "-1", "'3'", "2023-11-16"]
NUMBERS = [
    "horizon_s",
    "decision_interval_s",
    "slo_scale",
    "lifecycle: {redeploy_s: %}",
    "batching: {iteration_overhead_s: %}",
    "routing: {threshold: %}",
    "niw: {pull_interval_s: %}",
    "faults: {crash_per_hour: %}",
    "reward: {scale_usd: %}",
    "workload: {scale: %}",
]
COUNTS = ["initial_instances", "min_instances", "batching: {max_sequences: %}"]
WRONG_FOR_COUNTS = ["2.5", "many", "null", "-3", "1e400", "[2]", "0x", "!!float 2"]
WRONG_PARTS = ["3", "text", "[a]", "null", "{unknown_key: 1}", "{? [a] : 1}", "{1: 2}"]
PARTS = ["lifecycle", "batching", "routing", "niw", "faults", "reward", "workload"]

VALUES = """
name: 3
description: [a, b]
base: nowhere
base: [trap-base]
base: null
models: llama-2-70b
models: []
models: [gpt-9]
models: [llama-2-70b, llama-2-70b]
models: {a: 1}
models: [3]
gpus: []
gpus: [tpu]
gpus: {a100-80gb-x8: 1}
regions: westus
regions: []
regions: [westus]
regions: [{name: westus}]
regions: [{name: westus, vms: 3}]
regions: [{name: westus, vms: {a100-80gb-x8: -1}}]
regions: [{name: westus, vms: {a100-80gb-x8: 1000000000}}]
regions: [{name: westus, vms: {a100-80gb-x8: 1.5}}]
regions: [{name: westus, vms: {tpu: 4}}]
regions: [{name: mars, vms: {a100-80gb-x8: 4}}, {name: mars, vms: {a100-80gb-x8: 4}}]
regions: [{name: westus, vms: {a100-80gb-x8: 4}, zone: 3}]
regions: [null]
pooling: chaotic
pooling: [unified]
pool_split: 0.5
pool_split: {lunch: 1.0}
pool_split: {batch: much}
tiers: []
tiers: [gold]
tiers: [{name: IW-F}]
tiers: [{name: IW-F, objective_s: -1}]
tiers: [{name: IW-F, objective_s: 1, objective: smile}]
tiers: [{name: IW-F, objective_s: 1, target: high}]
tiers: [{name: IW-F, objective_s: 1}, {name: IW-F, objective_s: 2}]
round_trips_s: [[0.0]]
round_trips_s: [[0.0, -1.0], [1.0, 0.0]]
round_trips_s: [[0.0, x], [1.0, 0.0]]
round_trips_s: far
round_trips_s: [[0.0, 1.0], [1.0]]
max_instances: 0
horizon_s: 1.0e+12
horizon_s: .inf
decision_interval_s: .inf
batching: {mode: juggling}
batching: {discipline: lifo}
batching: {kv_policy: hope}
batching: {memory_fraction: 2}
batching: {max_output_tokens: 100000000}
batching: {prefill_token_budget: 0}
routing: {router: gut}
faults: {outage_region: atlantis}
faults: {provision_failure: 7}
faults: {slow_factor: 0.1}
lifecycle: {jitter: 1.5}
niw: {pull_below: 0.1, pull_two_below: 0.9}
workload: {trace: 3}
workload: {trace: nowhere}
workload: {bursts: 1.5}
workload: {rename_models: [a]}
custom_models: [llama]
custom_models: [{name: mine}]
custom_models: [{name: mine, colour: blue}]
custom_gpus: [{name: mine}]
custom_gpus: 3
""".strip().splitlines()
"""One wrong line each, on top of ``base: trap-base``."""

FILES: dict[str, bytes] = {
    "empty": b"",
    "blank": b"\n\n   \n",
    "comment": b"# nothing but a comment\n",
    "scalar": b"just words\n",
    "number": b"42\n",
    "list": b"- base: trap-base\n",
    "null": b"~\n",
    "open-brace": b"{base: trap-base, horizon_s: [1, 2\n",
    "open-quote": b"base: 'trap-base\n",
    "tabs": b"base: trap-base\nbatching:\n\tmode: mixed\n",
    "indentation": b"base: trap-base\n  horizon_s: 60\n",
    "colon": b"base: trap-base: day\n",
    "two-documents": b"base: trap-base\n---\nbase: trap-base\n",
    "duplicate-keys": b"base: trap-base\nhorizon_s: 600\nhorizon_s: 900\n",
    "python-object": b"base: !!python/object/apply:os.system ['echo owned']\n",
    "python-name": b"base: trap-base\nname: !!python/name:os.system\n",
    "unknown-tag": b"base: !secret trap-base\n",
    "binary-tag": b"base: trap-base\nname: !!binary aGVsbG8=\n",
    "set-tag": b"base: trap-base\nmodels: !!set {llama-2-70b}\n",
    "undefined-alias": b"base: trap-base\nbatching: *nothing\n",
    "recursive-alias": b"base: trap-base\nbatching: &a\n  mode: *a\n",
    "recursive-list": b"base: trap-base\nmodels: &a [*a]\n",
    "recursive-top": b"&a\nbase: trap-base\nlifecycle: *a\n",
    "bomb": (
        b"a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        + b"".join(
            b"a%d: &a%d [%s]\n" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 12)
        )
        + b"base: trap-base\nmodels: *a11\n"
    ),
    "bomb-in-a-value": (
        b"base: trap-base\nmodels:\n  - &a0 [x, x, x, x, x, x, x, x, x]\n"
        + b"".join(
            b"  - &a%d [%s]\n" % (i, b", ".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 12)
        )
    ),
    "bomb-first": (
        b"base: trap-base\nmodels: ["
        + b"".join(b"&a%d [" % i for i in range(11))
        + b"x"
        + b"".join(
            b", %s]" % b", ".join([b"y" if i == 11 else b"*a%d" % i] * 9) for i in range(11, 0, -1)
        )
        + b"]\n"
    ),
    "deep": b"base: trap-base\nmodels: " + b"[" * 3000 + b"]" * 3000 + b"\n",
    "long-key": b"base: trap-base\n? " + b"k" * 5000 + b"\n: 1\n",
    "long-number": b"base: trap-base\ninitial_instances: " + b"9" * 6000 + b"\n",
    "huge-count": b"base: trap-base\ninitial_instances: 99999999999999999999999\n",
    "huge-float": b"base: trap-base\nhorizon_s: " + b"9" * 400 + b"\n",
    "merge-of-nothing": b"base: trap-base\n<<: 3\n",
    "key-list": b"base: trap-base\n? [a, b]\n: 1\n",
    "key-number": b"base: trap-base\n1: 2\n",
    "key-null": b"base: trap-base\n~: 2\n",
    "key-nul": b'base: trap-base\n"\\0": 2\n',
    "misspelt": b"base: trap-base\nhorizonn_s: 60\n",
    "newline-in-a-value": b'base: "trap-base\\n\\nx"\n',
    "timestamp": b"base: 2023-11-16\n",
    "bytes": bytes(range(256)),
    "utf16": "base: trap-base\n".encode("utf-16"),
    "latin1": b"base: trap-base\nname: caf\xe9\n",
    "control": b"base: trap-base\nname: \x07\x1b[31m\n",
    "json-cut": b'{"base": "trap-base", "horizon_s": ',
    "half-a-scenario": b"description: half\n",
    "directive": b"%YAML 9.9\n---\nbase: [trap-base\n",
    "csv": b"arrival_s,prompt_tokens,output_tokens\n0,1,1\n",
}


def lines() -> Iterator[str]:
    """Yield one wrong line each."""
    for key in NUMBERS:
        for value in WRONG_FOR_NUMBERS:
            yield key.replace("%", value) if "%" in key else f"{key}: {value}"
    for key in COUNTS:
        for value in WRONG_FOR_COUNTS:
            yield key.replace("%", value) if "%" in key else f"{key}: {value}"
    for part in PARTS:
        for value in WRONG_PARTS:
            yield f"{part}: {value}"
    yield from VALUES


def every() -> dict[str, Content]:
    """Return all malformed scenario files by name."""
    made: dict[str, Content] = {f"{name}.yaml": content for name, content in FILES.items()}
    made["folder.yaml"] = None
    for number, line in enumerate(lines()):
        base = "" if line.startswith("base:") else "base: trap-base\n"
        made[f"line-{number}.yaml"] = f"{base}{line}\n".encode()
    return made
