"""The world outside, for tests and the demo: hosts, a GitHub emulator, a stand-in runner, a mirror."""
