"""The SageServe planner: forecasts, the integer program and the agents that act on its plans."""
