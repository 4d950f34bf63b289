"""One instance as it is wanted, and what the controller gives to get it there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..host.file_state import Entry
from .account import SAFE_PATH
from .instance_records import root_file
from .layout import Layout, instance_unit
from .options import Registration, env_text, path_text


@dataclass(frozen=True)
class Target:
    """One instance as it is wanted, in full. ``tree`` is the runner's tree in the store, ``tree_id`` names
    its contents.
    """

    registration: Registration
    layout: Layout
    user: str
    labels: tuple[str, ...]
    environment: str
    path: str
    tree: str
    tree_id: str

    @property
    def unit(self) -> str:
        return instance_unit(self.registration.name)

    @property
    def files(self) -> tuple[Entry, Entry]:
        """``.env`` and ``.path`` as they must be."""
        return root_file(self.layout.file(".env"), self.environment), root_file(
            self.layout.file(".path"), self.path
        )


@dataclass(frozen=True)
class RegistrationSecrets:
    """What the controller gives for registrations: a token, and per name the id and configuration of a
    runner for one job. All of it is secret.
    """

    token: str = ""
    jit: Mapping[str, tuple[int, str]] = field(default_factory=dict)


def target_of(options: dict[str, object], *, url: str, layout: Layout, tree: str, tree_id: str) -> Target:
    """Return the target for one entry of the module's ``instances``; raises CiError for what the runner
    would not take.
    """
    data: dict[str, object] = dict(options)
    registration = Registration(
        url=url,
        name=str(data["name"]),
        group=str(data.get("group") or ""),
        work_dir=str(data["work_dir"]),
        ephemeral=bool(data["ephemeral"]),
        default_labels=bool(data["default_labels"]),
    )
    labels, environment, path = data.get("labels"), data.get("environment"), data.get("path")
    return Target(
        registration=registration,
        layout=layout,
        user=str(data["user"]),
        labels=tuple(labels) if isinstance(labels, (list, tuple)) else (),
        environment=env_text(environment if isinstance(environment, dict) else {}),
        path=path_text(path) if isinstance(path, list) and path else SAFE_PATH,
        tree=tree,
        tree_id=tree_id,
    )
