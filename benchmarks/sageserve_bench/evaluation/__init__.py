"""One policy file in, one score out: how good a policy is beside the planner.

The simulator runs here and the policy in a process of its own (`worker`), which is handed what an
agent may see and nothing else.
"""
