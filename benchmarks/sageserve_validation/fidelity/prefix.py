"""`sageserve fidelity prefix`: hit rates of prefix caches on a trace, in order and without time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sageserve_bench.errors import UserError
from sageserve_env.simulator.prefix_in_turn import IN_TURN_ROUTERS, serve_in_turn
from sageserve_traces.prefixes import Blocks, build_trie, read_blocks
from sageserve_traces.sources.cells import to_float
from sageserve_traces.sources.table import read_header, read_table

#: Columns of a file: block ids and prompt tokens, by schema.
COLUMNS = (("hash_ids", "input_length"), ("block_ids", "prompt_tokens"))
BLOCK_TOKENS = 512


def read_prompts(path: Path) -> tuple[Blocks, NDArray[np.int64]]:
    """Return the blocks and the tokens of each prompt, in file order.

    Raises:
        UserError: If the file has no block ids, or a prompt is not a number of tokens.
    """
    names = read_header(path).names
    for ids, tokens in COLUMNS:
        if ids in names and tokens in names:
            break
    else:
        wanted = " or ".join(" and ".join(pair) for pair in COLUMNS)
        raise UserError(f"{path}: has no block ids: it needs the columns {wanted}")
    table = read_table(path, {ids: True, tokens: True}, drop=False)
    prompt = to_float(table.columns[tokens])
    bad = ~(np.isfinite(prompt) & (prompt >= 1) & (prompt == np.floor(prompt)))
    if bad.any():
        row = int(np.argmax(bad)) + 1
        raise UserError(f"{path}: row {row}, column {tokens}: expected a whole number from 1 on")
    column = table.columns[ids]
    cells = column if isinstance(column, list) else column.to_pylist()
    try:
        return read_blocks(cells), prompt.astype(np.int64)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def hit_rates(
    path: Path, *, workers: int, capacity_tokens: int, router: str, block_tokens: int = BLOCK_TOKENS
) -> dict[str, Any]:
    """Serve the prompts of a trace in order; return hit rate and balance.

    Args:
        path: Trace with block ids.
        workers: Caches.
        capacity_tokens: Tokens that each holds; whole blocks of them are used.
        router: Where a prompt goes (`serve_in_turn`).
        block_tokens: Tokens of a block.

    Raises:
        UserError: If the router is unknown, or the file is not fit.
    """
    if router not in IN_TURN_ROUTERS:
        raise UserError(f"--router: expected one of {', '.join(IN_TURN_ROUTERS)}, got {router!r}")
    blocks, prompt = read_prompts(path)
    trie, node = build_trie(blocks, block_tokens)
    capacity = capacity_tokens // block_tokens
    cached, worker = serve_in_turn(trie, node, prompt, workers, capacity, router)
    served = np.bincount(worker, minlength=workers)
    computed = np.bincount(worker, weights=(prompt - cached).astype(float), minlength=workers)
    return {
        "trace": path.name,
        "workers": workers,
        "capacity_tokens": capacity_tokens,
        "capacity_blocks": capacity,
        "block_tokens": block_tokens,
        "router": router,
        "requests": len(prompt),
        "prompt_tokens": int(prompt.sum()),
        "cached_tokens": int(cached.sum()),
        "hit_rate": float(cached.sum() / prompt.sum()),
        "requests_with_a_hit": float((cached > 0).mean()),
        "max_over_mean_requests": float(served.max() / served.mean()),
        "max_over_mean_computed_tokens": float(computed.max() / computed.mean()),
    }
