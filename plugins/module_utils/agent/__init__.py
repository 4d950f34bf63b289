"""The program on the host: commands, job hooks, healing, history, reports and the sampler."""
