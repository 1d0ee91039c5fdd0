"""Write the table of features into pages: ``python -m sageserve_env.observe PAGE ...``.

A page holds ``<!-- features -->`` and ``<!-- /features -->``; what stands between them is replaced.
Without a page the table is printed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sageserve_env.observe import table

_MARKED = re.compile(r"(<!-- features -->\n).*?(<!-- /features -->)", re.DOTALL)

if __name__ == "__main__":
    for page in map(Path, sys.argv[1:]):
        text = page.read_text("utf-8")
        made = _MARKED.sub(lambda m: f"{m[1]}\n{table()}\n{m[2]}", text)
        page.write_text(made, "utf-8")
    if len(sys.argv) == 1:
        print(table(), end="")
