"""Tests of the converged world; ``make molecule`` runs them after the scenarios."""
