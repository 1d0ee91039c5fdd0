"""Agents that follow a rule and solve nothing."""
