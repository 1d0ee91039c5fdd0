"""Forecasters of demand, behind one interface, fitted on the past only."""

from sageserve_agents.planner.forecast.base import Forecaster
from sageserve_agents.planner.forecast.factory import FORECASTERS, make_forecaster

__all__ = ["FORECASTERS", "Forecaster", "make_forecaster"]
