"""The runner's ``.env`` and ``.path``: what jobs find in their environment, and what would break there.

``.env`` has no comments, no quotes, no trimming and no expansion (Program.cs LoadAndSetEnv, runner 2.336.0).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from ..errors import CiError

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
# What a name ends in that holds a secret; every job could read it, those of a fork's pull request too.
_SECRET = re.compile(
    r"(?:^|_)(?:TOKEN|PAT|PASSWORD|PASSWD|PASSPHRASE|SECRET|CREDENTIALS?|(?:API|ACCESS|PRIVATE)_?KEY)$"
)
_HOOKS = frozenset(["ACTIONS_RUNNER_HOOK_JOB_STARTED", "ACTIONS_RUNNER_HOOK_JOB_COMPLETED"])


def env_text(environment: Mapping[str, object]) -> str:
    """Return the contents of ``.env``, sorted by name; raises CiError for an entry that would not do what it
    says.
    """
    return "".join(f"{key}={_checked(key, environment[key])}\n" for key in sorted(environment))


def unknown_warning(environments: Iterable[Mapping[str, object]]) -> str:
    """Return a warning about names that look like settings of the runner, but are none that we know.

    Without such a name, the text is empty.
    """
    names = {key for environment in environments for key in environment}
    unknown = sorted(key for key in names if key.upper().startswith(_PREFIXES) and key.upper() not in _KNOWN)
    if not unknown:
        return ""
    return (
        f"actions/runner 2.336.0 does not read these variables: {', '.join(unknown)}. Check their spelling, "
        "or ignore this warning if your version reads them."
    )


def path_text(entries: Sequence[str]) -> str:
    """Return the contents of ``.path``: the search path of every job, one line without an end."""
    return ":".join(_checked_entry(entry) for entry in entries)


def _checked(key: str, value: object) -> str:
    """Return the text of one value; a truth value is written as programs expect it, ``true`` or ``false``."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    reason = _key_trouble(key) or _value_trouble(text) or _hook_trouble(key, text)
    if reason:
        raise CiError(f"Runner environment variable '{key}' cannot be used: {reason}.")
    return text


def _key_trouble(key: str) -> str:
    if key.startswith("#"):
        return "the runner's .env has no comments, this line would set a variable of that name; remove it"
    if not _KEY.fullmatch(key):
        return "a name has letters, digits and '_' only, and does not start with a digit"
    upper = key.upper()
    if upper == "ACTIONS_RUNNER_CONCURRENT_JOBS":
        return "the runner has no such setting and runs one job at a time; add instances for more at once"
    if upper.startswith("ACTIONS_RUNNER_INPUT_"):
        return "it would be taken as an option of every later configuration; use the options of the instance"
    if upper == "PATH":
        return "the search path has an option of its own; use 'path'"
    if _SECRET.search(upper):
        return "by its name it is a secret, and every job could read it; use the secrets of GitHub Actions"
    return ""


def _value_trouble(text: str) -> str:
    if not text.isprintable():
        return "its value has a line break or control character, which .env cannot hold"
    if text != text.strip():
        return "its value begins or ends with a space, which the runner would keep"
    if len(text) > 1 and text[0] == text[-1] and text[0] in _QUOTES:
        return "the quotes around its value would become part of it; remove them"
    if " #" in text or text.startswith("#"):
        return "the runner's .env has no comments, so '#…' would become part of the value; remove it"
    return ""


def _hook_trouble(key: str, text: str) -> str:
    if key.upper() not in _HOOKS or (text.startswith("/") and text.endswith((".sh", ".ps1"))):
        return ""
    return "a job hook must be the absolute path of a .sh or .ps1 file"


def _checked_entry(entry: str) -> str:
    if not entry.startswith("/") or re.search(r"[:\"'\\%\s]", entry):
        raise CiError(
            f"Path entry '{entry}' cannot be used: it must be one absolute directory without spaces, quotes "
            "or any of : % \\."
        )
    return entry
