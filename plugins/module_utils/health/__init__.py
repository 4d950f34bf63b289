"""Judge a sample: score, policy, published state, and where the next job runs.

All functions are pure: nothing here reads the machine.
"""
