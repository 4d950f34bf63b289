"""Registration of runners: tokens, keys and just-in-time configurations."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import timedelta
from typing import Any, Optional

from cryptography.hazmat.primitives.asymmetric import rsa

from .clock import Moment
from .exchange import RefusedError, not_found
from .state import SYSTEM_LABELS, GitHubState, Group, Runner, RunnerToken, Scope, secret

TOKEN_LIFETIME = timedelta(hours=1)
MAX_NAME_CHARACTERS = 64


def issue_token(state: GitHubState, kind: str, scope: Scope, moment: Moment) -> tuple[str, RunnerToken]:
    """Return a new token for ``scope``; ``kind`` is ``registration`` or ``remove``.

    It is valid for an hour and any number of uses.
    """
    token = secret("A")
    state.runner_tokens[token] = RunnerToken(kind, scope, moment.now + TOKEN_LIFETIME)
    return token, state.runner_tokens[token]


def check_token(state: GitHubState, token: str, kind: str, moment: Moment) -> Scope:
    """Return the scope of a valid token; raises RefusedError 404 for others."""
    known = state.runner_tokens.get(token)
    if known is None or known.kind != kind or known.expires_at <= moment.now:
        raise not_found()
    return known.scope


def scope_of_url(state: GitHubState, url: str) -> Optional[Scope]:
    """Return the scope that config.sh's ``--url`` names, or None."""
    parts = [part for part in url.split("://", 1)[-1].split("/")[1:] if part]
    if len(parts) == 1:
        return state.scope("orgs", parts[0])
    if parts[:1] == ["enterprises"] and len(parts) == 2:
        return state.scope("enterprises", parts[1])
    return state.scope("repos", "/".join(parts)) if len(parts) == 2 else None


def find_by_name(state: GitHubState, scope: Scope, name: str) -> Optional[Runner]:
    """Return the runner with exactly this name, or None."""
    return next((runner for runner in state.runners_of(scope) if runner.name == name), None)


def register(
    state: GitHubState, scope: Scope, data: dict[str, Any], *, replace_id: Optional[int] = None
) -> Runner:
    """Add the runner that ``data`` describes and return it.

    A runner with the id ``replace_id`` gets new keys and labels instead. Raises RefusedError.
    """
    if not 1 <= len(data["name"]) <= MAX_NAME_CHARACTERS:
        raise RefusedError(422, f"Runner name must be between 1 and {MAX_NAME_CHARACTERS} characters.")
    existing = find_by_name(state, scope, data["name"])
    if existing is not None and existing.id != replace_id:
        raise already_exists(data["name"])
    if data["group_id"] not in state.groups_of(scope):
        raise not_found()
    if existing is not None and existing.job_id is not None:
        raise RefusedError(
            422, f'Runner "{existing.name}" is currently running a job and cannot be replaced.'
        )
    labels = [
        state.label(each["name"], read_only=each["name"].lower() in SYSTEM_LABELS) for each in data["labels"]
    ]
    runner = Runner(
        id=existing.id if existing else state.next_id(),
        scope=scope,
        name=data["name"],
        group_id=data["group_id"],
        labels=labels,
        version=data.get("version"),
        ephemeral=bool(data.get("ephemeral")),
        client_id=str(uuid.uuid4()),
        public_key=data.get("public_key", ""),
    )
    state.runners[runner.id] = runner
    return runner


def remove(state: GitHubState, runner: Runner) -> None:
    """Delete a registration; raises RefusedError 422 while a job runs on it."""
    if runner.job_id is not None:
        raise RefusedError(422, f'Runner "{runner.name}" is currently running a job and cannot be deleted.')
    del state.runners[runner.id]


def already_exists(name: str) -> RefusedError:
    """Return GitHub's error for a name that is taken."""
    return RefusedError(409, f"Already exists - A runner with the name {name} already exists.")


def authorization(runner: Runner, base_url: str) -> dict[str, str]:
    """Return the addresses where a runner gets its access token and its jobs."""
    token_url = f"{base_url}/_broker/oauth/token/{runner.client_id}"
    return {
        "authorization_url": token_url,
        "legacy_authorization_url": token_url,
        "server_url": f"{base_url}/_broker/",
        "client_id": runner.client_id,
    }


def new_key() -> tuple[str, dict[str, str]]:
    """Return a new RSA key.

    The public half is GitHub's XML; the whole key is the content of ``.credentials_rsaparams``.
    """
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_numbers()
    public = private.public_numbers
    numbers = {
        "d": private.d,
        "dp": private.dmp1,
        "dq": private.dmq1,
        "exponent": public.e,
        "inverseQ": private.iqmp,
        "modulus": public.n,
        "p": private.p,
        "q": private.q,
    }
    parameters = {name: _base64_number(value) for name, value in numbers.items()}
    xml = (
        f"<RSAKeyValue><Modulus>{parameters['modulus']}</Modulus>"
        f"<Exponent>{parameters['exponent']}</Exponent></RSAKeyValue>"
    )
    return xml, parameters


def jit_configuration(
    runner: Runner, group: Group, base_url: str, work_folder: str, key: dict[str, str]
) -> str:
    """Return the value of ``--jitconfig``.

    It is a JSON object of three files, each in base64, and in base64 as a whole.
    """
    where = authorization(runner, base_url)
    settings = {
        "AgentId": str(runner.id),
        "AgentName": runner.name,
        "PoolId": str(runner.group_id),
        "PoolName": group.name,
        "DisableUpdate": "True",
        "Ephemeral": "True",
        "ServerUrl": f"{base_url}/_services/",
        "ServerUrlV2": where["server_url"],
        "GitHubUrl": f"{base_url}{runner.scope.page}",
        "WorkFolder": work_folder,
        "UseV2Flow": "True",
    }
    credentials = {
        "Scheme": "OAuth",
        "Data": {"ClientId": runner.client_id, "AuthorizationUrl": where["authorization_url"]},
    }
    files = {".runner": settings, ".credentials": credentials, ".credentials_rsaparams": key}
    return _base64_json({name: _base64_json(content) for name, content in files.items()})


def _base64_json(content: Any) -> str:
    return base64.b64encode(json.dumps(content).encode()).decode()


def _base64_number(value: int) -> str:
    return base64.b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode()
