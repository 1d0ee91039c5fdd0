"""Starts by boot and bandwidth, labels that fade, models that are kept somewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sageserve_env._config import ScenarioError
from tests.simulator.small import scenario, simulator, targets

BOOT = {"jitter": 0.0, "boot_s": 30.0, "load_gb_per_s": 0.25, "spot_same_model_s": 3.0}


def test_a_start_takes_boot_and_weights_over_bandwidth() -> None:
    of = scenario(vms=2, lifecycle=BOOT)  # the small model has 1 GB: 30 + 1 / 0.25 = 34 s
    assert of.start_s.tolist() == [[34.0]]
    sim = simulator(of, [])
    targets(sim, 2)
    assert sim.view().pending_ready_s.tolist() == [[34.0]]
    sim.advance(33.9)
    assert sim.view().active.tolist() == [[1]]
    sim.advance(34.1)
    assert sim.view().active.tolist() == [[2]]


def test_models_of_other_sizes_take_other_times() -> None:
    small = scenario(models=("m", "n"), vms=4, lifecycle=BOOT, initial_instances=0)
    big = small.custom_models[1]
    bigger = type(big)("n", 20e9, 1.0, 100_000, big.profiles, big.kv_pool_bytes)
    sim = simulator(small.replace(custom_models=(small.custom_models[0], bigger)), [])
    targets(sim, 1, 1)
    assert sim.view().pending_ready_s[:, 0].tolist() == [34.0, 30.0 + 20 / 0.25]


def test_a_vm_that_still_holds_the_model_is_back_at_once_while_it_does() -> None:
    sim = simulator(scenario(vms=2, lifecycle=BOOT), [])
    targets(sim, 2)
    sim.advance(40.0)
    targets(sim, 1)
    assert sim.view().spot_vms.tolist() == [[[1]]]
    targets(sim, 2)
    assert sim.view().pending_ready_s.tolist() == [[3.0]]


def fading(seed: int = 0, vms: int = 400) -> Any:
    life = {**BOOT, "label_half_life_s": 600.0}
    sim = simulator(scenario(vms=vms, initial_instances=vms, lifecycle=life), [], seed=seed)
    targets(sim, 0)
    return sim


def test_labels_fade_with_their_half_life_and_the_vms_stay_free() -> None:
    sim = fading()
    assert sim.view().spot_vms.sum() == 400
    for half_lives in (1, 2, 3):
        sim.advance(600.0 * half_lives)
        view = sim.view()
        assert abs(view.spot_vms.sum() - 400 / 2**half_lives) < 40
        assert view.spot_vms.sum() + view.idle_vms.sum() == 400
        sim.check_invariants()
    assert sim.totals().spot_hours == pytest.approx(400 * 0.5)  # donated all the time
    labelled = int(sim.view().spot_vms.sum())
    targets(sim, 400)
    ready = sim.state.vm["event_s"] - sim.time_s
    assert (np.isclose(ready, 3.0)).sum() == labelled
    assert (np.isclose(ready, 34.0)).sum() == 400 - labelled


def test_fading_is_seeded() -> None:
    one, same, other = fading(1, 50), fading(1, 50), fading(2, 50)
    for sim in (one, same, other):
        sim.advance(500.0)
    assert (one.state.vm["fade_s"] == same.state.vm["fade_s"]).all()
    assert (one.state.vm["fade_s"] != other.state.vm["fade_s"]).any()


def test_without_a_half_life_labels_stay() -> None:
    sim = simulator(scenario(initial_instances=4), [])
    targets(sim, 0)
    sim.advance(150_000.0)
    assert sim.view().spot_vms.sum() == 4


def test_a_model_is_kept_somewhere() -> None:
    of = scenario(vms=3, regions=("west", "east"), models=("m", "n"), min_per_model=1)
    sim = simulator(of, [])
    targets(sim, 0, 1, 0, 0)
    assert sim.view().target[:, 0].tolist() == [0, 1, 1, 0]  # n stays where it stands first
    targets(sim, 2, 0, 0, 3)
    assert sim.view().target[:, 0].tolist() == [2, 0, 0, 3]
    sim.advance(2000.0)
    targets(sim, 0, 0, 0, 0)
    assert sim.view().target[:, 0].tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("life", "message"),
    [
        ({"boot_s": 3.0}, "go together"),
        ({"load_gb_per_s": 3.0}, "go together"),
        ({"boot_s": 1.0, "load_gb_per_s": 0.0}, "load_gb_per_s: expected"),
        ({"label_half_life_s": 0.0}, "label_half_life_s: expected"),
    ],
)
def test_starts_that_make_no_sense(life: dict[str, float], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        scenario(lifecycle=life)
