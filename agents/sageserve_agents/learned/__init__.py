"""Learned agents: their policies, checkpoints and one training script per algorithm."""
