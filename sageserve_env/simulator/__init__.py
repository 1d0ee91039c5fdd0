"""Request-level, event-driven simulation of a cluster: NumPy arrays and Numba kernels."""
