"""The library of coldvox.ci: imported by modules and filters, and installed on hosts as ``coldvox_ci``."""
