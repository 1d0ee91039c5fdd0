"""The simulator checked and timed: measurements, another simulator, theory, fits and speed."""
