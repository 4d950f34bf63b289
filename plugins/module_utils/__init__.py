"""The library of coldvox.ci.

Imported by modules and filters, and installed on hosts as ``coldvox_ci``.
"""
