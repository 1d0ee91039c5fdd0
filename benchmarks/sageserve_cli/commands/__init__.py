"""The sub-commands of `sageserve`, one module each, imported only when called."""
