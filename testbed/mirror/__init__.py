"""The artifact mirror: it builds the files that a host downloads, and serves them.

Tests can make it answer with faults.
"""
