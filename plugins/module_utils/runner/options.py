"""The options of coldvox.ci.github_runner: their specification, and one normal form for controller and
host.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..github.options import CONNECTION_SPEC
from .environment import env_text, path_text
from .labels import custom_labels
from .layout import check_base_dir
from .naming import check_distinct, check_name, instance_user
from .registration import check_work_dir

_STATES = ["present", "absent", "drained"]

INSTANCE_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "user": {"type": "str"},
    "labels": {"type": "list", "elements": "str", "default": []},
    "default_labels": {"type": "bool", "default": True},
    "group": {"type": "str", "default": ""},
    "work_dir": {"type": "str", "default": "_work"},
    "ephemeral": {"type": "bool", "default": False},
    "jit": {"type": "bool", "default": False},
    "environment": {"type": "dict", "default": {}},
    "path": {"type": "list", "elements": "str", "default": []},
    "state": {"type": "str", "choices": _STATES},
}
RUNNER_SPEC: dict[str, Any] = {
    **CONNECTION_SPEC,
    "instances": {"type": "list", "elements": "dict", "required": True, "options": INSTANCE_SPEC},
    "archive": {"type": "path"},
    "base_dir": {"type": "path", "default": "/var/lib/actions-runner"},
    "unit_dir": {"type": "path", "default": "/etc/systemd/system"},
    "max_age_days": {"type": "int", "default": 30},
    "replace": {"type": "str", "choices": ["never", "offline", "always"], "default": "offline"},
    "drain_timeout_seconds": {"type": "int", "default": 1800},
    "online_timeout_seconds": {"type": "int", "default": 60},
    "state": {"type": "str", "choices": _STATES, "default": "present"},
    # From the action plugin to the module only.
    "registered": {"type": "list", "elements": "dict", "default": []},
    "prepared": {"type": "bool", "default": False},
    "registration_token": {"type": "str", "no_log": True},
    "orphans": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "id": {"type": "int", "required": True},
            "verdict": {"type": "str", "required": True},
        },
    },
    "jit_configs": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "id": {"type": "int", "required": True},
            "config": {"type": "str", "required": True, "no_log": True},
        },
    },
}


def normal_instances(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the instances complete: account and state filled in, labels without those that come by
    themselves.

    Raises CiError for whatever GitHub, the runner or systemd would not take, before anything is touched.
    """
    check_base_dir(str(params["base_dir"]))
    instances = [_normal(given, str(params["state"])) for given in params["instances"]]
    check_distinct([instance["name"] for instance in instances])
    return instances


def _normal(given: Mapping[str, Any], pool_state: str) -> dict[str, Any]:
    instance = dict(given)
    name = check_name(instance["name"])
    check_work_dir(instance["work_dir"])
    env_text(instance["environment"])
    path_text(instance["path"])
    instance["user"] = instance.get("user") or instance_user(name)
    instance["ephemeral"] = instance["ephemeral"] or instance["jit"]
    instance["labels"] = list(custom_labels(instance["labels"], default_labels=instance["default_labels"]))
    own_state = instance.get("state") or "present"
    instance["state"] = own_state if pool_state == "present" or own_state == "absent" else pool_state
    return instance
