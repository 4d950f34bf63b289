"""The directories of this host, as ``runnerctl`` was installed with, and where they are without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..metrics.sample import Target
    from .config import Config


class Paths(NamedTuple):
    """Absolute paths; the defaults are those of the roles."""

    store: str = "/var/cache/coldvox-ci"
    run: str = "/run/coldvox-ci"
    state: str = "/var/lib/coldvox-ci"
    runners: str = "/var/lib/actions-runner"
    config: str = "/etc/coldvox-ci"


def paths_of(defaults: Mapping[str, str]) -> Paths:
    """Return ``defaults`` where they are given."""
    return Paths(**{name: path for name, path in defaults.items() if name in Paths._fields})


def target_of(paths: Paths, config: Config) -> Target:
    """Return what a sample of this host looks at."""
    from ..metrics.sample import Target

    return Target(
        base_dir=paths.runners,
        store_dir=paths.store,
        models_dir=f"{paths.store}/models",
        rust_dirs=config.rust_dirs,
        github_url=config.github_url,
        models=config.models,
        work_dir=config.work_dir,
    )
