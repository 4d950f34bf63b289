"""Actions variables of a repository or organization: pure rules, and the calls."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Optional

from ..errors import CiError
from .client import VARIABLES, Client

# Names and sizes: docs.github.com/actions/reference/workflows-and-actions/variables.
_NAME = re.compile(r"(?!GITHUB_)[A-Z_][A-Z0-9_]*")
MOST_BYTES = 48 * 1024


@dataclass(frozen=True)
class Variable:
    """A variable; ``visibility`` is ``all``, ``private`` or ``selected``, and empty in a repository."""

    name: str
    value: str
    visibility: str = ""


def variable_name(text: str) -> str:
    """Return the name as GitHub keeps it, in upper case; raises CiError for one that it refuses."""
    name = text.upper()
    if not _NAME.fullmatch(name):
        raise CiError(
            f"'{text}' cannot be the name of a variable at GitHub; use letters, digits and '_', and begin "
            "neither with a digit nor with 'GITHUB_'."
        )
    return name


def value_text(value: Any) -> str:
    """Return the text to store: a text as it is, a dictionary or list as canonical JSON.

    Canonical is sorted by key, without spaces and without escapes for what UTF-8 can hold. Raises CiError for
    other values, whose text is a matter of taste, and for more than GitHub takes.
    """
    if isinstance(value, str):
        text = value
    elif isinstance(value, (dict, list)):
        text = _canonical(value)
    else:
        raise CiError(
            f"The value of a variable is a text, a dictionary or a list, and this is of type "
            f"{type(value).__name__}; put it in quotes."
        )
    size = len(text.encode())
    if size > MOST_BYTES:
        raise CiError(
            f"The value has {size} bytes, and a variable at GitHub takes {MOST_BYTES}; store less, or the "
            "place where it can be read."
        )
    return text


def _canonical(value: Any) -> str:
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CiError(f"The value cannot be written as JSON ({error}); put it in quotes.") from error


def same_value(wanted: Any, stored: str) -> bool:
    """Return whether ``stored`` says what is wanted: structures by what they hold, however it is written."""
    if isinstance(wanted, str):
        return wanted == stored
    try:
        return _canonical(json.loads(stored)) == value_text(wanted)
    except (ValueError, CiError):
        return False


class Variables:
    """The variables of the client's scope; raises CiError for an enterprise, which has none."""

    def __init__(self, client: Client) -> None:
        scope = client.scope
        if scope.kind == "enterprise":
            raise CiError(
                f"GitHub keeps no variables for {scope.label}; give the url of a repository or organization."
            )
        self._client = client
        self._root = f"{scope.path}/actions/variables"

    def get(self, name: str) -> Optional[Variable]:
        """Return the variable, or None where there is none.

        GitHub says 404 of a scope that the credential cannot see as well, so a missing one is asked twice.
        """
        found = self._call("GET", f"/{name}", "read", name, accepted=(404,), expected=("name", "value"))
        if found is None:
            self._call("GET", "", "look for", name, query={"per_page": 1}, expected=("total_count",))
            return None
        return Variable(str(found["name"]), str(found["value"]), str(found.get("visibility") or ""))

    def create(self, variable: Variable) -> None:
        """Make the variable; one that was made meanwhile is updated."""
        body = {"name": variable.name, "value": variable.value}
        if variable.visibility:
            body["visibility"] = variable.visibility
        made = self._call("POST", "", "make", variable.name, body=body, accepted=(409,))
        if made is None:
            self.update(variable)

    def update(self, variable: Variable) -> None:
        """Change value and, where it is not empty, visibility.

        Sent needlessly, a visibility of ``selected`` would have to name the repositories.
        """
        body = {"value": variable.value}
        if variable.visibility:
            body["visibility"] = variable.visibility
        self._call("PATCH", f"/{variable.name}", "change", variable.name, body=body)

    def delete(self, name: str) -> None:
        """Remove the variable; one that is gone is no error."""
        self._call("DELETE", f"/{name}", "remove", name, accepted=(404,))

    def _call(self, method: str, path: str, verb: str, name: str, **options: Any) -> Any:
        intent = f"{verb} the variable {name} of"
        return self._client.call(method, self._root + path, intent, area=VARIABLES, **options)
