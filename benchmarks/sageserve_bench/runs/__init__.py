"""One agent on one trace: what is played, where, and what is recorded of it."""
