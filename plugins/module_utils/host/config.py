"""Read ``agent.json``, the settings that the role ``agent`` writes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from ..errors import CiError
from .paths import Paths

NAME = "agent.json"


class Config(NamedTuple):
    """The settings of this host; each has a default that works without a file.

    ``policy`` replaces parts of the built-in health policy. ``work_dir`` is on the file system whose space
    counts; empty means the directory of the runners. ``instances`` has settings of single runners, by name.
    ``host`` is the name in the inventory. ``runs_on`` are the labels that reach this host,
    ``fallback_runs_on`` those of the runners that take its place.
    """

    host: str = ""
    policy: Mapping[str, Any] = MappingProxyType({})
    github_url: str = "https://github.com"
    work_dir: str = ""
    models: Sequence[str] = ()
    rust_dirs: Sequence[str] = Paths().rust
    interval_seconds: float = 5.0
    runs_on: Sequence[str] = ("self-hosted",)
    fallback_runs_on: Sequence[str] = ("ubuntu-latest",)
    instances: Mapping[str, Mapping[str, Any]] = MappingProxyType({})


def read_config(directory: str) -> Config:
    """Return the settings in ``directory``, or the defaults if there is no file.

    Keys that this version does not know are ignored. Raises CiError for a file that cannot be used.
    """
    path = os.path.join(directory, NAME)
    try:
        with open(path, encoding="utf-8") as file:
            given = json.load(file)
    except FileNotFoundError:
        return Config()
    except (OSError, ValueError) as error:
        raise _broken(path, str(error)) from error
    if not isinstance(given, dict):
        raise _broken(path, "it is not a dictionary")
    for key, default in Config()._asdict().items():
        if key in given and not _alike(given[key], default):
            raise _broken(path, f"its '{key}' is {given[key]!r}")
    return Config(**{key: value for key, value in given.items() if key in Config._fields})


def _alike(value: Any, default: Any) -> bool:
    """Return whether ``value`` has the type of ``default``."""
    if isinstance(default, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
    if isinstance(default, tuple):
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, Mapping if isinstance(default, Mapping) else str)


def _broken(path: str, problem: str) -> CiError:
    return CiError(
        f"The settings in '{path}' cannot be used ({problem}); converge the host with the role agent."
    )
