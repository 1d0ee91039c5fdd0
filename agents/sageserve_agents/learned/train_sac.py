"""Train `sac`: soft actor-critic on targets per endpoint, off-policy."""

from __future__ import annotations

from stable_baselines3 import SAC

from sageserve_agents.learned.run import Run
from sageserve_agents.learned.sb3 import learn, make_vec, prepare


def train(run: Run) -> None:
    """Train in the run's folder; a resumed run fills its replay buffer anew."""
    prepare(run)
    vec = make_vec(run, "continuous")
    keywords = dict(run.args.policy)
    model = SAC(
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
