"""Ways to describe the measured prefill, compared."""

from __future__ import annotations

from typing import Any

import numpy as np

from lab import refit
from sageserve_validation.fidelity.latency import profile_report
from sageserve_validation.fidelity.tables import Measured


def fits_report(tables: list[Measured]) -> list[dict[str, Any]]:
    """Return the errors of four ways to describe the measured prefill, per model and VM type."""
    reports = []
    for measured in tables:
        for name, make in (
            ("published", refit.published),
            ("least_squares", refit.least_squares),
            ("nearest_at_target", refit.refit),
            ("table", refit.tabulated),
        ):
            profile = make(measured)
            row = {"fit": name, **profile_report(profile, measured)}
            if not profile.prefill_table:
                row["prefill_ms"] = [
                    profile.prefill_base_s * 1e3,
                    profile.prefill_per_token_s * 1e3,
                    profile.prefill_per_token2_s * 1e3,
                ]
            else:
                left_out = refit.leave_one_out(measured)
                row["prefill_median_error_left_out"] = float(np.median(left_out))
            reports.append(row)
    return reports
