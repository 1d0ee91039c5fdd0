"""What the environment does at every step, compiled: decode, observe, account."""
