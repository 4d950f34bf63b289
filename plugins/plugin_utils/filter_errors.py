"""Checks and error handling shared by the filters that judge dictionaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError


def require_mappings(filter_name: str, **values: Any) -> None:
    """Raise AnsibleFilterError unless all ``values`` are dictionaries.

    The keyword names are the names of the filter's options.
    """
    for name, value in values.items():
        if not isinstance(value, Mapping):
            raise AnsibleFilterError(
                f"The filter coldvox.ci.{filter_name} takes {name} as a dictionary, not as "
                f"{type(value).__name__}; pass a dictionary."
            )


@contextmanager
def template_errors() -> Iterator[None]:
    """Raise AnsibleFilterError with the text of a CiError from the body."""
    try:
        yield
    except CiError as error:
        raise AnsibleFilterError(str(error)) from error
