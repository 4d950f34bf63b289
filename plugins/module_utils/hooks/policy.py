"""What the role agent wants of the job hooks."""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple, Optional

from ..errors import CiError

FILE = "hooks.json"


class Policy(NamedTuple):
    """``models`` are the names of artifacts that each job gets, None for all models of the store."""

    refuse_forks: bool = True
    clean_workspace: bool = True
    models: Optional[tuple[str, ...]] = None


def read_policy(directory: str) -> Policy:
    """Return what ``hooks.json`` in ``directory`` says, the defaults when there is none; raises CiError for
    a broken one.
    """
    path = os.path.join(directory, FILE)
    try:
        with open(path, encoding="utf-8") as stream:
            return _policy(json.load(stream))
    except FileNotFoundError:
        return Policy()
    except (OSError, ValueError, TypeError) as error:
        raise CiError(
            f"{path} cannot be used ({error}), so the defaults hold; converge the host with the role agent."
        ) from error


def _policy(data: Any) -> Policy:
    if not isinstance(data, dict):
        raise TypeError("it is no JSON object")
    models = data.get("models")
    if models is not None and not (isinstance(models, list) and all(isinstance(one, str) for one in models)):
        raise TypeError("'models' is no list of names")
    switches = {name: data.get(name, True) for name in ("refuse_forks", "clean_workspace")}
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise TypeError(f"'{name}' is neither true nor false")
    return Policy(**switches, models=None if models is None else tuple(models))
