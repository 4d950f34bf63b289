"""History of jobs, kept in SQLite: what ran, how long it took and how it ended."""
