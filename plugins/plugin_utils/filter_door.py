"""What filters that judge dictionaries have in common: their complaints are errors of the template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError


def require_mappings(filter_name: str, **values: Any) -> None:
    """Raise AnsibleFilterError unless all ``values``, named as the filter's options, are dictionaries."""
    for name, value in values.items():
        if not isinstance(value, Mapping):
            raise AnsibleFilterError(
                f"coldvox.ci.{filter_name} takes {name} as a dictionary, not as {type(value).__name__}."
            )


@contextmanager
def template_errors() -> Iterator[None]:
    """Turn the sentence of a CiError into an error of the template."""
    try:
        yield
    except CiError as error:
        raise AnsibleFilterError(str(error)) from error
