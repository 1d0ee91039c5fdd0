"""Agents that run a cluster: heuristics, the ILP planner and learned policies."""
