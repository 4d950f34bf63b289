"""The options that every module for GitHub has (doc fragment ``github``)."""

from __future__ import annotations

from typing import Any

CONNECTION_SPEC: dict[str, Any] = {
    "url": {"type": "str"},
    "api_url": {"type": "str"},
    "token": {"type": "str", "no_log": True},
    "app_id": {"type": "str"},
    "app_key": {"type": "str", "no_log": True},
    "installation_id": {"type": "str"},
    "ca_path": {"type": "path"},
    "request_timeout_seconds": {"type": "int", "default": 20},
}
