"""What a fresh emulator starts with."""

from __future__ import annotations

from dataclasses import dataclass

from .state import Credential, World

ADMIN_TOKEN = "sandbox-admin-token"


@dataclass(frozen=True)
class Seed:
    """The accounts that exist from the start; everything else is made by calls."""

    repositories: tuple[str, ...] = ("Coldaine/ColdVox",)
    organizations: tuple[str, ...] = ("Coldaine",)
    enterprises: tuple[str, ...] = ("Coldaine-Works",)

    def world(self) -> World:
        return World(
            repositories=set(self.repositories),
            organizations=set(self.organizations),
            enterprises=set(self.enterprises),
            credentials={ADMIN_TOKEN: Credential()},
        )
