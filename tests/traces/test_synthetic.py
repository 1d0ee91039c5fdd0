"""`SyntheticTrace`: determinism, moments, and one law for stream and history."""

from __future__ import annotations

import dataclasses
import pickle
from dataclasses import replace

import numpy as np
import pytest

from sageserve_traces import (
    TRAFFIC,
    RequestTrace,
    SyntheticTrace,
    TraceError,
    TraceSource,
    latents,
    row_kernels,
)
from sageserve_traces.o365 import O365
from sageserve_traces.traffic import clipped_lognormal_moments

# Requests, first arrivals and prompt tokens of the first ten minutes of seed 0.
GOLDEN = (7355, [0.025310997558589676, 0.0665000560520923], 44286502)


def joined(source: SyntheticTrace, **options: float) -> RequestTrace:
    chunks = list(source.chunks(**options))
    columns = ("arrival_s", "model", "region", "tier", "prompt_tokens", "output_tokens")
    return RequestTrace(
        *(np.concatenate([getattr(c, name) for c in chunks]) for name in columns),
        models=source.models,
        regions=source.regions,
        tiers=source.tiers,
        duration_s=source.duration_s,
    )


@pytest.fixture(scope="module")
def day() -> RequestTrace:
    return joined(SyntheticTrace(2001, start_weekday=2))


def test_same_seed_same_requests_other_seed_other() -> None:
    first, again, other = (joined(SyntheticTrace(s, days=0.05)) for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_golden_requests() -> None:
    """The stream of a seed is part of the published results: a change needs a new version."""
    trace = joined(SyntheticTrace(0, days=600 / 86400, start_weekday=0))
    assert len(trace) == GOLDEN[0]
    assert trace.arrival_s[:2] == pytest.approx(GOLDEN[1], abs=1e-9)
    assert int(trace.prompt_tokens.sum()) == GOLDEN[2]


@pytest.mark.parametrize("n", [1, 2, 1000])
def test_order_by_time_is_that_of_a_stable_sort(n: int) -> None:
    rng = np.random.default_rng(n)
    spread = rng.random(n) * 600.0
    tied = np.round(spread / 60.0) * 59.0
    together = 100.0 + rng.random(n) * 1e-9  # all in one bucket
    for times in (spread, tied, together, np.full(n, np.nextafter(600.0, 0.0))):
        expected = np.argsort(times, kind="stable")
        np.testing.assert_array_equal(row_kernels._by_time(times, 600.0), expected)


def test_chunking_and_starting_late_change_nothing() -> None:
    source = SyntheticTrace(3, days=0.1)
    whole = joined(source)
    assert joined(source, max_requests=37) == whole
    late = joined(source, start_s=1234.5)
    assert np.array_equal(late.arrival_s, whole.arrival_s[whole.arrival_s >= 1234.5])
    assert late.prompt_tokens[-1] == whole.prompt_tokens[-1]


def test_a_longer_trace_continues_a_shorter_one() -> None:
    short, long = (joined(SyntheticTrace(3, days=d, start_weekday=0)) for d in (0.03, 0.06))
    assert np.array_equal(short.arrival_s, long.arrival_s[: len(short)])


def test_the_start_hour_moves_the_window_not_the_day() -> None:
    day0 = joined(SyntheticTrace(3, days=0.1, start_weekday=1))
    late = joined(SyntheticTrace(3, days=0.05, start_weekday=1, start_hour_utc=0.25))
    expected = day0.arrival_s[(day0.arrival_s >= 900) & (day0.arrival_s < 900 + 4320)] - 900
    assert late.arrival_s == pytest.approx(expected, abs=1e-9)


def test_sorted_inside_the_day_with_the_expected_number(day: RequestTrace) -> None:
    assert (np.diff(day.arrival_s) >= 0).all()
    assert day.arrival_s[-1] < 86400
    expected = SyntheticTrace(0, start_weekday=2).expected_requests
    assert expected == pytest.approx(14.1 * 86400)
    assert len(day) == pytest.approx(expected, rel=0.25)


def test_a_week_has_seven_million_requests() -> None:
    assert SyntheticTrace(0, days=7).expected_requests == pytest.approx(7.2e6, rel=0.03)
    assert SyntheticTrace(0, days=7, scale=9.7).expected_requests / 7 == pytest.approx(
        10e6, rel=0.03
    )


def test_tokens_follow_the_lognormals(day: RequestTrace) -> None:
    for rows, mu in ((day.tier < 2, 8.06), (day.tier == 2, 7.7)):
        logs = np.log(day.prompt_tokens[rows])
        assert logs.mean() == pytest.approx(mu, abs=0.02)
        assert logs.std() == pytest.approx(1.18, abs=0.02)
    assert np.median(day.output_tokens) == pytest.approx(np.exp(4.54), rel=0.02)
    assert (day.prompt_tokens.max(), day.output_tokens.max()) == (128_000, 4096)
    assert abs(np.corrcoef(day.prompt_tokens, day.output_tokens)[0, 1]) < 0.01


def test_shares_of_tiers_and_regions(day: RequestTrace) -> None:
    interactive = day.tier < 2
    assert (day.tier[interactive] == 0).mean() == pytest.approx(0.8, abs=0.005)
    west = (day.region[interactive] == 0).mean()
    assert west == pytest.approx(0.44, abs=0.08)


def test_gaps_inside_a_minute_have_the_cv_of_the_class(day: RequestTrace) -> None:
    for rows, low, high in ((day.tier < 2, 1.0, 1.25), (day.tier == 2, 2.0, 3.4)):
        cvs = []
        for model in range(3):
            times = day.arrival_s[rows & (day.model == model)]
            same = np.diff(np.floor(times / 60)) == 0
            count = np.bincount((times // 60).astype(int), minlength=1440)
            minute = (times[1:] // 60).astype(int)
            gaps = np.diff(times)[same] * count[minute[same]] / 60  # in mean gaps of the minute
            cvs.append(gaps.std() / gaps.mean())
        assert low < np.mean(cvs) < high


def test_every_random_factor_has_mean_one() -> None:
    days = [latents.day_rates(O365, seed, 0, 2, 1.0) for seed in range(150)]
    mean = np.mean([d.mean(axis=0) for d in days], axis=0).sum(axis=2) / 60
    assert mean == pytest.approx(O365.base_rps, rel=0.1)
    assert mean.sum() == pytest.approx(O365.base_rps.sum(), rel=0.03)


def test_days_differ() -> None:
    totals = np.array(
        [latents.day_rates(O365, seed, 0, 2, 1.0)[:, 0, 0].sum() for seed in range(60)]
    )
    assert 0.06 < totals.std() / totals.mean() < 0.25


def test_latents_do_not_depend_on_the_order_of_days() -> None:
    first = latents.day_rates(O365, 5, -3, 1, 1.0)
    latents.day_rates(O365, 5, 2, 1, 1.0)
    assert np.array_equal(first, latents.day_rates(O365, 5, -3, 1, 1.0))


def test_slow_factor_goes_on_over_midnight() -> None:
    jumps = [
        abs(np.log(latents._slow(O365, s, 1)[0] / latents._slow(O365, s, 0)[-1])).mean()
        for s in range(40)
    ]
    inside = [abs(np.diff(np.log(latents._slow(O365, s, 0)), axis=0)).mean() for s in range(40)]
    assert np.mean(jumps) == pytest.approx(np.mean(inside), rel=0.25)


def test_mix_changes_keep_the_total_and_day_zero_is_the_base() -> None:
    for fortnight in (-2, -1, 0, 1):
        for seed in range(20):
            at, matrix = latents._mix_event(O365, seed, fortnight)
            assert 14 * 1440 * fortnight <= at < 14 * 1440 * (fortnight + 1)
            assert matrix.sum(axis=1) == pytest.approx(1.0)
            assert (matrix >= 0).all()


def test_history_ends_at_time_zero_and_is_kept() -> None:
    source = SyntheticTrace(4, history_days=2)
    history = source.history(3600.0)
    assert (history.start_s, history.end_s, len(history)) == (-2 * 86400.0, 0.0, 48)
    assert source.history(3600.0) is history
    minutes = SyntheticTrace(4, history_days=1).history(60.0)
    assert np.allclose(minutes.rebin(3600.0).requests, history.requests[24:])
    assert len(source.history(3600.0, 7200.0)) == 50
    with pytest.raises(TraceError, match="whole minutes"):
        source.history(30.0)


@pytest.mark.compiled
def test_history_and_stream_have_one_law() -> None:
    """Six seeds' Wednesday, once as history and once as stream: the same moments."""
    past, stream = [], []
    for seed in range(6):
        past.append(SyntheticTrace(seed, start_weekday=3, history_days=1).history(3600.0))
        stream.append(SyntheticTrace(seed + 50, start_weekday=2).demand(3600.0))
    for key in ("requests", "prompt_tokens", "output_tokens"):
        mine, its = (sum(getattr(d, key).sum() for d in ds) for ds in (past, stream))
        assert mine == pytest.approx(its, rel=0.12)


def test_token_sums_of_the_history_have_the_right_moments() -> None:
    history = SyntheticTrace(1, scale=3.0, history_days=1).history(60.0)
    n = history.requests[..., 0]
    mean, sd = clipped_lognormal_moments(8.06, 1.18, 128_000)
    z = (history.prompt_tokens[..., 0] - n * mean)[n > 20] / (sd * np.sqrt(n[n > 20]))
    assert z.mean() == pytest.approx(0, abs=0.02)
    assert z.std() == pytest.approx(1, abs=0.03)
    assert (history.output_tokens >= history.requests).all()


def test_demand_is_exactly_what_the_stream_yields() -> None:
    source = SyntheticTrace(6, days=0.1)
    trace = joined(source)
    mine, its = source.demand(600.0), trace.demand(600.0)
    assert np.array_equal(mine.requests, its.requests)
    assert np.array_equal(mine.prompt_tokens, its.prompt_tokens)


def test_token_mix_is_the_same_for_every_seed() -> None:
    first, second = SyntheticTrace(1).token_mix(0), SyntheticTrace(2000).token_mix(0)
    assert np.array_equal(first[0], second[0])
    assert len(first[0]) == 4096
    assert np.median(first[0]) == pytest.approx(np.exp(8.0), rel=0.1)


def test_materialise_keeps_everything() -> None:
    source = SyntheticTrace(1, days=0.02)
    trace = source.materialise()
    assert len(trace) == source.demand(60.0).requests.sum()
    assert np.array_equal(trace.token_mix(2)[1], source.token_mix(2)[1])


def test_defaults_and_pickle() -> None:
    weekdays = {SyntheticTrace(seed).start_weekday for seed in range(40)}
    assert weekdays == {0, 1, 2, 3, 4}
    assert SyntheticTrace(1, days=7).start_weekday == 0
    assert [SyntheticTrace(s).split for s in (0, 1000, 2999, 3000)] == [
        "train",
        "validation",
        "test",
        "custom",
    ]
    source = SyntheticTrace(5, days=0.5, scale=2.0, history_days=1)
    source.history(3600.0)
    assert pickle.loads(pickle.dumps(source)) == source
    assert isinstance(source, TraceSource)
    assert source.content_hash != replace(source, scale=1.0).content_hash


@pytest.mark.parametrize(
    "options",
    [
        {"seed": -1},
        {"seed": 1.5},
        {"days": 0},
        {"scale": -1},
        {"scale": float("nan")},
        {"start_weekday": 7},
        {"start_hour_utc": 24},
        {"start_hour_utc": 0.001},
    ],
)
def test_bad_parameters(options: dict) -> None:
    with pytest.raises(TraceError, match="o365"):
        SyntheticTrace(**{"seed": 0, **options})


def test_another_workload_has_its_own_models_regions_and_tokens() -> None:
    trace = joined(SyntheticTrace(1, days=0.25, start_weekday=1, workload="global"))
    law = TRAFFIC["global"]
    assert trace.models == law.models and trace.regions == law.regions
    chat = trace.prompt_tokens[(trace.model == 0) & (trace.tier < 2)]
    assert np.log(np.median(chat)) == pytest.approx(law.prompt_mu[0, 0], abs=0.05)
    same, other = SyntheticTrace(1, workload="global"), SyntheticTrace(1, workload="global-flash")
    assert len({same.content_hash, other.content_hash, SyntheticTrace(1).content_hash}) == 3


def test_continents_are_busy_at_their_own_hours() -> None:
    days = [latents.day_rates(TRAFFIC["global"], s, 0, 2, 1.0)[:, 0, 0] for s in range(20)]
    hours = np.mean(days, axis=0).reshape(24, 60, 3).mean(axis=1)
    america, europe, asia = np.argmax(hours, axis=0)
    assert (america - europe) % 24 in {6, 7, 8} and (asia - america) % 24 in {9, 10, 11}


def test_flash_crowds_multiply_interactive_traffic_of_one_model_in_one_region() -> None:
    law = dataclasses.replace(TRAFFIC["global-flash"], jobs_per_day=0)
    laws = dataclasses.replace(law, flash_per_day=0.0), law
    calm, flash = (latents.day_rates(law, 3, 0, 2, 1.0) for law in laws)
    ratio = flash / calm
    assert (ratio[:, 1] == 1).all()
    touched = ratio[:, 0] > 1
    assert 0 < touched.mean() < 0.05 and (ratio[:, 0][touched] >= 3).all()
    rates = [
        latents.day_rates(laws[1], s, 0, 2, 1.0)[:, 0]
        / latents.day_rates(laws[0], s, 0, 2, 1.0)[:, 0]
        for s in range(30)
    ]
    minutes = np.mean([(r > 1).sum() for r in rates])
    assert minutes == pytest.approx(8 * 20, rel=0.25)


def scheduled(seed: int, day: int) -> np.ndarray:
    """Return the factors of scheduled jobs on a day, [minute, class, model, region]."""
    law = TRAFFIC["global-scheduled"]
    calm = dataclasses.replace(law, jobs_per_day=0)
    return latents.day_rates(law, seed, day, 2, 1.0) / latents.day_rates(calm, seed, day, 2, 1.0)


def test_scheduled_jobs_come_at_the_same_times_every_day() -> None:
    past, today, other = scheduled(3, -4), scheduled(3, 0), scheduled(4, 0)
    on = today[:, 0] > 1
    assert ((past[:, 0] > 1) == on).all()
    assert ((other[:, 0] > 1) != on).any()
    assert (today[:, 1] == 1).all()
    begins = np.flatnonzero(np.diff(on.any(axis=(1, 2)).astype(int)) == 1) + 1
    assert len(begins) and (begins % 15 == 0).all()


def test_jobs_bring_what_their_law_says_and_vary_from_day_to_day() -> None:
    minutes = np.mean([(scheduled(s, 0)[:, 0] > 1).mean() for s in range(30)])
    assert minutes == pytest.approx(2 * 75 / 1440, rel=0.1)
    days = np.stack([scheduled(3, d)[:, 0] for d in range(40)])
    on = days[0] > 1
    mean = (days.mean(axis=0)[on] - 1).mean()
    assert 1.0 < mean < 4.0
    assert np.log(days[:, on] - 1).std(axis=0).mean() == pytest.approx(0.2, abs=0.04)


def test_an_unknown_workload_is_refused() -> None:
    with pytest.raises(TraceError, match=r"workload 'glob' cannot be generated; known: o365"):
        SyntheticTrace(0, workload="glob")


def test_history_of_another_workload_has_its_names() -> None:
    series = SyntheticTrace(1, history_days=1, workload="global").history(3600.0)
    law = TRAFFIC["global"]
    assert series.models == law.models and series.regions == law.regions
    rate = series.requests.sum(axis=(0, 2, 3)) / 86_400
    assert rate.sum() == pytest.approx(law.base_rps.sum(), rel=0.4)


def test_other_requests_come_at_the_same_rates() -> None:
    own, other = (SyntheticTrace(7, days=0.5, workload="solo", redraw=k) for k in (0, 1))
    assert own.content_hash != other.content_hash
    assert own.history(600.0).requests.tolist() == other.history(600.0).requests.tolist()
    first, second = joined(own), joined(other)
    assert first.arrival_s[:9].tolist() != second.arrival_s[:9].tolist()
    assert len(first) == pytest.approx(len(second), rel=0.02)
