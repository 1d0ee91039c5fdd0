"""Learn from recorded decisions: the best of several teachers on each day, cloned by a network.

    python examples/imitate.py --teachers kpa,hpa,ilp --days 24 --output results/imitate

Each teacher plays the same training days; of each day the episode with the best return is kept,
and a network learns to decide as its teacher did. It sees the traffic only: with the fleet among
what it sees it would learn to leave the fleet as it is. decisions.npz (observations, instances,
returns, teachers) and evaluate.json (clone and teachers on test days) are in the output folder.
With --minari ID all episodes are kept as a Minari dataset (pip install 'minari[create,hdf5]').
"""

import argparse
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

import sageserve_env  # noqa: F401
from sageserve_agents import make_agent
from sageserve_agents.playing import begin

FORM = {"action_mode": "structured", "targets": "absolute"}  # instances as they are asked for
TRAFFIC = ("requests_", "load_", "output_", "day_")  # in the names of what does not depend on us
FIGURES = ("reward", "cost_usd", "slo_iwf")


class Clone:
    """A network from an observation to instances, with the observations scaled."""

    def __init__(self, names: list[str], seen: np.ndarray, done: np.ndarray, epochs: int) -> None:
        torch.manual_seed(0)
        self.used = np.array([any(word in name for word in TRAFFIC) for name in names])
        seen = seen[:, self.used]
        self.mean, self.spread = seen.mean(axis=0), seen.std(axis=0) + 1e-3
        self.shape = done.shape[1:]
        size = int(np.prod(self.shape))
        self.net = torch.nn.Sequential(
            torch.nn.Linear(seen.shape[1], 128), torch.nn.Tanh(), torch.nn.Linear(128, size)
        )
        x = torch.tensor((seen - self.mean) / self.spread, dtype=torch.float32)
        y = torch.tensor(done.reshape(len(done), size), dtype=torch.float32)
        optimiser = torch.optim.Adam(self.net.parameters(), lr=2e-3)
        for _ in range(epochs):
            for batch in torch.randperm(len(x)).split(256):
                loss = torch.nn.functional.mse_loss(self.net(x[batch]), y[batch])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()

    def __call__(self, observation: np.ndarray) -> dict[str, np.ndarray]:
        """Decide."""
        x = (observation[self.used] - self.mean) / self.spread
        with torch.no_grad():
            wanted = self.net(torch.tensor(x, dtype=torch.float32)).numpy().reshape(self.shape)
        return {"instances": np.maximum(np.rint(wanted), 0).astype(np.int64)}


def play(env: gym.Env, seed: int, decide: Any) -> tuple[list, list, dict[str, float]]:
    """Play a day; return observations, instances and figures. ``decide`` is a clone or an agent."""
    observation, _ = env.reset(seed=seed)
    core, truncated = env.unwrapped, False
    seen, done = [], []
    if not isinstance(decide, Clone):
        begin(core, decide)
    while not truncated:
        if isinstance(decide, Clone):
            action = decide(observation)
        else:
            action = {"instances": np.asarray(decide.act(core.view()).instances, np.int64)}
        box = env.action_space["instances"]
        action["instances"] = np.clip(action["instances"], box.low, box.high)
        seen.append(observation)
        done.append(action["instances"])
        observation, _, _, truncated, _ = env.step(action)
    return seen, done, {name: float(core.episode_metrics()[name]) for name in FIGURES}


def main() -> None:
    """Record, clone, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", default="SageServe-Tiny-v1")
    parser.add_argument("--teachers", default="kpa,hpa,ilp")
    parser.add_argument("--days", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--test-days", type=int, default=4)
    parser.add_argument("--minari", help="id of a dataset, such as sageserve/tiny-v0")
    parser.add_argument("--output", type=Path, default=Path("results/imitate"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        env = gym.make(args.env, **FORM)
        scenario = env.unwrapped.scenario
        teachers = {name: make_agent(name, scenario=scenario) for name in args.teachers.split(",")}
        args.output.mkdir(parents=True, exist_ok=True)
    except (gym.error.Error, OSError, ValueError) as error:
        parser.error(str(error))
    if args.minari:
        import minari

        env = minari.DataCollector(env)
    days = [{n: play(env, d, t) for n, t in teachers.items()} for d in range(args.days)]
    if args.minari:
        env.create_dataset(dataset_id=args.minari, algorithm_name=args.teachers)
    best = [max(day, key=lambda name: day[name][2]["reward"]) for day in days]
    kept = [day[name] for day, name in zip(days, best, strict=True)]
    seen, done = (np.concatenate([np.array(day[i]) for day in kept]) for i in (0, 1))
    returns = [day[2]["reward"] for day in kept]
    np.savez(args.output / "decisions.npz", seen=seen, done=done, returns=returns, teachers=best)
    rows = {}
    clone = Clone(list(env.unwrapped.observation_names), seen, done, args.epochs)
    for name, decide in {"clone": clone, **teachers}.items():
        figures = [play(env, 2000 + day, decide)[2] for day in range(args.test_days)]
        rows[name] = {key: round(float(np.mean([f[key] for f in figures])), 4) for key in FIGURES}
        print(name, rows[name], flush=True)
    (args.output / "evaluate.json").write_text(json.dumps(rows, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
