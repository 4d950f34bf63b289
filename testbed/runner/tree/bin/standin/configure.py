"""The command ``config.sh``: register the runner of this directory."""

from __future__ import annotations

import base64
import platform
import random
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable
from urllib.parse import quote, urlsplit

from . import registration, rsa, service_control
from .basics import SUCCESS, RunnerError, refuse_root, version
from .commandline import Settings, split_labels
from .diagnostics import Diagnostics
from .transport import AnsweredError, Transport, UnreachableError, api_base

ARCHITECTURES = {"x86_64": "X64", "aarch64": "ARM64", "armv7l": "ARM", "i686": "X86"}
ALREADY_CONFIGURED = (
    "Cannot configure the runner because it is already configured. "
    "To reconfigure the runner, run 'config.cmd remove' or './config.sh remove' first."
)
TRIES = 3


@dataclass(frozen=True)
class GitHubConnection:
    """The connection during registration: API, scope, short-lived token."""

    transport: Transport
    api: str
    scope: str
    token: str

    def call(self, method: str, path: str, body: Any = None) -> Any:
        return self.transport.call(
            method, f"{self.api}{path}", authorization=f"RemoteAuth {self.token}", body=body
        )


def scope_path(github_url: str) -> str:
    """Return the scope as a part of API paths.

    It is ``repos/o/r``, ``orgs/o`` or ``enterprises/e``. Raises RunnerError for other URLs.
    """
    parts = [part for part in urlsplit(github_url).path.split("/") if part]
    if len(parts) == 1:
        return f"orgs/{parts[0]}"
    if len(parts) == 2:
        return (
            f"enterprises/{parts[1]}" if parts[0].lower() == "enterprises" else f"repos/{parts[0]}/{parts[1]}"
        )
    raise RunnerError(f"'{github_url}' should point to an org or repository.")


def connect(settings: Settings, github_url: str, event: str) -> tuple[GitHubConnection, dict[str, Any]]:
    """Exchange the token for access to the tenant.

    ``event`` is ``register`` or ``remove``. Returns the connection and GitHub's answer. Raises RunnerError.
    """
    transport, api, scope = Transport(), api_base(github_url), scope_path(github_url)
    token = _token(settings, transport, api, scope, event)
    connection = GitHubConnection(transport, api, scope, token)
    request = {"url": github_url, "runner_event": event}
    return connection, with_retries(lambda: connection.call("POST", "/actions/runner-registration", request))


def _token(settings: Settings, transport: Transport, api: str, scope: str, event: str) -> str:
    pat = settings.argument("pat")
    if not pat:
        return settings.required("token", f"What is your runner {event} token?")
    kind = {"register": "registration", "remove": "remove"}[event]
    basic = base64.b64encode(f"github:{pat}".encode()).decode()
    address = f"{api}/{scope}/actions/runners/{kind}-token"
    answer = with_retries(lambda: transport.call("POST", address, authorization=f"Basic {basic}"))
    return str(answer["token"])


def with_retries(call: Callable[[], Any]) -> Any:
    """Call up to three times, with pauses of 1 to 5 s.

    The statuses 404, 409 and 422 are final. Raises RunnerError.
    """
    for attempt in range(1, TRIES + 1):
        try:
            return call()
        except (AnsweredError, UnreachableError) as error:
            final = isinstance(error, AnsweredError) and error.status in (404, 409, 422)
            if final or attempt == TRIES:
                raise RunnerError(str(error)) from None
        time.sleep(random.uniform(1, 5))
    raise AssertionError("the last try returns or raises")


def configure(settings: Settings, root: Path, terminal: Diagnostics) -> int:
    """Register the runner of this directory; raises RunnerError."""
    refuse_root()
    if settings.flag("generateserviceconfig"):
        return _service_only(root, terminal)
    if registration.is_configured(root):
        raise RunnerError(ALREADY_CONFIGURED)
    terminal.say("\n# Authentication\n")
    github_url = _github_url(settings)
    connection, tenant = connect(settings, github_url, "register")
    terminal.say("\n√ Connected to GitHub\n\n# Runner Registration\n")
    group = _group(settings, connection)
    wanted = _wanted(settings, group, github_url)
    key = _key(root)
    runner = _register(settings, connection, wanted, key, terminal)
    terminal.say("\n# Runner settings\n")
    work_folder = settings.required("work", "Enter name of work folder:", "_work")
    _save(root, settings, tenant, group, runner, github_url, work_folder)
    service_control.write_script(root, registration.load(root))
    terminal.say("\n√ Settings Saved.\n")
    return SUCCESS


def _service_only(root: Path, terminal: Diagnostics) -> int:
    if not registration.is_configured(root):
        raise RunnerError("The runner must be configured before a service can be generated for it.")
    service_control.write_script(root, registration.load(root))
    terminal.say("√ Service configuration generated.")
    return SUCCESS


def _github_url(settings: Settings) -> str:
    url = settings.required("url", "What is the URL of your repository?")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("Invalid configuration provided for url. Terminating unattended configuration.")
    return url


def _group(settings: Settings, connection: GitHubConnection) -> dict[str, Any]:
    answer = with_retries(lambda: connection.call("GET", f"/{connection.scope}/actions/runner-groups"))
    groups: list[dict[str, Any]] = answer["runner_groups"]
    name = settings.argument("runnergroup")
    if name is None:
        return next(group for group in groups if group["default"])
    for group in groups:
        if group["name"].lower() == name.lower():
            return group
    raise RunnerError(f'Could not find any self-hosted runner group named "{name}".')


def _wanted(settings: Settings, group: dict[str, Any], github_url: str) -> dict[str, Any]:
    name = settings.required("name", "Enter the name of runner:", socket.gethostname())
    custom = split_labels(settings.argument("labels") or "")
    if settings.flag("no-default-labels"):
        if not custom:
            raise RunnerError("When --no-default-labels is specified, at least one label must be provided.")
        system = []
    else:
        system = ["self-hosted", "Linux", ARCHITECTURES.get(platform.machine(), "X64")]
    labels = [{"id": 0, "name": each, "type": "system"} for each in system]
    labels += [{"id": 0, "name": each, "type": "user"} for each in custom]
    return {
        "url": github_url,
        "group_id": group["id"],
        "name": name,
        "version": version(),
        "updates_disabled": settings.flag("disableupdate"),
        "ephemeral": settings.flag("ephemeral"),
        "labels": labels,
    }


def _key(root: Path) -> dict[str, str]:
    """Return the runner's key; an existing one is used again."""
    path = root / registration.KEY
    if path.exists():
        return {str(name): str(value) for name, value in registration.read_exactly(path).items()}
    key = rsa.new_key()
    registration.save(path, key, mode=0o600)
    return key


def _register(
    settings: Settings,
    connection: GitHubConnection,
    wanted: dict[str, Any],
    key: dict[str, str],
    terminal: Diagnostics,
) -> dict[str, Any]:
    name = wanted["name"]
    query = f"/{connection.scope}/actions/runners?name={quote(name, safe='')}"
    same_name = with_retries(lambda: connection.call("GET", query))["runners"]
    request = {**wanted, "public_key": rsa.public_xml(key)}
    if same_name:
        terminal.say("A runner exists with the same name")
        if not settings.flag("replace"):
            raise RunnerError(f"A runner exists with the same name {name}.")
        request.update(runner_id=same_name[0]["id"], replace=True)
    answer: dict[str, Any] = with_retries(
        lambda: connection.call("POST", "/actions/runners/register", request)
    )
    terminal.say("√ Successfully replaced the runner" if same_name else "√ Runner successfully added")
    return answer


def _save(
    root: Path,
    settings: Settings,
    tenant: dict[str, Any],
    group: dict[str, Any],
    runner: dict[str, Any],
    github_url: str,
    work_folder: str,
) -> None:
    where = runner["authorization"]
    content: dict[str, Any] = {
        "agentId": runner["id"],
        "agentName": runner["name"],
        "poolId": group["id"],
        "poolName": group["name"],
        "serverUrl": tenant["url"],
        "gitHubUrl": github_url,
        "workFolder": work_folder,
        "useV2Flow": True,
        "useRunnerAdminFlow": True,
        "serverUrlV2": where["server_url"],
    }
    # Members with their default value are left out.
    if "api." not in api_base(github_url):
        content["isHostedServer"] = False
    for name, member in (("disableupdate", "disableUpdate"), ("ephemeral", "ephemeral")):
        if settings.flag(name):
            content[member] = True
    credentials = {
        "scheme": "OAuth",
        "data": {
            "clientId": where["client_id"],
            "authorizationUrl": where["authorization_url"],
            "requireFipsCryptography": "True",
        },
    }
    registration.save(root / registration.CREDENTIALS, credentials)
    registration.save(root / registration.RUNNER, content)
