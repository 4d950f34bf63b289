"""GitHub Apps: the App, its installations and their one-hour tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ..clock import timestamp
from ..exchange import Answer, RefusedError, not_found
from ..state import App, Credential, secret
from .call import Call, Operation

_TOKENS = "/app/installations/{installation_id}/access_tokens"


def _app(call: Call) -> App:
    app = call.state.apps.get(call.app_id or 0)
    if app is None:
        raise RefusedError(404, "Integration not found")
    return app


def _get_app(call: Call) -> Answer:
    app = _app(call)
    return Answer(200, {**call.description.example("GET", "/app"), "id": app.id})


def _installation(call: Call, template: str) -> dict[str, Any]:
    app, scope = _app(call), call.scope
    shown = call.description.example("GET", template)
    shown["account"]["login"] = scope.owner
    address = f"{call.api_url}/app/installations/{app.installation_id}/access_tokens"
    return {**shown, "id": app.installation_id, "app_id": app.id, "access_tokens_url": address}


def _get_repository_installation(call: Call) -> Answer:
    return Answer(200, _installation(call, "/repos/{owner}/{repo}/installation"))


def _get_organization_installation(call: Call) -> Answer:
    return Answer(200, _installation(call, "/orgs/{org}/installation"))


def _create_installation_token(call: Call) -> Answer:
    app = _app(call)
    if call.number("installation_id") != app.installation_id:
        raise not_found()
    wanted: dict[str, str] = call.data.get("permissions") or app.permissions
    whole = Credential(app.permissions)
    if not all(whole.allows(name, level) for name, level in wanted.items()):
        raise RefusedError(422, "The permissions requested are not granted to this installation.")
    token, expires_at = secret("ghs_"), call.moment.now + timedelta(hours=1)
    call.state.credentials[token] = Credential(dict(wanted), expires_at, installation=True)
    body = {"token": token, "expires_at": timestamp(expires_at), "permissions": wanted}
    return Answer(201, {**body, "repository_selection": "all"})


OPERATIONS = [
    Operation("GET", "/app", _get_app, access="app"),
    Operation("POST", _TOKENS, _create_installation_token, access="app"),
    Operation("GET", "/repos/{owner}/{repo}/installation", _get_repository_installation, access="app"),
    Operation("GET", "/orgs/{org}/installation", _get_organization_installation, access="app"),
]
