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

import sageserve_bench
from sageserve_bench.report.page import rebuild_report
from sageserve_bench.results.store import Store
from sageserve_env.scenario import Scenario

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

# All is told to the page around: no window of a browser without a screen is as narrow as a phone,
# but a frame in it may be.
PROBE = """<script>
const shown = (part) => part.offsetParent !== null;
function picture() {
  const plots = [...document.querySelectorAll(".plot")].filter(shown).map((plot) => [plot.id,
    (plot.data || []).map((trace) => [trace.name, trace.x, trace.y, trace.visible])]);
  return JSON.stringify([plots, document.getElementById("scaled").textContent]);
}
function turn(control, value, event) {
  control.value = value;
  control.dispatchEvent(new Event(event));
  return picture();
}
addEventListener("load", () => {
  const found = { width: innerWidth, wide: document.documentElement.scrollWidth, controls: {} };
  const plots = [...document.querySelectorAll(".plot")].filter(shown);
  found.plots = plots.map((plot) => plot.id);
  found.empty = plots.filter((plot) => !(plot.data || []).length).map((plot) => plot.id);
  const beside = document.getElementById("agent-b");
  if (shown(beside)) turn(beside, beside.options[1].value, "change");
  for (const select of [...document.querySelectorAll("select")].filter(shown)) {
    const before = select.value;
    const values = [...select.options].map((option) => option.value);
    const seen = new Set(values.map((value) => turn(select, value, "change")));
    turn(select, before, "change");
    found.controls[select.id] = [values.length, seen.size];
  }
  const before = picture();
  found.keys = [...document.querySelectorAll(".key button")].filter(shown).map((button) => {
    button.click();
    const changed = picture() !== before && button.ariaPressed === "false";
    button.click();
    return [button.textContent, changed, picture() === before];
  });
  const scale = document.getElementById("scale");
  const once = Number(scale.value);
  turn(scale, 10 * once, "input");
  found.scaled = [...document.querySelectorAll("#scaled tr")].map(
    (row) => [...row.cells].map((cell) => cell.firstChild.textContent));
  found.said = said;
  parent.postMessage(JSON.stringify(found), "*");
});
</script>"""

FRAME = """<!doctype html><pre id="probe"></pre>
<script>onmessage = (e) => { document.getElementById("probe").textContent = e.data; };</script>
<iframe src="probed.html" style="width: WIDTHpx; height: 1600px; border: 0"></iframe>"""


def probe(report: Path, folder: Path, width: int) -> dict[str, Any]:
    """Return what a browser finds in a report that is opened without a network."""
    text = report.read_text(encoding="utf-8").replace("<head>", f"<head>{LISTEN}", 1)
    head, body, tail = text.rpartition("</body>")
    (folder / "probed.html").write_text(head + PROBE + body + tail, encoding="utf-8")
    page = folder / "frame.html"
    page.write_text(FRAME.replace("WIDTH", str(width)), encoding="utf-8")
    options = [
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--virtual-time-budget=10000", "--window-size=1600,1700"),
        *(f"--user-data-dir={folder / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND"),
        *("--dump-dom", page.as_uri()),
    ]
    done = subprocess.run([BROWSER, *options], capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="probe">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return dict(json.loads(html.unescape(found[1])))


@pytest.fixture(scope="module")
def two_traces(
    tmp_path_factory: pytest.TempPathFactory, small: Scenario
) -> tuple[Path, pd.DataFrame]:
    """Return the folder and rows of two agents on two traces and two seeds."""
    folder = tmp_path_factory.mktemp("two_traces")
    steady = folder / "steady.csv"
    requests = [f"{second},{1000 + second},{100 + second % 50}" for second in range(900)]
    steady.write_text("\n".join(["arrival_s,prompt_tokens,output_tokens", *requests]) + "\n")
    rows = sageserve_bench.compare(
        ["static", "reactive"],
        scenario=small,
        trace=["o365", steady],
        seeds=2,
        output=folder / "out",
    )
    return folder / "out", rows


def dollars(text: str) -> float:
    return float(text.replace("$", "").replace(",", ""))


@pytest.mark.parametrize("width", [1400, 390])
def test_report_in_a_browser(
    width: int, two_traces: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    folder, rows = two_traces
    found = probe(folder / "report.html", tmp_path, width)
    assert found["said"] == []
    assert found["width"] == width
    assert found["wide"] <= width, "the page is wider than the window"
    # A phone shows one agent over time, until another is chosen beside it.
    shown = ["a", "b"] if width > 760 else ["a"]
    over_time = [f"{plot}-{agent}" for plot in ("time", "fleet") for agent in shown]
    assert found["plots"] == ["pareto", *over_time, "events", "latency", "cost"]
    assert found["empty"] == []
    assert {"trace", "trace-b", "agent-a", "agent-b", "endpoint"} <= set(found["controls"])
    for name, (options, pictures) in found["controls"].items():
        assert options > 1, name
        if name != "latency-model":  # there is one
            assert pictures > 1, f"{name}: {options} options and always the same picture"
    assert sorted(found["keys"]) == sorted(2 * [["static", True, True], ["reactive", True, True]])
    head, *scaled = found["scaled"]
    assert head == ["agent", "$ a day", "$ a month", "saves a month"]
    # A quarter of an hour, at ten times the requests of a day.
    sums = rows.groupby("agent")[["cost_usd", "requests"]].sum()
    mean = sums["cost_usd"] / sums["requests"]
    a_day = 10 * 96 * rows["requests"].mean()
    agents = {row[0]: row for row in scaled}
    bills = [dollars(agents[agent][1]) for agent in ("static", "reactive")]
    assert bills == pytest.approx([mean["static"] * a_day, mean["reactive"] * a_day], abs=60)
    # Savings are over the best rule.
    assert agents["reactive"][3] == "-"
    assert dollars(agents["static"][3]) == pytest.approx(
        (bills[1] - bills[0]) * 365.25 / 12, abs=60
    )


def test_report_without_the_runs_in_a_browser(
    compared: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    folder = tmp_path / "rows"
    shutil.copytree(compared[0], folder, ignore=shutil.ignore_patterns("runs"))
    rebuild_report(Store(folder))
    found = probe(folder / "report.html", tmp_path, 1400)
    assert found["said"] == []
    assert (found["plots"], found["empty"]) == (["pareto"], [])
    assert set(found["controls"]) == {"service", "baseline"}
    assert len(found["scaled"]) == 3
