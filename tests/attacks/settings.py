"""The settings of the host under which the attacks are tried, one after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from .catalogue import Attack, attacks, groups

USUAL = "usual"


@dataclasses.dataclass(frozen=True)
class Setting:
    """A profile of the sandbox and a trust class.

    ``groups`` are the attacks that are tried, and ``inputs`` are those of the roles agent and github_runner
    that differ from the inventory.
    """

    name: str
    profile: str
    trust: str
    groups: tuple[str, ...]
    inputs: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def words(self) -> frozenset[str]:
        """What the key ``under`` of an attack may name."""
        return frozenset([self.profile, self.trust])


#: The deciding groups under the widest sandbox and with registrations for one job. An attack that one of
#: the two lets through is in the table by name, so the other does not hide it.
SETTINGS = (
    Setting(USUAL, "build", "team", tuple(groups())),
    Setting("strict", "strict", "team", ("way_out",)),
    Setting("desktop", "desktop", "team", ("way_out", "neighbours")),
    Setting(
        "strangers",
        "containers",
        "strangers",
        ("way_out", "neighbours", "next_job", "secrets", "registration"),
        {
            "github_runner_trust": "strangers",
            "agent_egress": "github",
            # JIT registrations come from the host itself, job after job.
            "github_runner_enrol_token": "sandbox-admin-token",
        },
    ),
)


def tried() -> list[tuple[Setting, Attack]]:
    """Return each attack with each setting under which it is tried."""
    return [
        (setting, attack) for setting in SETTINGS for attack in attacks() if attack.group in setting.groups
    ]
