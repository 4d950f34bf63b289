"""One sample of what a runner host is doing: parsers, readers, and what everything else judges."""
