"""A wanted artifact, and the checks of its options. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Optional
from urllib.parse import unquote, urlsplit

from ..errors import CiError
from .members import ArchiveError, member_path
from .receipt import Shape

FORMATS = ("auto", "zip", "tar", "file")
KINDS = ("model", "library", "runner", "toolchain", "other")
SCHEMES = ("http", "https", "file")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_USER = re.compile(r"://[^/]*@")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tar.zst", ".tzst")
_WELL_KNOWN_STARTS = (
    "a1b2c3d4",
    "deadbeef",
    "0123456789",
    "1234567890",
    "abcdef0123",
    "abcdef1234",
    "fedcba98",
)
_EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class Artifact(NamedTuple):
    """One wanted artifact, validated.

    ``urls`` are tried in order; ``link`` is absolute or empty. ``set_name`` is the list of the inventory that
    wants it, empty for a call without such a name.
    """

    name: str
    urls: tuple[str, ...]
    sha256: str
    shape: Shape
    expect: tuple[str, ...] = ()
    link: str = ""
    pinned: bool = False
    kind: str = "other"
    set_name: str = ""

    @property
    def file_name(self) -> str:
        """The name of the single file of ``format: file``.

        It is as in the first url, else the artifact's name.
        """
        last = unquote(urlsplit(self.urls[0]).path).rpartition("/")[2]
        return last if NAME.fullmatch(last) else self.name


def checksum_problem(sha256: str) -> str:
    """Return why ``sha256`` cannot be a true digest, or an empty string.

    A true digest looks random, and one that a person or a text generator invents does not. The chance that
    these rules refuse a true digest is below one in a hundred million.
    """
    if not _SHA256.fullmatch(sha256):
        return f"it must be 64 hexadecimal digits and has {len(sha256)} characters"
    if sha256 == _EMPTY_SHA256:
        return "it is the checksum of an empty file"
    if any(sha256 == (sha256[:period] * 64)[:64] for period in range(1, 33)):
        return "it is a repeated pattern, so a placeholder"
    letter_digit = re.fullmatch(r"(?:[a-f][0-9]){32}|(?:[0-9][a-f]){32}", sha256)
    if letter_digit or sha256.startswith(_WELL_KNOWN_STARTS):
        return f"it begins like a well-known placeholder ({sha256[:8]}…)"
    if len(set(sha256)) < 9:
        return "it uses too few different digits, so a placeholder"
    return ""


def url_problem(url: str) -> str:
    """Return why ``url`` is refused, or an empty string."""
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError as error:
        return str(error)
    if parts.scheme not in SCHEMES:
        return f"its scheme must be one of {', '.join(SCHEMES)}"
    if parts.scheme == "file":
        return (
            ""
            if not parts.netloc and parts.path.startswith("/")
            else "a file url must be file:///absolute/path"
        )
    if not parts.hostname or not port_is_valid:
        return "it has no valid host or port"
    if "@" in parts.netloc:
        return "it carries a user or password, which would end up in world-readable files"
    if any(character <= " " or character == "\x7f" for character in url):
        return "it contains spaces or control characters; percent-encode them"
    return ""


def public_url(url: str) -> str:
    """Return ``url`` for messages and refs, without its secret parts.

    User, password and query may be secret.
    """
    bare, mark, _query = url.partition("?")
    return _USER.sub("://…@", bare, count=1) + ("?…" if mark else "")


def format_of(url: str) -> str:
    """Return the format that ``format: auto`` means: by the end of the url's path."""
    path = urlsplit(url).path.lower()
    if path.endswith(".zip"):
        return "zip"
    return "tar" if path.endswith(_TAR_SUFFIXES) else "file"


def contradiction(name: str, url: str, other_name: str, other_url: str) -> bool:
    """Return whether one content cannot be both of these artifacts.

    It cannot have two versions, and not two names unless it is the same file. Usually the version or the name
    was changed in the inventory and the sha256 was forgotten.
    """
    versions, others = _VERSION.findall(name), _VERSION.findall(other_name)
    if versions != others if versions and others else _versions_differ(url, other_url):
        return True
    return name != other_name and _parts(url)[-1] != _parts(other_url)[-1]


def _versions_differ(url: str, other_url: str) -> bool:
    """Return whether the urls have different versions in the parts that they share.

    Two mirrors share the end of their paths.
    """
    pairs = zip(reversed(_parts(url)), reversed(_parts(other_url)))
    versions = [(_VERSION.findall(mine), _VERSION.findall(theirs)) for mine, theirs in pairs]
    return any(mine and theirs and mine != theirs for mine, theirs in versions)


def _parts(url: str) -> list[str]:
    return unquote(urlsplit(url.partition("?")[0]).path).split("/")


def check_content(artifact: Artifact, others: Iterable[tuple[str, str, str]]) -> None:
    """Raise CiError if the content of ``artifact`` is known as something else.

    ``others`` are the name, kind and url of artifacts with the same sha256. A kind of ``other`` says too
    little about a content.
    """
    for name, kind, url in others:
        if kind == artifact.kind != "other" and contradiction(artifact.name, artifact.urls[0], name, url):
            raise _fail(
                artifact.name,
                f"its sha256 {artifact.sha256[:12]}… is that of {name} ({public_url(url)}), so the content "
                f"cannot be {public_url(artifact.urls[0])}; give the right sha256.",
            )


def _fail(name: str, what: str) -> CiError:
    return CiError(f"Artifact {name or '(without a name)'}: {what}", artifact=name)


def checked_name(name: Any) -> str:
    """Return ``name`` if it is a safe file name; raises CiError otherwise."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise _fail(
            str(name),
            "its name must be letters, digits and '._+-', begin with a letter or digit, and be at most 128 "
            "long.",
        )
    return str(name)


def _checked_urls(name: str, value: Any) -> tuple[str, ...]:
    urls = (value,) if isinstance(value, str) else tuple(value or ())
    if not urls:
        raise _fail(name, "it has no url; give one or a list that is tried in order.")
    for url in urls:
        problem = url_problem(url) if isinstance(url, str) else "it is not a string"
        if problem:
            raise _fail(name, f"the url {public_url(str(url))} is refused: {problem}.")
    return tuple(str(url) for url in urls)


def _checked_paths(name: str, option: str, values: Optional[Sequence[str]]) -> tuple[str, ...]:
    paths = []
    for value in values or ():
        try:
            path = member_path(value)
        except ArchiveError as error:
            raise _fail(name, f"{option} '{value}' must be a path inside the artifact: {error}.") from error
        if not path:
            raise _fail(name, f"{option} has an empty path; name a file or directory inside the artifact.")
        paths.append(path)
    return tuple(sorted(set(paths)))


def parse(item: Mapping[str, Any]) -> Artifact:
    """Return the artifact of ``item``, one element of the module's ``artifacts``.

    Raises CiError for an option that is not allowed.
    """
    name = checked_name(item.get("name"))
    urls = _checked_urls(name, item.get("url"))
    given = item.get("sha256")
    if not given:
        raise _fail(
            name, "it has no sha256; every artifact is checked, so give the 64 digits its publisher states."
        )
    sha256 = str(given).lower()
    problem = checksum_problem(sha256)
    if problem:
        raise _fail(
            name, f"the sha256 {sha256[:80]} is refused: {problem}; take the real one from the publisher."
        )
    form = item.get("format") or "auto"
    strip = int(item.get("strip_components") or 0)
    if form not in FORMATS or strip < 0 or item.get("kind", "other") not in KINDS:
        raise _fail(
            name, "format, strip_components or kind has a value that is not allowed; see the documentation."
        )
    form = format_of(urls[0]) if form == "auto" else form
    if form == "file" and strip:
        raise _fail(
            name, "strip_components is for archives, and this is a single file; set format or drop it."
        )
    link = item.get("link") or ""
    if link and (not link.startswith("/") or link.endswith("/") or "/../" in f"{link}/" or "\0" in link):
        raise _fail(
            name, f"link '{link}' must be an absolute path without '..' and without a slash at its end."
        )
    shape = Shape(form, strip, _checked_paths(name, "executable", item.get("executable")))
    expect = _checked_paths(name, "expect", item.get("expect"))
    return Artifact(
        name, urls, sha256, shape, expect, link, bool(item.get("pinned")), item.get("kind") or "other"
    )


def refusals(items: Iterable[Mapping[str, Any]], known: Iterable[str] = ()) -> list[str]:
    """Return why each of ``items`` is refused that is.

    ``known`` are the names whose url and sha256 a role brings itself, for a suggestion.
    """
    import difflib  # the host never needs it

    names = list(known)
    reasons = []
    wanted = list(items)
    for item in wanted:
        name = str(item.get("name"))
        if not item.get("url") and names and name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            meant = f", did you mean '{near[0]}'" if near else f" (known: {', '.join(names)})"
            reasons.append(f"'{name}' is no release that the role knows{meant}; else give its url and sha256")
            continue
        try:
            parse(item)
        except CiError as error:
            reasons.append(str(error))
    if not reasons:
        try:
            parse_all(wanted)
        except CiError as error:
            reasons.append(str(error))
    return reasons


def parse_all(items: Iterable[Mapping[str, Any]], set_name: str = "") -> list[Artifact]:
    """Return all wanted artifacts of the list ``set_name`` in order.

    Raises CiError when a name or link appears twice, or one digest has two shapes.
    """
    artifacts = [parse(item)._replace(set_name=set_name) for item in items]
    shapes: dict[str, Artifact] = {}
    seen: set[str] = set()
    for artifact in artifacts:
        for key in (artifact.name, artifact.link):
            if key and key in seen:
                raise _fail(
                    artifact.name, f"'{key}' is given twice in one call; every name and link may appear once."
                )
            seen.add(key)
        first = shapes.setdefault(artifact.sha256, artifact)
        if first.shape != artifact.shape:
            raise _fail(
                artifact.name,
                f"it has the same sha256 as {first.name} but another format, strip_components or executable; "
                "the same content is unpacked once, so let both agree.",
            )
        check_content(artifact, [(first.name, first.kind, first.urls[0])])
    return artifacts
