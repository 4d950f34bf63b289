"""The healing of instances: evidence, rules, and one action at a time."""
