"""The artifact store: what is downloaded once, verified, and shared read-only by every job of a host.

``artifact`` and ``paths`` and ``receipt`` are pure; ``engine`` puts them together with the doors to disk and
network. Nothing is imported here, so that a caller that only looks pays for nothing it does not use.
"""
