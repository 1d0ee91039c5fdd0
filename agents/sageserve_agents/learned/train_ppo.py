"""Train `ppo`: PPO on targets per endpoint, with weights shared over endpoints.

With ``warm_start`` the network first imitates an agent (behaviour cloning), with ``lagrangian`` the
service targets are a constraint with an adapted multiplier instead of a price per miss.
"""

from __future__ import annotations

from stable_baselines3 import PPO

from sageserve_agents.learned.cloning import imitate
from sageserve_agents.learned.run import Run
from sageserve_agents.learned.sb3 import learn, make_vec, prepare
from sageserve_agents.learned.shared_policy import SharedPolicy


def train(run: Run) -> None:
    """Train in the run's folder."""
    prepare(run)
    vec = make_vec(run, "continuous")
    keywords = dict(run.args.policy)
    model = PPO(
        SharedPolicy,
        vec,
        policy_kwargs=keywords,
        seed=run.args.seed,
        device="cpu",
        **run.args.algorithm,
    )
    vec.seed(run.args.seed)
    if run.args.warm_start is not None and not run.resumed:
        imitate(run, model.policy)
    learn(run, model, vec, {"keywords": keywords})
    vec.close()
