"""The commands of ``runnerctl``. This file imports nothing, for a fast start."""
