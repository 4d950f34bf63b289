"""The options of the module github_runner: specification, checks and normal form.

Controller and host both use them. Order in this file: the job environment (the runner's files ``.env`` and
``.path``), labels, registration, and the module's specification.

``.env`` has no comments, quotes, trimming or expansion (Program.cs LoadAndSetEnv, runner 2.336.0).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import CiError
from ..github.options import CONNECTION_SPEC
from .layout import check_base_dir, check_distinct, check_name, instance_user

STATES = ["present", "absent", "drained"]

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_QUOTES = "'\""
# Settings in the source of actions/runner 2.336.0. A newer runner can have more, so warn of other names.
_KNOWN = frozenset(
    [
        "ACTIONS_RUNNER_ACTION_ARCHIVE_CACHE",
        "ACTIONS_RUNNER_CONTAINER_HOOKS",
        "ACTIONS_RUNNER_DISABLE_NODE_MAGLEV",
        "ACTIONS_RUNNER_FORCED_INTERNAL_NODE_VERSION",
        "ACTIONS_RUNNER_HOOK_JOB_COMPLETED",
        "ACTIONS_RUNNER_HOOK_JOB_STARTED",
        "ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT",
        "ACTIONS_RUNNER_REQUIRE_JOB_CONTAINER",
        "ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE",
        "ACTIONS_RUNNER_SYMLINK_CACHED_ACTIONS",
        "GITHUB_ACTIONS_RUNNER_CHANNEL_TIMEOUT",
        "GITHUB_ACTIONS_RUNNER_DOWNLOAD_TIMEOUT",
        "GITHUB_ACTIONS_RUNNER_EXTRA_USER_AGENT",
        "GITHUB_ACTIONS_RUNNER_FORCE_GHES",
        "GITHUB_ACTIONS_RUNNER_HTTP_RETRY",
        "GITHUB_ACTIONS_RUNNER_HTTP_TIMEOUT",
        "GITHUB_ACTIONS_RUNNER_TLS_NO_VERIFY",
        "GITHUB_ACTIONS_SERVICE_EXIT_AFTER_N_FAILURES",
    ]
)
_PREFIXES = ("ACTIONS_RUNNER_", "GITHUB_ACTIONS_RUNNER_", "GITHUB_ACTIONS_SERVICE_")
# Endings of names that hold a secret. Every job could read it, also one of a pull request from a fork.
_SECRET = re.compile(
    r"(?:^|_)(?:TOKEN|PAT|PASSWORD|PASSWD|PASSPHRASE|SECRET|CREDENTIALS?|(?:API|ACCESS|PRIVATE)_?KEY)$"
)
_HOOKS = frozenset(["ACTIONS_RUNNER_HOOK_JOB_STARTED", "ACTIONS_RUNNER_HOOK_JOB_COMPLETED"])


def env_text(environment: Mapping[str, object]) -> str:
    """Return the contents of ``.env``, sorted by name.

    Raises CiError for an entry that the runner would not read as written.
    """
    return "".join(f"{key}={_checked(key, environment[key])}\n" for key in sorted(environment))


def unknown_warning(environments: Iterable[Mapping[str, object]]) -> str:
    """Return a warning about names that look like the runner's settings.

    The text is empty if the runner, as far as we know, reads all of them.
    """
    names = {key for environment in environments for key in environment}
    unknown = sorted(key for key in names if key.upper().startswith(_PREFIXES) and key.upper() not in _KNOWN)
    if not unknown:
        return ""
    return (
        f"actions/runner 2.336.0 does not read these variables: {', '.join(unknown)}. Check their spelling, "
        "or ignore this warning if your version reads them."
    )


def variable_text(value: object) -> str:
    """Return ``value`` as programs expect it: a boolean becomes ``true`` or ``false``."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def path_text(entries: Sequence[str]) -> str:
    """Return the contents of ``.path``: the search path of every job.

    It is a line without a newline at its end.
    """
    return ":".join(_checked_entry(entry) for entry in entries)


def _checked(key: str, value: object) -> str:
    """Return the text of a variable; raises CiError if it would not reach jobs so."""
    text = variable_text(value)
    reason = _key_error(key) or _value_error(text) or _hook_error(key, text)
    if reason:
        raise CiError(f"Runner environment variable '{key}' cannot be used: {reason}.")
    return text


def _key_error(key: str) -> str:
    if key.startswith("#"):
        return "the runner's .env has no comments, this line would set a variable of that name; remove it"
    if not _KEY.fullmatch(key):
        return "a name has letters, digits and '_' only, and does not start with a digit; rename it"
    upper = key.upper()
    if upper == "ACTIONS_RUNNER_CONCURRENT_JOBS":
        return "the runner has no such setting and runs one job at a time; add instances for more at once"
    if upper.startswith("ACTIONS_RUNNER_INPUT_"):
        return "every later configuration would read it as an option; use the options of the instance"
    if upper == "PATH":
        return "the search path has an option of its own; use 'path'"
    if _SECRET.search(upper):
        return "by its name it is a secret, and every job could read it; use the secrets of GitHub Actions"
    return ""


def _value_error(text: str) -> str:
    if not text.isprintable():
        return "its value has a line break or control character, which .env cannot hold; remove it"
    if text != text.strip():
        return "its value begins or ends with a space, which the runner would keep; remove it"
    if len(text) > 1 and text[0] == text[-1] and text[0] in _QUOTES:
        return "the quotes around its value would become part of it; remove them"
    if " #" in text or text.startswith("#"):
        return "the runner's .env has no comments, so '#…' would become part of the value; remove it"
    return ""


def _hook_error(key: str, text: str) -> str:
    if key.upper() not in _HOOKS or (text.startswith("/") and text.endswith((".sh", ".ps1"))):
        return ""
    return "a job hook must be the absolute path of a .sh or .ps1 file; give such a path"


def hook_paths(environment: Mapping[str, object]) -> list[str]:
    """Return the paths of the job hooks in ``environment``, sorted."""
    return sorted(str(path) for key, path in environment.items() if key.upper() in _HOOKS)


def hooks_refusal(name: str, missing: Sequence[str]) -> str:
    """Return why the runner ``name`` must not work without the hooks ``missing``."""
    return (
        f"Runner '{name}' would fail every job, because the host does not have {', '.join(missing)}; "
        "converge the role agent, or correct github_runner_hooks_dir."
    )


def _checked_entry(entry: str) -> str:
    if not entry.startswith("/") or re.search(r"[:\"'\\%\s]", entry):
        raise CiError(
            f"Path entry '{entry}' cannot be used; give an absolute directory without spaces, quotes or any "
            "of : % \\."
        )
    return entry


_SYSTEM_BY_MACHINE = {"x86_64": "X64", "amd64": "X64", "aarch64": "ARM64", "arm64": "ARM64", "armv7l": "ARM"}
_ARCHITECTURES = frozenset(["x64", "arm64", "arm", "x86"])
_COMMON = frozenset(["self-hosted", "linux"])
# A longer label silently empties the whole set in the unattended configuration (ConfigurationManager.cs).
_LENGTH_LIMIT = 256
_COUNT_LIMIT = 100  # per request, GitHub's OpenAPI description


def system_labels(machine: str) -> tuple[str, ...]:
    """Return the labels that GitHub gives a Linux runner on ``machine`` (uname -m)."""
    architecture = _SYSTEM_BY_MACHINE.get(machine.lower())
    return ("self-hosted", "Linux") + ((architecture,) if architecture else ())


def custom_labels(labels: Iterable[str], *, default_labels: bool = True) -> tuple[str, ...]:
    """Return the distinct labels to request, in order, without the default labels.

    Without ``default_labels`` GitHub adds no label, so the result keeps them. Raises CiError for a label that
    the runner would split, drop or reject.
    """
    given_by_default = _COMMON | _ARCHITECTURES if default_labels else frozenset[str]()
    chosen: dict[str, str] = {}
    for label in labels:
        check_label(label)
        if label.lower() not in given_by_default:
            chosen.setdefault(label.lower(), label)
    if len(chosen) > _COUNT_LIMIT:
        raise CiError(
            f"{len(chosen)} labels are more than the {_COUNT_LIMIT} that GitHub accepts; give fewer."
        )
    return tuple(chosen.values())


def check_label(label: str) -> None:
    """Raise CiError unless ``label`` reaches GitHub unchanged."""
    if not label or label != label.strip() or len(label) > _LENGTH_LIMIT:
        raise CiError(
            f"Label '{label[:40]}' cannot be used; give 1 to 256 characters without spaces at the ends."
        )
    if "," in label:
        raise CiError(
            f"Label '{label[:40]}' cannot be used, because the runner splits labels at commas; give a list."
        )
    if not label.isprintable():
        raise CiError(
            f"Label {label[:40]!r} cannot be used, because it has a tab or another control character; remove "
            "that."
        )


def check_architecture(labels: Iterable[str], machine: str) -> None:
    """Raise CiError if ``labels`` name an architecture that ``machine`` does not have.

    Jobs would fail there.
    """
    own = {label.lower() for label in system_labels(machine)}
    for label in labels:
        if label.lower() in _ARCHITECTURES and label.lower() not in own:
            raise CiError(
                f"Label '{label}' claims an architecture that this host ({machine}) does not have; remove it."
            )


def same_labels(first: Sequence[str], second: Sequence[str]) -> bool:
    """Return whether two sets are equal to GitHub, which ignores order and case."""
    return {label.lower() for label in first} == {label.lower() for label in second}


@dataclass(frozen=True)
class Registration:
    """The values that only ``config.sh`` can set.

    Labels are not among them: the REST API changes labels without a restart.
    """

    url: str
    name: str
    group: str = ""
    work_dir: str = "_work"
    ephemeral: bool = False
    default_labels: bool = True

    @property
    def fingerprint(self) -> str:
        """The SHA-256 over all values; it changes when a new registration is needed."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def check_work_dir(work_dir: str) -> str:
    """Return ``work_dir``, an absolute path or a name in the instance's directory.

    Raises CiError for other texts. Deeper directories belong to the jobs, which could replace a parent by a
    link.
    """
    parts = work_dir.split("/")
    plain = work_dir.isprintable() and not any(letter in work_dir for letter in " \t\"'\\%:$")
    nested = not work_dir.startswith("/") and len(parts) > 1
    if not work_dir or not plain or nested or ".." in parts or "." in parts or work_dir.rstrip("/") == "":
        raise CiError(
            f"Work directory '{work_dir}' cannot be used; give a name for a directory in the instance's own "
            "directory, or an absolute path, without spaces, quotes, '.' and '..'."
        )
    return work_dir


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
    "state": {"type": "str", "choices": STATES},
}
RUNNER_SPEC: dict[str, Any] = {
    **CONNECTION_SPEC,
    "instances": {"type": "list", "elements": "dict", "required": True, "options": INSTANCE_SPEC},
    "archive": {"type": "path"},
    "base_dir": {"type": "path", "default": "/var/lib/actions-runner"},
    "unit_dir": {"type": "path", "default": "/etc/systemd/system"},
    "max_age_days": {"type": "int", "default": 30},
    "replace": {"type": "str", "choices": ["never", "offline", "always"], "default": "never"},
    "public_repository": {"type": "str", "choices": ["refuse", "allow"], "default": "refuse"},
    "drain_timeout_seconds": {"type": "int", "default": 1800},
    "online_timeout_seconds": {"type": "int", "default": 60},
    "state": {"type": "str", "choices": STATES, "default": "present"},
    # The action plugin sets these; the user does not.
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
    """Return the instances with account and state, and only the labels to request.

    Raises CiError before any change for a value that GitHub, the runner or systemd would reject.
    """
    check_base_dir(str(params["base_dir"]))
    instances = [normal_instance(given, str(params["state"])) for given in params["instances"]]
    check_distinct([instance["name"] for instance in instances])
    return instances


def normal_instance(given: Mapping[str, Any], pool_state: str) -> dict[str, Any]:
    """Return one instance in normal form.

    ``pool_state`` is the state of the pool. A pool that is absent or drained takes all its instances along.
    """
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
