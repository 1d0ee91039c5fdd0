"""Forecasters of demand, behind one interface, fitted on the past only."""

from sageserve_agents.planner.forecast.base import Forecaster
from sageserve_agents.planner.forecast.factory import FORECASTERS, SMOOTH_S, make_forecaster

__all__ = ["FORECASTERS", "SMOOTH_S", "Forecaster", "make_forecaster"]
