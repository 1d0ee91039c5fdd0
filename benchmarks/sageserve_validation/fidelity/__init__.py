"""Checks of the simulator against measurements, another simulator and queueing theory."""
