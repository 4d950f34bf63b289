"""GitHub's REST API for self-hosted runners: pure rules and a client."""
