"""Turn libvosk versions and Vosk models into artifacts of the store. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

_ARCHIVE = re.compile(r"\.(zip|tar|tgz|tar\.(gz|xz|bz2|zst))$", re.IGNORECASE)
_LIBRARY = ("libvosk.so", "vosk_api.h")
# The files by which libvosk recognizes a model, in its second layout or in its first, flat one, which some
# languages still have (vosk-api, src/model.cc).
_MODEL = ("am/final.mdl|final.mdl", "conf/model.conf|mfcc.conf")


def libvosk_artifacts(
    versions: Sequence[Mapping[str, Any]],
    default: str,
    prefix: str,
    releases: Mapping[str, Mapping[str, Any]],
    architecture: str,
) -> list[dict[str, Any]]:
    """Return one artifact per version, linked at ``<prefix>/<version>``.

    The default version is pinned. ``releases`` maps version and architecture to the url and sha256 that are
    used where the inventory gives neither. A value that is missing there too is reported by the module
    ``artifact``.
    """
    names = [str(version["version"]) for version in versions]
    return [
        {
            "name": f"libvosk-{name}",
            **_source(raw, releases.get(name, {}).get(architecture, {})),
            "strip_components": 1,
            "expect": list(_LIBRARY),
            "link": posixpath.join(prefix, name),
            "kind": "library",
            "pinned": name == default,
        }
        for name, raw in zip(names, versions)
    ]


def libvosk_registry(versions: Sequence[Mapping[str, Any]], default: str, prefix: str) -> dict[str, Any]:
    """Return the content of the host's registry.

    The default version and the path of each version.
    """
    names = [str(version["version"]) for version in versions]
    return {
        "default": default,
        "versions": {name: {"path": posixpath.join(prefix, name)} for name in names},
    }


def vosk_model_artifacts(
    models: Sequence[Mapping[str, Any]], link_dir: str, releases: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return one artifact per model.

    An archive is unpacked without its top directory and must hold a model. Any other URL is kept as a single
    file. ``releases`` maps a name to the url and sha256 that are used where the inventory gives neither.
    """
    artifacts = []
    for model in models:
        name = str(model["name"])
        source = _source(model, releases.get(name, {}))
        archive = _is_archive(source.get("url") or "")
        expect = model.get("expect")
        if expect is None:
            expect = _MODEL if archive else ()
        link = model.get("link") or (posixpath.join(link_dir, name) if link_dir else None)
        artifacts.append(
            {
                "name": name,
                "kind": "model",
                **source,
                "format": "auto" if archive else "file",
                "strip_components": 1 if archive else 0,
                "expect": list(expect),
                "pinned": bool(model.get("pinned")),
                **({"link": link} if link else {}),
            }
        )
    return artifacts


def _source(raw: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return url and sha256, both from the inventory or both from ``known``."""
    given = {key: raw[key] for key in ("url", "sha256") if raw.get(key)}
    return given or dict(known)


def _is_archive(url: Any) -> bool:
    first = url if isinstance(url, str) else url[0]
    return _ARCHIVE.search(urlsplit(first).path) is not None
