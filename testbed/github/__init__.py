"""A stateful stand-in for GitHub's Actions REST API, checked against GitHub's own description."""
