"""An emulator of GitHub's Actions REST API that keeps state.

Its answers are checked against GitHub's own description of the API.
"""
