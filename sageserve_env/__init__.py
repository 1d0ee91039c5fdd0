"""A Gymnasium environment of a multi-region GPU cluster that serves LLM requests."""
