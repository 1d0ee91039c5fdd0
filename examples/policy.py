"""A policy of four numbers, for `sageserve evaluate` and for `improve_policy.py` to improve.

sageserve evaluate examples/policy.py --scenario tiny
"""

from __future__ import annotations

import numpy as np

from sageserve_env import ClusterAction, ClusterView

BUSY = 0.5  # share of an instance's capacity that is used on purpose
SPARE = 0.3  # instances more than that, per endpoint
QUEUE_S = 40.0  # a queue of this many seconds is worth one instance more
RELEASE = 0.6  # batch work is let in below this load


class Policy:
    """Keeps every endpoint at the same load, and adds to it where a queue has formed.

    All on the first VM type; another may cost less per `view.theta`.
    """

    def act(self, view: ClusterView) -> ClusterAction:
        """Return the number of instances of each endpoint and VM type."""
        busy = view.utilisation * view.active.sum(axis=1)
        wanted = busy / max(BUSY, 0.05) + max(SPARE, 0.0) + view.queued_s / max(QUEUE_S, 1.0)
        instances = np.zeros_like(view.active)
        instances[:, 0] = np.maximum(np.ceil(wanted), 1)
        return ClusterAction(
            instances=instances,
            niw_release=np.full(len(wanted), max(RELEASE, 0.0)),
            discipline="triage",
            router="least_wait_kv",
        )
