"""The documented part: one function per operation of GitHub's REST API, over plain state."""
