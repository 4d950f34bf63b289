"""Checks of requests and answers against GitHub's description.

openapi-core does the checks, so the emulator's answers are judged by code that is not ours.
"""

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

# openapi-core needs an absolute server address; every request is presented as one to this address.
_SERVER = "http://github.invalid"
_TYPES = {"array": "an array", "object": "an object", "string": "a string", "integer": "an integer"}


class _RequestView:
    """A request in the form that openapi-core expects."""

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
    """An answer in the form that openapi-core expects."""

    def __init__(self, answer: Answer) -> None:
        self.status_code = answer.status
        self.data = answer.encoded() or None
        self.content_type = "application/json"
        self.headers = Headers(answer.headers)


class Description:
    """The cut description.

    ``prefix`` is put before each of its paths.
    """

    def __init__(self, document: Mapping[str, Any], prefix: str) -> None:
        self._document = _corrected(document)
        served = {**self._document, "servers": [{"url": _SERVER}]}
        self._openapi = OpenAPI.from_dict(served, config=Config(spec_validator_cls=None))
        self._prefix = prefix

    @classmethod
    def load(cls, path: Path, prefix: str) -> Description:
        """Return the description in ``path``; an unchanged file is parsed only once."""
        return _loaded(path, path.stat().st_mtime_ns, prefix)

    def complaint(self, request: Request) -> Optional[str]:
        """Return GitHub's 422 message for ``request``, or None for a valid one."""
        try:
            self._openapi.validate_request(_RequestView(request, self._prefix))
        except OpenAPIError as error:
            return "Invalid request.\n\n" + _in_github_words(error)
        return None

    def violation(self, request: Request, answer: Answer) -> Optional[str]:
        """Return how ``answer`` violates the description, or None.

        An error answer is checked only if its status is described: GitHub leaves most of them out.
        """
        try:
            self._openapi.validate_response(_RequestView(request, self._prefix), _AnswerView(answer))
        except ResponseNotFound:
            return None if answer.status >= 400 else f"status {answer.status} is not described"
        except OpenAPIError as error:
            return _in_github_words(error)
        return None

    def example(self, method: str, path: str) -> Any:
        """Return a copy of the first example answer of an operation.

        It gives the values of the fields that the emulator does not model.
        """
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


def _corrected(node: Any) -> Any:
    """Return ``node`` with two corrections that GitHub's own text asks for.

    In OpenAPI 3.0 ``nullable`` adds nothing to ``enum``. GitHub uses it as if it did: the conclusion of a
    queued job is null. The query parameter ``created`` has the format date-time, but its text asks for search
    syntax such as ``>=2026-01-01``.
    """
    if isinstance(node, list):
        return [_corrected(value) for value in node]
    if not isinstance(node, Mapping):
        return node
    copied = {key: _corrected(value) for key, value in node.items()}
    if copied.get("name") == "created" and copied.get("in") == "query":
        copied["schema"].pop("format", None)
    if copied.get("nullable") is True and isinstance(copied.get("enum"), list) and None not in copied["enum"]:
        copied["enum"].append(None)
    return copied


def _in_github_words(error: BaseException) -> str:
    cause = error.__cause__ or error
    errors = [each for each in getattr(cause, "schema_errors", []) if isinstance(each, ValidationError)]
    return " ".join(_sentence(each) for each in errors) or f"{type(cause).__name__}: {cause}"


def _sentence(error: ValidationError) -> str:
    if error.validator == "required":
        missing = error.message.split("'")[1]
        return f'"{missing}" wasn\'t supplied.'
    where = "/".join(f"properties/{part}" if isinstance(part, str) else str(part) for part in error.path)
    value = json.dumps(error.instance)
    if error.validator == "type" and error.validator_value in _TYPES:
        return f"For '{where}', {value} is not {_TYPES[error.validator_value]}."
    return f"For '{where}', {error.message}."
