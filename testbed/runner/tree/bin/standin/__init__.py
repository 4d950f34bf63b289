"""The stand-in runner's code. Standard library only, Python 3.9 and newer: it runs on the managed hosts."""
