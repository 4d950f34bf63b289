"""Instances of the pool: their options, their state, and the steps that change it."""
