"""The ground of all rooms: Linux, files, locks, processes, systemd, and the host's own layout."""
