"""The accounts that exist in a fresh emulator; everything else is made by calls."""

from __future__ import annotations

from .state import Credential, GitHubState

ADMIN_TOKEN = "sandbox-admin-token"


def seeded_state() -> GitHubState:
    """Return a state with one account of each kind and the token of its administrator."""
    return GitHubState(
        repositories={"Coldaine/ColdVox"},
        organizations={"Coldaine"},
        enterprises={"Coldaine-Works"},
        credentials={ADMIN_TOKEN: Credential()},
    )
