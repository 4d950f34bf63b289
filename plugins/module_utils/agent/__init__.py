"""The program on the host: commands, hooks, healing, history, reports, sampler."""
