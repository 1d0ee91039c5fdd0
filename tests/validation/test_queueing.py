"""The theory against what is known of it, and the checks on a small sample."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sageserve_cli.cli import run
from sageserve_validation.fidelity import queueing, theory


@pytest.mark.parametrize("load", [0.3, 0.8, 0.95])
def test_one_deterministic_server_is_pollaczek_khinchine(load: float) -> None:
    expected = theory.mg1_wait_s(load, 1.0, 1.0)
    assert theory.mdn_wait_s(load, 1.0, 1) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("servers", "load"), [(2, 0.8), (5, 0.9)])
def test_many_deterministic_servers_equal_their_recursion(servers: int, load: float) -> None:
    """Kiefer and Wolfowitz: each customer takes the server that is free first."""
    rng = np.random.default_rng(servers)
    gaps = rng.exponential(1.0 / (load * servers), 400_000)
    free = np.zeros(servers)
    now = total = 0.0
    for gap in gaps:
        now += gap
        first = int(free.argmin())
        start = max(now, free[first])
        total += start - now
        free[first] = start + 1.0
    expected = theory.mdn_wait_s(load * servers, 1.0, servers)
    assert total / len(gaps) == pytest.approx(expected, rel=0.03)


def test_priorities_conserve_the_work() -> None:
    rates, means, squares = [0.2, 0.3], [1.0, 1.5], [2.0, 3.0]
    waits = theory.mg1_priority_waits_s(rates, means, squares)
    loads = [r * m for r, m in zip(rates, means, strict=True)]
    square = sum(r * q for r, q in zip(rates, squares, strict=True))
    overall = theory.mg1_wait_s(1.0, sum(loads), square)
    # Kleinrock's conservation law: the load-weighted waits are those of FCFS.
    weighted = sum(p * w for p, w in zip(loads, waits, strict=True)) / sum(loads)
    assert weighted == pytest.approx(overall)
    assert waits[0] < waits[1]


def test_an_overloaded_queue_has_no_mean_wait() -> None:
    with pytest.raises(ValueError, match="load"):
        theory.mdn_wait_s(2.0, 1.0, 2)


def test_checks_pass_on_a_small_sample(tmp_path: Path) -> None:
    path = tmp_path / "queueing.json"
    code = run(["fidelity", "queueing", "--samples", "200000", "--json", str(path)])
    report = json.loads(path.read_text())
    assert len(report["checks"]) == 11
    assert code == 0 and report["passed"]


def test_a_check_fails_when_it_is_off() -> None:
    assert not queueing.Check("x", "y", 1.1, 1.0).passed
    assert not queueing.Check("x", "y", 1.1, 1.0, half_width=0.05).passed
    assert queueing.Check("x", "y", 1.1, 1.0, half_width=0.2).passed
    assert queueing.Check("x", "y", 1.01, 1.0).passed
