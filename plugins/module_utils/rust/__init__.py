"""The command-line door to the library: ``runnerctl``. Nothing is imported here, so it starts fast."""
