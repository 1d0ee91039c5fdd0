"""Searches with the simulator: service knobs, options of agents, plans of a day with hindsight."""
