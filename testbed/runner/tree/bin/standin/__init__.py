"""The code of the stand-in runner.

It runs on the managed hosts, so it uses only the standard library and Python 3.9.
"""
