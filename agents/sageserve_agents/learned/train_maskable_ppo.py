"""Train `maskable-ppo`: PPO on changes of -2 to +2 instances, impossible ones masked."""

from __future__ import annotations

from sb3_contrib import MaskablePPO

from sageserve_agents.learned.run import Run
from sageserve_agents.learned.sb3 import learn, make_vec, prepare


def train(run: Run) -> None:
    """Train in the run's folder."""
    prepare(run)
    vec = make_vec(run, "discrete")
    keywords = dict(run.args.policy)
    model = MaskablePPO(
        "MlpPolicy",
        vec,
        policy_kwargs=keywords,
        seed=run.args.seed,
        device="cpu",
        **run.args.algorithm,
    )
    vec.seed(run.args.seed)
    learn(run, model, vec, {"keywords": keywords})
    vec.close()
