"""The ground of all rooms: Linux, files, locks, processes, systemd, paths."""
