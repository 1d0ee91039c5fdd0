"""The list of assumptions: what is said at a mark, with the code it is said of."""

from __future__ import annotations

import pytest

from lab.assumptions import marked

BEHIND = "WAIT_S = 2.0  # (A) seconds until a queue counts as one"
ABOVE = "#: Share that is lost (our assumption\n#: (A)).\nLOST = (\n    0.1,\n)"
BELOW = 'LEAST = 3\n"""Instances that are kept (A): two may fail\nat once."""'
ITEM = '''
    """Do it.

    Args:
        first: One thing.
        second: Another thing, of which
            nobody knows (A).
        third: The last.
    """
'''


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BEHIND, ["WAIT_S = 2.0: (A) seconds until a queue counts as one"]),
        (ABOVE, ["LOST: Share that is lost (our assumption)."]),
        (BELOW, ["LEAST = 3: Instances that are kept (A): two may fail at once."]),
        (ITEM, ["second: Another thing, of which nobody knows (A)."]),
        ("x = call(A)\n# of model A", []),
    ],
    ids=["behind", "above", "below", "item", "none"],
)
def test_what_is_said_at_a_mark(text: str, said: list[str]) -> None:
    assert marked(text.splitlines()) == said
