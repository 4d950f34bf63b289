"""What a sample means: score, policy, published state, and where the next job should run.

All functions are pure: nothing here reads the machine.
"""
