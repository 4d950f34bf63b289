"""Tests that need the converged test world; `make molecule` runs them after the scenarios."""
