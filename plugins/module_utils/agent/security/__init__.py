"""The security report of a host: facts, judgements with remedies, and a page."""
