"""Threads that work for many environments."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from sageserve_env.env import SageServeEnv
from sageserve_env.kernels.several import NOBODY, address_of_step, step_several
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


@pytest.mark.compiled
def test_no_two_threads_take_the_same() -> None:
    n, threads = 40, 4
    envs = build(n)
    handles = np.array([[a.address for a in env.step_arrays] for env in envs])
    form = np.array([env.begin_step(np.zeros(env.action_space.shape or ())) for env in envs])
    status, taken = np.full(n, -9), np.zeros(1, np.int64)
    until_s = np.full(n, 1.0)
    shared = (address_of_step(), handles, np.arange(n)[::-1].copy(), form, until_s, status, taken)
    found: list[int] = []

    def work() -> None:
        while (i := step_several(*shared, 1)) != NOBODY:
            found.append(i)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(found) == list(range(n))
    assert (status != -9).all()
    assert taken[0] == n + threads
