"""The hosts and services that tests and the demo use instead of the real ones.

These are the managed hosts, the GitHub emulator, the stand-in runner and the artifact mirror.
"""
