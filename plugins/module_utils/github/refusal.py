"""Turns GitHub's refusals into one sentence with scope, status, and the permission that is needed."""

from __future__ import annotations

import json

from .http import Answer, is_rate_limited
from .scope import Scope

#: What a call is about, which decides the permission that it takes.
RUNNERS, VARIABLES, JOBS, APP = "runners", "variables", "jobs", "app"

# docs.github.com/rest/authentication/permissions-required-for-fine-grained-personal-access-tokens, and the
# classic scopes as each endpoint's page names them.
_FINE = {
    (RUNNERS, "repository"): ("Administration", "repo"),
    (RUNNERS, "organization"): ("Self-hosted runners", "admin:org"),
    (VARIABLES, "repository"): ("Variables", "repo"),
    (VARIABLES, "organization"): ("Variables (organization)", "admin:org"),
    (JOBS, "repository"): ("Actions", "repo"),
}
_CLASSIC = {
    (RUNNERS, "enterprise"): "the classic scope 'manage_runners:enterprise', which no App or fine-grained "
    "token can have",
}
_MESSAGE_LIMIT = 200


def need(area: str, scope: Scope, level: str) -> str:
    """Return what a credential needs for calls of ``area`` to ``scope``; ``level`` is read or write."""
    if area == APP:
        return "the App installed there, app_id and app_key of the same App, and a right clock"
    if (area, scope.kind) in _CLASSIC:
        return _CLASSIC[area, scope.kind]
    permission, classic = _FINE[area, scope.kind]
    return f"'{permission}: {level}' (GitHub App or fine-grained token) or the classic scope '{classic}'"


def refusal(scope: Scope, intent: str, answer: Answer, needed: str, attempts: int = 1) -> str:
    """Return the sentence for ``answer`` to the attempt to ``intent`` ("list the runners of") on
    ``scope``, which takes what ``needed`` says.
    """
    head = f"GitHub at {scope.api_url} refused to {intent} {scope.label} (HTTP {answer.status})"
    return f"{head}: {_reason(answer, f'it needs {needed}', attempts)}."


def _reason(answer: Answer, needs: str, attempts: int) -> str:
    if is_rate_limited(answer):
        return "the rate limit is used up; run again later or use a GitHub App, which has a limit of its own"
    if answer.status == 401:
        return f"the credential is wrong, expired or revoked{_said(answer)}; give a valid one, {needs}"
    if answer.status == 403 and answer.headers.get("x-github-sso", "").startswith("required"):
        return "the organization asks for single sign-on; authorize the token for it on its page at GitHub"
    if answer.status == 403:
        return f"the credential lacks the permission{_said(answer)}; {needs}"
    if answer.status == 404:
        return f"it does not exist or the credential cannot see it; check the url; {needs}"
    if answer.status >= 500:
        return f"the server is in trouble, {attempts} attempts were made; see githubstatus.com and run again"
    return f"the request was not accepted{_said(answer)}"


def _said(answer: Answer) -> str:
    """Return GitHub's own message in brackets, when it sent one."""
    try:
        message = json.loads(answer.body)["message"]
    except (ValueError, KeyError, TypeError):
        return ""
    text = " ".join(str(message).split())[:_MESSAGE_LIMIT].rstrip(".")
    return f" ({text})" if text else ""
