"""Turns GitHub's refusals into one sentence with scope, status, and the permission that is needed."""

from __future__ import annotations

import json

from .http import Answer, is_rate_limited
from .scope import Scope

# docs.github.com/rest/actions/self-hosted-runners: the permission per endpoint, by scope.
RUNNER_PERMISSIONS = {
    "repository": "'Administration: write' (GitHub App or fine-grained token) or the classic scope 'repo'",
    "organization": "'Self-hosted runners: write' (GitHub App or fine-grained token) or the classic scope "
    "'admin:org'",
    "enterprise": "the classic scope 'manage_runners:enterprise', which no App or fine-grained token can "
    "have",
}
_MESSAGE_LIMIT = 200


def refusal(scope: Scope, intent: str, answer: Answer, attempts: int = 1) -> str:
    """Return the sentence for ``answer`` to the attempt to ``intent`` ("list the runners of") on
    ``scope``.
    """
    head = f"GitHub at {scope.api_url} refused to {intent} {scope.label} (HTTP {answer.status})"
    return f"{head}: {_reason(scope, answer, attempts)}."


def _reason(scope: Scope, answer: Answer, attempts: int) -> str:
    needs = f"it needs {RUNNER_PERMISSIONS[scope.kind]}"
    if is_rate_limited(answer):
        return "the rate limit is used up; run again later or use a GitHub App, which has a limit of its own"
    if answer.status == 401:
        return f"the credential is wrong, expired or revoked; give a valid one, {needs}"
    if answer.status == 403:
        return f"the credential lacks the permission{_said(answer)}; {needs}"
    if answer.status == 404:
        return f"it does not exist or the credential cannot see it; check the url, and that {needs}"
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
