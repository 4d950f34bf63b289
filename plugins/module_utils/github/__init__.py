"""GitHub's REST API for self-hosted runners: pure rules, and a client whose transport is an argument."""
