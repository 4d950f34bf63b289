"""Actions variables of a repository or organization: pure rules and calls."""

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
    """A variable of GitHub Actions.

    ``visibility`` is ``all``, ``private`` or ``selected``, and empty in a repository.
    """

    name: str
    value: str
    visibility: str = ""


def variable_name(text: str) -> str:
    """Return the name as GitHub stores it, in upper case.

    Raises CiError for a name that GitHub rejects.
    """
    name = text.upper()
    if not _NAME.fullmatch(name):
        raise CiError(
            f"'{text}' cannot be the name of a variable at GitHub; use letters, digits and '_', and begin "
            "neither with a digit nor with 'GITHUB_'."
        )
    return name


def value_text(value: Any) -> str:
    """Return the text to store: a text unchanged, a structure as canonical JSON.

    Canonical JSON is sorted by key, without spaces, and escapes no character that UTF-8 can hold. Raises
    CiError for values of other types, which have several spellings, and for more than MOST_BYTES.
    """
    if isinstance(value, str):
        text = value
    elif isinstance(value, (dict, list)):
        text = _canonical(value)
    else:
        raise CiError(
            f"The value of a variable must be a text, a dictionary or a list, and this is of type "
            f"{type(value).__name__}; put it in quotes."
        )
    size = len(text.encode())
    if size > MOST_BYTES:
        raise CiError(
            f"The value has {size} bytes, and a variable at GitHub takes {MOST_BYTES}; store less, or store "
            "a reference to it."
        )
    return text


def _canonical(value: Any) -> str:
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CiError(f"The value cannot be written as JSON ({error}); put it in quotes.") from error


def same_value(wanted: Any, stored: str) -> bool:
    """Return whether ``stored`` equals ``wanted``; structures compare by contents."""
    if isinstance(wanted, str):
        return wanted == stored
    try:
        return _canonical(json.loads(stored)) == value_text(wanted)
    except (ValueError, CiError):
        return False


class Variables:
    """Calls for the variables of the client's scope.

    Raises CiError for an enterprise, which has no variables.
    """

    def __init__(self, client: Client) -> None:
        scope = client.scope
        if scope.kind == "enterprise":
            raise CiError(
                f"GitHub keeps no variables for {scope.label}; give the url of a repository or organization."
            )
        self._client = client
        self._root = f"{scope.path}/actions/variables"

    def get(self, name: str) -> Optional[Variable]:
        """Return the variable, or None if it does not exist.

        GitHub also answers 404 for a scope that the credential cannot see. So after a 404, list the
        variables: this raises CiError if the scope is not visible.
        """
        data = self._call("GET", f"/{name}", "read", name, accepted=(404,), expected=("name", "value"))
        if data is None:
            self._call("GET", "", "look for", name, query={"per_page": 1}, expected=("total_count",))
            return None
        return Variable(str(data["name"]), str(data["value"]), str(data.get("visibility") or ""))

    def create(self, variable: Variable) -> None:
        """Create the variable, or update it if it was created meanwhile."""
        body = {"name": variable.name, "value": variable.value}
        if variable.visibility:
            body["visibility"] = variable.visibility
        made = self._call("POST", "", "create", variable.name, body=body, accepted=(409,))
        if made is None:
            self.update(variable)

    def update(self, variable: Variable) -> None:
        """Change the value and, unless it is empty, the visibility.

        An unchanged visibility is not sent, because ``selected`` would have to name the repositories.
        """
        body = {"value": variable.value}
        if variable.visibility:
            body["visibility"] = variable.visibility
        self._call("PATCH", f"/{variable.name}", "change", variable.name, body=body)

    def delete(self, name: str) -> None:
        """Remove the variable, if it still exists."""
        self._call("DELETE", f"/{name}", "remove", name, accepted=(404,))

    def _call(self, method: str, path: str, verb: str, name: str, **options: Any) -> Any:
        intent = f"{verb} the variable {name} of"
        return self._client.call(method, self._root + path, intent, area=VARIABLES, **options)
