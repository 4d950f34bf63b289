"""Pure helpers of single roles, for the filters.

Packages, Vosk, labels, cache keys, checks of inputs.
"""
