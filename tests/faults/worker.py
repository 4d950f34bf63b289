"""One process that installs artifacts, for tests that start many and kill some.

Reads a JSON object from its argument: ``paths`` for sys.path, ``root``, ``artifacts``, ``settings``. Prints
``ready`` when it begins and then one JSON object: ``outcomes`` and ``received``, or ``error``.
"""

from __future__ import annotations

import json
import os
import sys


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    told = json.loads(sys.argv[1])
    sys.path[:0] = told["paths"]
    from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
    from ansible_collections.coldvox.ci.plugins.module_utils.store.artifact import parse_all
    from ansible_collections.coldvox.ci.plugins.module_utils.store.engine import Settings, Store
    from ansible_collections.coldvox.ci.plugins.module_utils.store.paths import Limits

    os.umask(0o077)
    settings = Settings(Limits(2**33, 250, 200_000), pause_seconds=0.01, **told["settings"])
    artifacts = parse_all(told["artifacts"])
    say("ready")
    try:
        report = Store(told["root"], settings).install(artifacts)
    except CiError as error:
        say(json.dumps({"error": str(error)}))
        return 1
    received = sum(result.bytes_downloaded for result in report.results)
    answer = {"outcomes": [result.outcome for result in report.results], "received": received}
    say(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
