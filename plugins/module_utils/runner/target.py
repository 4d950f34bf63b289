"""The wanted state of one instance in full, and the secrets for its registration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..host.file_state import Entry
from .account import SAFE_PATH
from .instance_records import root_file
from .layout import Layout, instance_unit
from .options import Registration, env_text, path_text


@dataclass(frozen=True)
class Target:
    """The wanted state of one instance.

    ``tree`` is the runner's tree in the store, ``tree_id`` identifies its contents. ``environment`` and
    ``path`` are the contents of the files ``.env`` and ``.path``.
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
        """The systemd unit."""
        return instance_unit(self.registration.name)

    @property
    def files(self) -> tuple[Entry, Entry]:
        """The files ``.env`` and ``.path`` as they must be."""
        return (
            root_file(self.layout.file(".env"), self.environment),
            root_file(self.layout.file(".path"), self.path),
        )


@dataclass(frozen=True)
class RegistrationSecrets:
    """The secrets that register instances; the controller sends them.

    ``token`` is for ``config.sh``. ``jit`` maps a name to the id and configuration of a runner for one job.
    """

    token: str = ""
    jit: Mapping[str, tuple[int, str]] = field(default_factory=dict)


def target_of(options: Mapping[str, Any], *, url: str, layout: Layout, tree: str, tree_id: str) -> Target:
    """Return the target for one of the module's ``instances`` in normal form.

    Raises CiError for an environment or path that the runner would not read as written.
    """
    return Target(
        registration=Registration(
            url=url,
            name=options["name"],
            group=options["group"],
            work_dir=options["work_dir"],
            ephemeral=options["ephemeral"],
            default_labels=options["default_labels"],
        ),
        layout=layout,
        user=options["user"],
        labels=tuple(options["labels"]),
        environment=env_text(options["environment"]),
        path=path_text(options["path"]) if options["path"] else SAFE_PATH,
        tree=tree,
        tree_id=tree_id,
    )
