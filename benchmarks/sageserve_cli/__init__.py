"""The command line, `sageserve`: every sub-command, what it prints and its help."""
