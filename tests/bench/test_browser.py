"""The report in headless Chromium: nothing is said on the console, and every control works."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine"),
]

LISTEN = """<script>
window.said = [];
addEventListener("error", (e) => said.push("error: " + e.message));
addEventListener("unhandledrejection", (e) => said.push("rejected: " + e.reason));
for (const kind of ["error", "warn"]) console[kind] = (...a) => said.push(kind + ": " + a);
</script>"""

PROBE = """<script>
function picture() {
  const plots = [...document.querySelectorAll(".plot")].map((plot) => [plot.id, plot.style.display,
    (plot.data || []).map((trace) => [trace.name, trace.x, trace.y])]);
  return JSON.stringify([plots, document.getElementById("scaled").textContent]);
}
function turn(control, value, event) {
  control.value = value;
  control.dispatchEvent(new Event(event));
  return picture();
}
addEventListener("load", () => {
  const found = { width: innerWidth, wide: document.documentElement.scrollWidth, controls: {} };
  found.empty = [...document.querySelectorAll(".plot")].filter(
    (plot) => plot.style.display !== "none" && !(plot.data || []).length).map((plot) => plot.id);
  for (const select of document.querySelectorAll("select")) {
    const before = select.value;
    const values = [...select.options].map((option) => option.value);
    const seen = new Set(values.map((value) => turn(select, value, "change")));
    turn(select, before, "change");
    found.controls[select.id] = [values.length, seen.size];
  }
  const scale = document.getElementById("scale");
  const once = Number(scale.value);
  turn(scale, 10 * once, "input");
  found.scaled = [...document.querySelectorAll("#scaled tr")].map(
    (row) => [...row.cells].map((cell) => cell.textContent));
  found.said = said;
  const pre = document.createElement("pre");
  pre.id = "probe";
  pre.textContent = JSON.stringify(found);
  document.body.append(pre);
});
</script>"""


def probe(report: Path, folder: Path, width: int) -> dict[str, Any]:
    """Return what a browser finds in a report that is opened without a network."""
    page = folder / "probed.html"
    text = report.read_text(encoding="utf-8").replace("<head>", f"<head>{LISTEN}", 1)
    head, body, tail = text.rpartition("</body>")
    page.write_text(head + PROBE + body + tail, encoding="utf-8")
    options = [
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000"),
        *(f"--window-size={width},1600", f"--user-data-dir={folder / 'profile'}"),
        *("--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom", page.as_uri()),
    ]
    done = subprocess.run([BROWSER, *options], capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return dict(json.loads(html.unescape(found[1])))


@pytest.mark.parametrize("width", [1280, 500])
def test_report_in_a_browser(
    width: int, compared: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    folder, rows = compared
    found = probe(folder / "report.html", tmp_path, width)
    assert found["said"] == []
    assert found["wide"] <= found["width"], "the page is wider than the window"
    assert found["empty"] == []
    for name, (options, pictures) in found["controls"].items():
        assert options >= 1, name
        if name not in {"trace", "latency-model"}:  # one trace, one model
            assert pictures > 1, f"{name}: {options} options and always the same picture"
    head, static, reactive = found["scaled"]
    assert head[:4] == ["agent", "$ a day", "$ a month", "saves a month"]
    # A quarter of an hour, at ten times the requests of a day.
    mean = rows.groupby("agent").apply(
        lambda run: run["cost_usd"].sum() / run["requests"].sum(), include_groups=False
    )
    a_day = 10 * 96 * rows["requests"].mean()
    shown = [float(row[1].replace("$", "").replace(",", "")) for row in (static, reactive)]
    assert shown == pytest.approx([mean["static"] * a_day, mean["reactive"] * a_day], abs=60)
    saved = float(reactive[3].replace("$", "").replace(",", ""))
    assert saved == pytest.approx((shown[0] - shown[1]) * 365.25 / 12, abs=60)
