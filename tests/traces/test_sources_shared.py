"""The published files that lie beside the project (docs/sources.md, "Traces")."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sageserve_traces import load_rows
from sageserve_traces.files import file_sha256
from sageserve_traces.named import list_traces


@pytest.mark.parametrize(
    ("path", "rows", "prompt", "output"),
    [
        ("azure2023/AzureLLMInferenceTrace_conv.csv", 19366, (1020, 2735), (129, 424)),
        ("azure2023/AzureLLMInferenceTrace_code.csv", 8819, (1469, 5188), (13, 55)),
        ("mooncake/conversation_trace.jsonl", 12031, (6909, 27000), (350, 597)),
    ],
)
def test_rows_and_percentiles(
    shared_traces: Path, path: str, rows: int, prompt: tuple, output: tuple
) -> None:
    trace, report = load_rows(shared_traces / path)
    assert (len(trace), report.rows_dropped) == (rows, 0)
    assert np.percentile(trace.prompt_tokens, (50, 90)) == pytest.approx(prompt, rel=0.02)
    assert np.percentile(trace.output_tokens, (50, 90)) == pytest.approx(output, rel=0.02)


def test_hashes_of_the_catalogue(shared_traces: Path) -> None:
    lying = {path.name: path for path in shared_traces.rglob("*") if path.is_file()}
    checked = 0
    for entry in list_traces():
        for file in entry.files:
            if file.name in lying:
                assert file_sha256(lying[file.name]) == file.sha256
                checked += 1
    assert checked >= 5
