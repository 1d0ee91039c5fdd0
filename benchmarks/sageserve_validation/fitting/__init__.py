"""Latency profiles from measurements of engines, fitted through the simulator's batching rule."""
