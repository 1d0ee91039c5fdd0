"""`sageserve fidelity prefix` on a small trace."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from sageserve_cli.cli import app


def test_hit_rate_of_two_prompts(tmp_path: Path) -> None:
    rows = [
        {"timestamp": 0, "input_length": 1100, "output_length": 5, "hash_ids": [1, 2, 3]},
        {"timestamp": 1, "input_length": 1500, "output_length": 5, "hash_ids": [1, 2, 4]},
    ]
    trace, out = tmp_path / "t.jsonl", tmp_path / "out.json"
    trace.write_text("".join(json.dumps(r) + "\n" for r in rows))
    arguments = ["fidelity", "prefix", "--trace", str(trace), "--workers", "1", "--json", str(out)]
    result = CliRunner().invoke(
        app, [*arguments, "--capacity-tokens", "5000", "--router", "round_robin"]
    )
    assert result.exit_code == 0, result.output
    assert json.loads(out.read_text())["hit_rate"] == 1024 / 2600
