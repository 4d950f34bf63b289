"""Judge a sample: score, policy, state with hysteresis, and where the next job should run. Pure."""
