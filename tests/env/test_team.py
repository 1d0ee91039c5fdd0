"""Threads that work for many environments."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from sageserve_env.env import SageServeEnv
from sageserve_env.kernels.several import (
    AWAY,
    LINE,
    NOBODY,
    RUNNING,
    WAITING,
    WORKING,
    Crew,
    begin_work,
    build_crew,
    serve,
    step_one,
    still_working,
)
from sageserve_env.team import Team

N = 5


def build(n: int = N) -> list[SageServeEnv]:
    envs = [SageServeEnv(scenario="trap-base", horizon_s=1800.0) for _ in range(n)]
    for i, env in enumerate(envs):
        env.reset(seed=i)
    return envs


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_a_team_steps_each_environment_once_and_as_it_would_itself(threads: int) -> None:
    alone, envs = build(), build()
    team = Team(envs, threads)
    actions = [np.zeros(env.action_space.shape or (), np.float32) for env in envs]
    for step in range(4):
        which = np.flatnonzero(np.arange(N) != step)  # one stands still
        observed = {}
        team.step(which, actions, lambda i, o=observed: o.__setitem__(i, envs[i].end_step()[0]))
        assert sorted(observed) == which.tolist()
        for i in which:
            np.testing.assert_array_equal(observed[int(i)], alone[i].step(actions[i])[0])
    team.close()


def test_no_environment_takes_no_step() -> None:
    envs = build(1)
    team = Team(envs, 2)
    team.step(np.zeros(0, np.int64), [None], lambda i: pytest.fail("nobody steps"))
    assert envs[0].simulator.time_s == 0.0


def test_an_error_in_one_reaches_the_caller() -> None:
    def work(i: int) -> None:
        if i == 3:
            raise ValueError("not this one")

    team = Team(build(1), 3)
    with pytest.raises(ValueError, match="not this one"):
        team.each(work, range(6))
    team.close()


def test_after_an_error_in_a_report_the_next_step_is_as_ever() -> None:
    envs = build()
    team = Team(envs, 2)
    actions = [np.zeros(env.action_space.shape or (), np.float32) for env in envs]

    def report(i: int) -> None:
        envs[i].end_step()
        if i == 2:
            raise ValueError("not this one")

    with pytest.raises(ValueError, match="not this one"):
        team.step(np.arange(N), actions, report)
    ended = [env.simulator.time_s for env in envs]
    assert ended[2] > 0.0
    team.close()


def crew_of(envs: list[SageServeEnv], threads: int, until_s: float = 1.0) -> Crew:
    """Return a crew that is to step all of some environments, the last one first."""
    n = len(envs)
    crew = build_crew(n, threads)
    crew.handles[:] = [[a.address for a in env.step_arrays] for env in envs]
    crew.form[:] = [env.begin_step(np.zeros(env.action_space.shape or ())) for env in envs]
    crew.order[:], crew.length[0] = np.arange(n)[::-1], n
    crew.status[:], crew.until_s[:] = RUNNING, until_s
    return crew


@pytest.mark.compiled
def test_no_two_threads_take_the_same() -> None:
    n, threads = 40, 4
    envs = build(n)
    crew = crew_of(envs, threads)
    found: list[int] = []

    def work(me: int) -> None:
        while (i := step_one(crew, me, 0)) != NOBODY:
            found.append(i)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(found) == list(range(n))
    assert (crew.status != RUNNING).all()
    assert (crew.taken == 1).all()


@pytest.mark.compiled
def test_a_thread_takes_its_own_first_then_the_last_of_others_which_stay_its_own() -> None:
    envs = build(5)
    crew = crew_of(envs, 2)  # order 4 3 2 1 0
    crew.by[:] = [0, 1, 0, 1, 0]
    assert [step_one(crew, 1, 0) for _ in range(4)] == [3, 1, 0, 2]
    np.testing.assert_array_equal(crew.by, [1, 1, 1, 1, 0])


@pytest.mark.compiled
def test_a_thread_leaves_the_rest_to_others() -> None:
    envs = build(3)
    crew = crew_of(envs, 2)
    crew.by[:] = 0
    assert [step_one(crew, 0, 2), step_one(crew, 0, 2)] == [2, NOBODY]
    assert step_one(crew, 0, 0) == 1


@pytest.mark.compiled
def test_a_thread_that_has_waited_in_vain_has_to_be_called() -> None:
    envs = build(2)
    crew = crew_of(envs, 2)
    assert not begin_work(crew, 1)  # nobody is there
    assert crew.duty[LINE] == WORKING and still_working(crew) == 1
    serve(crew, 1)
    assert crew.duty[LINE] == AWAY and still_working(crew) == 0
    assert (crew.status != RUNNING).all()
    crew.duty[LINE] = WAITING
    assert begin_work(crew, 1)
    assert crew.duty[LINE] == WORKING
