"""Comparison protocol, statistics, reports, speed, fidelity and the command line."""
