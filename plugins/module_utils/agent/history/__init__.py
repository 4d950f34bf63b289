"""What jobs ran, how long they took and how they ended: kept in SQLite, judged by pure functions."""
