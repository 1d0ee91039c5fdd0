"""Improve a policy by random edits: change one number, score the file, keep what is better.

The same loop with a language model in place of `edited` is what OpenEvolve and its like do.

    python examples/improve_policy.py examples/policy.py --scenario tiny --output best.py
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path

import numpy as np

from sageserve_bench import evaluate

NUMBER = re.compile(r"^([A-Z_]+ = )([\d.]+)", re.MULTILINE)


def edited(source: str, rng: np.random.Generator) -> str:
    """Return a policy with one of its constants multiplied by a random factor."""
    places = list(NUMBER.finditer(source))
    place = places[rng.integers(len(places))]
    value = float(place[2]) * np.exp(rng.normal(0.0, 0.4))
    return f"{source[: place.start()]}{place[1]}{value:.4g}{source[place.end() :]}"


def improve(start: Path, scenario: str, trials: int, seeds: int, seed: int) -> tuple[str, float]:
    """Return the best source that was found, and its score."""
    rng = np.random.default_rng(seed)
    best = start.read_text(encoding="utf-8")
    if not NUMBER.search(best):
        raise ValueError(f"{start}: no line such as NAME = 1.5, whose number could be changed")
    score = evaluate(start, scenario=scenario, seeds=seeds).score
    print(f"start: {score:.4f}")
    with tempfile.TemporaryDirectory() as folder:
        candidate = Path(folder) / "candidate.py"
        for trial in range(1, trials + 1):
            source = edited(best, rng)
            candidate.write_text(source, encoding="utf-8")
            found = evaluate(candidate, scenario=scenario, seeds=seeds)
            if found.score > score:
                best, score = source, found.score
                print(f"trial {trial}: {score:.4f}")
    return best, score


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Improve a policy by random edits.")
    parser.add_argument("policy", type=Path, help="file to start from")
    parser.add_argument("--scenario", default="tiny")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=1, help="validation seeds per score")
    parser.add_argument("--seed", type=int, default=0, help="of the edits")
    parser.add_argument("--output", type=Path, default=Path("best_policy.py"))
    words = parser.parse_args()
    if words.output.is_dir():
        parser.error(f"--output: {words.output} is a folder, name a file")
    try:
        words.output.parent.mkdir(parents=True, exist_ok=True)
        source, score = improve(words.policy, words.scenario, words.trials, words.seeds, words.seed)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    words.output.write_text(source, encoding="utf-8")
    print(f"best: {score:.4f}, in {words.output}")
