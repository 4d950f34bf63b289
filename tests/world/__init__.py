"""Tests of the converged test world.

``make site`` runs them after the scenario that makes it.
"""
