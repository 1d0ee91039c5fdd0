"""The yardstick serves what it is given, and a script can stand in for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sageserve_bench.errors import UserError
from sageserve_validation.speed import engine as speed_engine
from sageserve_validation.speed import yardstick
from sageserve_validation.speed.engine import SpeedOptions


@pytest.mark.compiled
def test_the_yardstick_serves_every_request() -> None:
    found = yardstick.run(3000)
    assert found["completed"] == 3000
    assert found["requests_per_cpu_s"] > 0
    assert (found["ttft_s"] >= yardstick.A).all()
    assert (found["e2e_s"] >= found["ttft_s"]).all()


def test_a_script_can_stand_in_for_the_yardstick(tmp_path: Path) -> None:
    script = tmp_path / "yardstick.py"
    script.write_text("import sys\nprint('warm')\nprint(5 * int(sys.argv[1]))\n")
    assert speed_engine._yardstick(SpeedOptions(yardstick=script)) == 5.0


@pytest.mark.parametrize("text", ["", "print('fast')", "raise SystemExit('no Numba')"])
def test_a_script_that_prints_no_number_is_named(tmp_path: Path, text: str) -> None:
    script = tmp_path / "yardstick.py"
    script.write_text(text)
    with pytest.raises(UserError, match=r"yardstick.py: (it printed no number|no Numba)"):
        speed_engine._yardstick(SpeedOptions(yardstick=script))
