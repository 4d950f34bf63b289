"""A stand-in for GitHub's runner program, without .NET.

It has the same files, commands, messages and exit codes.
"""
