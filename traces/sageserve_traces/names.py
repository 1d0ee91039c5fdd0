"""Default names, in the order in which the small integers of a trace refer to them."""

from typing import Final

#: Tiers of SageServe (docs/sources.md, "Paper"): interactive fast and normal, non-interactive.
TIERS: Final[tuple[str, ...]] = ("IW-F", "IW-N", "NIW")
#: Regions of the paper's traces, 0, 1, 2 in the authors' files (docs/sources.md, "Workload").
REGIONS: Final[tuple[str, ...]] = ("westus", "centralus", "eastus")
#: Models A, B, C, D of the paper (docs/sources.md, "Workload").
MODELS: Final[tuple[str, ...]] = ("llama-2-70b", "bloom-176b", "llama-3.1-8b", "llama-3.2-3b")

SECONDS_PER_HOUR: Final = 3600
SECONDS_PER_DAY: Final = 86400

#: Seeds of each split, half open.
SPLIT_SEEDS: Final[dict[str, tuple[int, int]]] = {
    "train": (0, 1000),
    "validation": (1000, 2000),
    "test": (2000, 3000),
}


def split_of_seed(seed: int) -> str:
    """Return the split (train, validation, test) that a trace seed belongs to.

    Args:
        seed: A trace seed. Seeds outside 0-2999 belong to no published split: ``"custom"``.
    """
    for split, (low, high) in SPLIT_SEEDS.items():
        if low <= seed < high:
            return split
    return "custom"
