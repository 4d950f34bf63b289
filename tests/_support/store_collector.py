"""A process that collects or verifies, for tests that start many and kill some.

Reads a JSON object from its argument: ``paths`` for sys.path, ``root``, and either ``policy`` (three
numbers) or ``repair``. Prints ``ready`` when it begins and then one JSON object.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> int:
    request = json.loads(sys.argv[1])
    sys.path[:0] = request["paths"]
    from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
    from ansible_collections.coldvox.ci.plugins.module_utils.store.collect import Policy, collect
    from ansible_collections.coldvox.ci.plugins.module_utils.store.install import Settings
    from ansible_collections.coldvox.ci.plugins.module_utils.store.verify import DEFAULT_LIMITS, verify

    os.umask(0o077)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    answer: dict[str, object]
    try:
        if "policy" in request:
            done = collect(request["root"], Policy(*request["policy"]))
            answer = {"removed": [name for item in done.removed for name in item.names or (item.sha256,)]}
        else:
            settings = Settings(DEFAULT_LIMITS, timeout_seconds=5, pause_seconds=0.01)
            seen = verify(request["root"], full=True, repair=request["repair"], settings=settings)
            answer = {"corrupt": [[item.outcome, *item.names] for item in seen.corrupt]}
    except CiError as error:
        answer = {"error": str(error)}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
