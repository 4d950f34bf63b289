"""The repository, organization or enterprise that runners are registered with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import CiError

# GitHub.com, and GitHub Enterprise Cloud with data residency, have their API on another host.
_HOSTS_WITH_API_HOST = re.compile(r"(?:www\.)?(github\.com)|((?:[a-z0-9-]+\.)+ghe\.com)", re.IGNORECASE)
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Scope:
    """A place that runners are registered with.

    ``kind`` is ``repository``, ``organization`` or ``enterprise``. ``name`` is ``owner/repository``, or the
    name of the organization or enterprise. ``url`` is its page and ``api_url`` the root of the REST API, both
    without a final slash.
    """

    kind: str
    name: str
    url: str
    api_url: str

    @property
    def path(self) -> str:
        """The start of every REST path of this scope."""
        return {"repository": "/repos/", "organization": "/orgs/", "enterprise": "/enterprises/"}[
            self.kind
        ] + self.name

    @property
    def label(self) -> str:
        """The scope as an error message names it."""
        return f"{self.kind} {self.name}"


def api_url_of(url: str) -> str:
    """Return the REST root for the page ``url``.

    The rule is the runner's own (RunnerDotcomServer.cs): GitHub.com and ghe.com have the host ``api.…``,
    every other host is a GitHub Enterprise Server with ``/api/v3``. Unlike the runner, keep the port.
    """
    parts = urlsplit(url)
    hosted = _HOSTS_WITH_API_HOST.fullmatch(parts.hostname or "")
    if hosted:
        return f"https://api.{(hosted.group(1) or hosted.group(2)).lower()}"
    return f"{parts.scheme}://{parts.netloc}/api/v3"


def scope_of(url: str, api_url: str = "") -> Scope:
    """Return the scope that the page ``url`` names.

    ``api_url`` replaces the derived REST root. Raises CiError unless ``url`` is http(s)://host/ with
    owner/repository, organization or enterprises/name.
    """
    clean = url.strip().rstrip("/")
    parts = urlsplit(clean)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CiError(
            f"GitHub url '{_without_login(url)}' is not an http(s) address; give the page of the repository "
            "or organization, such as https://github.com/owner/repository."
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise CiError(
            f"GitHub url '{_without_login(url)}' carries a login, query or fragment; give the bare page, and "
            "the credential as token or app_key."
        )
    segments = [segment for segment in parts.path.split("/") if segment]
    if not 1 <= len(segments) <= 2 or not all(_SEGMENT.fullmatch(segment) for segment in segments):
        raise CiError(
            f"GitHub url '{url}' names no repository, organization or enterprise; give "
            "https://host/owner/repository, https://host/organization or https://host/enterprises/name."
        )
    root = (api_url or api_url_of(clean)).rstrip("/")
    if len(segments) == 1:
        return Scope("organization", segments[0], clean, root)
    # A browser shows this form of the page; the runner knows only the short one.
    if segments[0].lower() == "orgs":
        return Scope("organization", segments[1], f"{parts.scheme}://{parts.netloc}/{segments[1]}", root)
    if segments[0].lower() == "enterprises":
        return Scope("enterprise", segments[1], clean, root)
    repository = segments[1][:-4] if segments[1].endswith(".git") else segments[1]
    page = clean[:-4] if segments[1].endswith(".git") else clean
    return Scope("repository", f"{segments[0]}/{repository}", page, root)


def _without_login(url: str) -> str:
    """Return ``url`` without the text between ``//`` and ``@``: it may be a password."""
    return re.sub(r"//[^/@]*@", "//", url)
