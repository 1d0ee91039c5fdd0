"""How fast simulator, environment and planner are, against a bare event loop."""
