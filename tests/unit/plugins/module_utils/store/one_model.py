"""A small model on a server, and how the store is asked for it."""

from __future__ import annotations

from typing import Any

from tests.faults.support import FaultServer, model_zip, sha256, wanted

MODEL = model_zip()
DIGEST = sha256(MODEL)


def model(server: FaultServer, **more: Any) -> Any:
    """Return the request for the model, which ``server`` has from now on."""
    url = server.url + "/m.zip"
    if "/m.zip" not in server.pages:
        server.serve("/m.zip", MODEL)
    return wanted("m", url, MODEL, **{"strip_components": 1, "kind": "model", **more})
