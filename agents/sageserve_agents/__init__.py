"""Agents that run a cluster: heuristics, the ILP planner and learned policies."""

from sageserve_agents.base import Agent
from sageserve_agents.playing import Rollout, rollout
from sageserve_agents.registry import agent_class, list_agents, make_agent, parse_spec

__all__ = [
    "Agent",
    "Rollout",
    "agent_class",
    "list_agents",
    "make_agent",
    "parse_spec",
    "rollout",
]
