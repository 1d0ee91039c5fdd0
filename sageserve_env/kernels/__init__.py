"""What the environment does at every step, compiled: decode, scale, account."""
