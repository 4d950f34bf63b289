"""The artifact store: trees that are downloaded once and shared by all jobs.

A published tree is verified and read-only. ``artifact``, ``members`` and ``receipt`` are pure; ``install``
puts them together with disk and network. Nothing is imported here, so a caller loads only what it uses.
"""
