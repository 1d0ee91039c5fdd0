"""Checkpoints: round trip, refusal of what is no checkpoint, the shipped ones."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sageserve_agents.learned import checkpoint
from sageserve_agents.learned.checkpoint import CARD, WEIGHTS, Checkpoint
from sageserve_agents.learned.features import FEATURES
from sageserve_agents.learned.mlp import Mlp
from sageserve_agents.learned.residual import ACTIONS, ResidualEs, ResidualOptions
from sageserve_agents.registry import agent_class, list_agents, make_agent


def network(seed: int = 0) -> None:
    net = Mlp.random((len(FEATURES), 3, len(ACTIONS)), np.random.default_rng(seed))
    return net.with_vector(np.random.default_rng(seed).normal(size=net.vector().size))


def held(seed: int = 0, **card: Any) -> None:
    card = {"agent": "residual-es", "network": {"kind": "residual"}, **card}
    return Checkpoint(network(seed).arrays(), card)


def test_round_trip(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "a", held(headroom=0.5))
    read = checkpoint.load(str(tmp_path / "a"), "residual-es")
    assert read.card["headroom"] == 0.5
    for name, values in network().arrays().items():
        assert (read.arrays[name] == values).all()
    agent = make_agent(f"residual-es:checkpoint={tmp_path / 'a'};headroom=2")
    assert agent.headroom == 1.0
    rows = np.random.default_rng(1).normal(size=(4, len(FEATURES)))
    expected = Mlp.from_arrays(network().arrays())(rows)
    assert (agent.policy(rows) == expected).all()


def test_vector_of_weights_round_trip() -> None:
    net = network()
    assert (net.with_vector(net.vector()).vector() == net.vector()).all()
    assert net.sizes == (len(FEATURES), 3, len(ACTIONS))


def test_one_network_for_any_number_of_models() -> None:
    rows = np.random.default_rng(1).normal(size=(7, len(FEATURES)))
    net = network()
    alone = np.stack([net(row) for row in rows])
    assert np.allclose(net(rows), alone)


@pytest.mark.parametrize("name", ["ppo", "maskable-ppo", "residual-es"])
def test_missing_checkpoint_is_an_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="checkpoint"):
        make_agent(f"{name}:checkpoint={tmp_path / 'nowhere'}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no card\.json"):
        make_agent(f"{name}:checkpoint={tmp_path / 'empty'}")


def test_checkpoint_of_another_agent_is_an_error(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, held())
    with pytest.raises(ValueError, match="is of agent 'residual-es', not 'ppo'"):
        make_agent(f"ppo:checkpoint={tmp_path}")
    checkpoint.save(tmp_path, Checkpoint({}, {"agent": "ppo", "network": {}}))
    with pytest.raises(ValueError, match="no residual one"):
        make_agent(f"residual-es:checkpoint={tmp_path}")


def test_damaged_checkpoints_are_errors(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, held())
    card = json.loads((tmp_path / CARD).read_text())
    (tmp_path / CARD).write_text(json.dumps({**card, "format": 99}))
    with pytest.raises(ValueError, match="expected format"):
        checkpoint.load(str(tmp_path))
    (tmp_path / CARD).write_text(json.dumps(card))
    (tmp_path / WEIGHTS).write_bytes(b"no archive")
    with pytest.raises(ValueError, match="cannot be read"):
        checkpoint.load(str(tmp_path))
    np.savez(tmp_path / WEIGHTS, weight_0=np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match="finite"):
        checkpoint.load(str(tmp_path))


def test_loading_runs_no_code(tmp_path: Path) -> None:
    """An array of objects would be unpickled; it is refused."""

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return pytest.fail, ("code of the checkpoint was run",)

    checkpoint.save(tmp_path, held())
    array = np.empty(1, dtype=object)
    array[0] = Evil()
    np.savez(tmp_path / WEIGHTS, weight_0=array, allow_pickle=True)
    with pytest.raises((ValueError, pickle.UnpicklingError), match="cannot be read"):
        checkpoint.load(str(tmp_path))


def test_wrong_shapes_are_errors() -> None:
    arrays = network().arrays()
    with pytest.raises(ValueError, match="lacks the array"):
        Mlp.from_arrays({k: v for k, v in arrays.items() if k != "bias_1"})
    with pytest.raises(ValueError, match="do not form a network"):
        Mlp.from_arrays({**arrays, "bias_0": np.zeros(5)})
    wrong = Mlp.random((3, 2), np.random.default_rng(0)).arrays()
    with pytest.raises(ValueError, match="inputs and outputs"):
        ResidualEs(ResidualOptions(), Checkpoint(wrong, held().card))


def test_too_large_checkpoints_are_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=200_000)
    with pytest.raises(ValueError, match="more than"):
        checkpoint.save(tmp_path, Checkpoint({"weight_0": noise}, {}))


@pytest.mark.parametrize("name", checkpoint.shipped())
def test_shipped_checkpoints_have_cards(name: str) -> None:
    read = checkpoint.load(name)
    for key in ("agent", "command", "arguments", "curve", "versions", "trace", "training_seeds"):
        assert read.card[key], key
    assert (checkpoint.SHIPPED / name / WEIGHTS).stat().st_size < checkpoint.LARGEST_BYTES
    assert read.card["agent"] in list_agents()


def test_agents_of_shipped_checkpoints_are_made_by_name() -> None:
    for name in checkpoint.shipped():
        if name in list_agents():
            assert make_agent(name).name == agent_class(name).name
