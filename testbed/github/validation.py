"""The oracle: openapi-core and GitHub's description decide whether a request and its answer are right."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional
from urllib.parse import parse_qsl, urlsplit

from jsonschema.exceptions import ValidationError
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from openapi_core.templating.responses.exceptions import ResponseNotFound
from werkzeug.datastructures import Headers, ImmutableMultiDict

from .exchange import Answer, Request

# openapi-core wants an absolute server address; every request is presented as if it had come to this one.
_SERVER = "http://github.invalid"
_TYPES = {"array": "an array", "object": "an object", "string": "a string", "integer": "an integer"}


class _RequestView:
    """A request in the shape that openapi-core asks for."""

    def __init__(self, request: Request, prefix: str) -> None:
        parts = urlsplit(request.target)
        self.host_url = _SERVER
        self.path = parts.path.removeprefix(prefix)
        self.method = request.method.lower()
        self.content_type = "application/json"
        self.body = request.body or None
        query = ImmutableMultiDict(parse_qsl(parts.query, keep_blank_values=True))
        self.parameters = RequestParameters(query=query, header=Headers(dict(request.headers)), cookie={})


class _AnswerView:
    """An answer in the shape that openapi-core asks for."""

    def __init__(self, answer: Answer) -> None:
        self.status_code = answer.status
        self.data = answer.encoded() or None
        self.content_type = "application/json"
        self.headers = Headers(answer.headers)


class Description:
    """The cut description, and questions about it. ``prefix`` is put before each of its paths."""

    def __init__(self, document: Mapping[str, Any], prefix: str) -> None:
        self._document = _as_meant(document)
        served = {**self._document, "servers": [{"url": _SERVER}]}
        self._openapi = OpenAPI.from_dict(served, config=Config(spec_validator_cls=None))
        self._prefix = prefix

    @classmethod
    def load(cls, path: Path, prefix: str) -> Description:
        """Return the description in ``path``; it is read again only when the file has changed."""
        return _loaded(path, path.stat().st_mtime_ns, prefix)

    def complaint(self, request: Request) -> Optional[str]:
        """Return why GitHub would refuse ``request`` with 422, in its words, or None when it is right."""
        try:
            self._openapi.validate_request(_RequestView(request, self._prefix))
        except OpenAPIError as error:
            return "Invalid request.\n\n" + _in_github_words(error)
        return None

    def violation(self, request: Request, answer: Answer) -> Optional[str]:
        """Return how ``answer`` contradicts the description, or None.

        Error answers count only where they are described: GitHub leaves most of them out.
        """
        try:
            self._openapi.validate_response(_RequestView(request, self._prefix), _AnswerView(answer))
        except ResponseNotFound:
            return None if answer.status >= 400 else f"status {answer.status} is not described"
        except OpenAPIError as error:
            return _in_github_words(error)
        return None

    def example(self, method: str, path: str) -> Any:
        """Return a copy of the first example answer of an operation: the base for undecided fields."""
        responses = self._document["paths"][path][method.lower()]["responses"]
        success = self._resolved(next(value for code, value in responses.items() if code.startswith("2")))
        examples = success["content"]["application/json"]["examples"]
        return copy.deepcopy(self._resolved(next(iter(examples.values())))["value"])

    def _resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            kind, name = node["$ref"].split("/")[2:]
            node = self._document["components"][kind][name]
        return node


@functools.lru_cache(maxsize=4)
def _loaded(path: Path, _changed_at: int, prefix: str) -> Description:
    return Description(json.loads(path.read_bytes()), prefix)


def _as_meant(node: Any) -> Any:
    """Return ``node`` where GitHub's letter says less than its text.

    By the letter of OpenAPI 3.0 ``nullable`` adds nothing to ``enum``; GitHub means it to: the conclusion
    of a queued job is null. A query's ``created`` is a date-time by the letter; its text asks for a range in
    search syntax, such as ``>=2026-01-01``.
    """
    if isinstance(node, list):
        return [_as_meant(value) for value in node]
    if not isinstance(node, Mapping):
        return node
    copied = {key: _as_meant(value) for key, value in node.items()}
    if copied.get("name") == "created" and copied.get("in") == "query":
        copied["schema"].pop("format", None)
    if copied.get("nullable") is True and isinstance(copied.get("enum"), list) and None not in copied["enum"]:
        copied["enum"].append(None)
    return copied


def _in_github_words(error: BaseException) -> str:
    cause = error.__cause__ or error
    found = [each for each in getattr(cause, "schema_errors", []) if isinstance(each, ValidationError)]
    return " ".join(_sentence(each) for each in found) or f"{type(cause).__name__}: {cause}"


def _sentence(error: ValidationError) -> str:
    if error.validator == "required":
        missing = error.message.split("'")[1]
        return f'"{missing}" wasn\'t supplied.'
    where = "/".join(f"properties/{part}" if isinstance(part, str) else str(part) for part in error.path)
    value = json.dumps(error.instance)
    if error.validator == "type" and error.validator_value in _TYPES:
        return f"For '{where}', {value} is not {_TYPES[error.validator_value]}."
    return f"For '{where}', {error.message}."
