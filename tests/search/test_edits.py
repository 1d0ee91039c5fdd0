"""Edits of a plan."""

from __future__ import annotations

import numpy as np

from sageserve_agents import make_agent
from sageserve_env.scenario import Scenario, load_scenario
from sageserve_search.headroom.edits import KINDS, Editor, Place, stretch
from sageserve_search.headroom.playing import Day


def short() -> Scenario:
    return load_scenario("trap-base").replace(horizon_s=1800.0, decision_interval_s=300.0)


def test_edits_stay_in_their_place_and_within_the_inventory() -> None:
    scenario = load_scenario("global-day").replace(horizon_s=7200.0)
    day = Day(scenario, 0)
    _, plan = day.play_agent(make_agent("static:instances=2"))
    day.close()
    rng = np.random.default_rng(1)
    place = Place(2, 5, 9)
    own = [e for e, p in enumerate(scenario.endpoints) if p.model == scenario.models[2]]
    for knob, kinds in KINDS:
        for kind in kinds:
            changed = plan.copy()
            for _ in range(20):
                kind(Editor(scenario, rng, [plan]), changed, place)
            for name, array in changed.arrays.items():
                before = plan.arrays[name]
                same = np.ones(len(plan), dtype=bool)
                same[place.start : place.stop] = False
                assert (array[same] == before[same]).all(), (knob, name)
                if name in ("instances", "niw_release"):
                    assert (np.delete(array, own, axis=1) == np.delete(before, own, axis=1)).all()
            counts = changed.arrays["instances"]
            assert (counts >= 0).all()
            for r in range(len(scenario.regions)):
                here = [
                    e
                    for e, p in enumerate(scenario.endpoints)
                    if p.region == scenario.region_names[r]
                ]
                was = np.maximum(
                    plan.arrays["instances"][:, here].sum(axis=1), scenario.inventory[r]
                )
                assert (counts[:, here].sum(axis=1) <= was).all()
            changed.action(5).validate(scenario)


def test_a_change_of_counts_moves_by_a_step_or_two_within_its_place() -> None:
    day = Day(short(), 3)
    _, plan = day.play_agent(make_agent("static:instances=2"))
    day.close()
    counts = plan.arrays["instances"]
    counts[3:] += 1
    before, seen = counts.copy(), set()
    for seed in range(40):
        counts[:] = before
        stretch(Editor(day.scenario, np.random.default_rng(seed)), plan, Place(0, 1, 6))
        changed = np.flatnonzero((counts != before).any(axis=(1, 2)))
        assert (counts[[0, *range(6, len(counts))]] == before[[0, *range(6, len(counts))]]).all()
        seen.add(tuple(map(int, changed)))
    assert seen == {(1, 2), (2,), (3,), (3, 4)}


def test_kinds_of_edits_are_drawn_by_their_weight() -> None:
    day = Day(short(), 3)
    _, plan = day.play_agent(make_agent("static:instances=4"))
    day.close()
    kept = KINDS[0][1][0]
    editor = Editor(day.scenario, np.random.default_rng(0), weight=lambda kind: kind is kept)
    assert {editor.edit(plan.copy(), Place(0, 0, 2)) for _ in range(20)} == {kept}
