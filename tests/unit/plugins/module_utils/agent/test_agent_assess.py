"""What a health check imports.

It runs every minute, and importing psutil takes longer than the check.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.metrics import system

_CODE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.coldvox.ci.plugins.module_utils.agent.assess import assess
from ansible_collections.coldvox.ci.plugins.module_utils.agent.cli import advice, health, status
from ansible_collections.coldvox.ci.plugins.module_utils.host.config import read_config
from ansible_collections.coldvox.ci.plugins.module_utils.host.paths import Paths
paths = Paths(*(f"{sys.argv[2]}/{name}" for name in ("store", "run", "state", "runners", "config")))
metrics = assess(paths, read_config(paths.config)).metrics
print(json.dumps([metrics["load_1m"], "psutil" in sys.modules]))
"""


@pytest.mark.parametrize("sampled", [True, False])
def test_assess_imports_psutil_only_without_a_sample(tmp_path: Path, sampled: bool) -> None:
    for name in ("config", "run/agent"):
        (tmp_path / name).mkdir(parents=True)
    config = {"github_url": "http://127.0.0.1:1"}
    (tmp_path / "config" / "agent.json").write_text(json.dumps(config), encoding="utf-8")
    if sampled:
        sample = {"timestamp": "2026-03-01T09:30:00Z", "load_1m": 4321.0, "instances": []}
        (tmp_path / "run" / "agent" / "sample.json").write_text(json.dumps(sample), encoding="utf-8")
    words = [sys.executable, "-c", _CODE, str(Path(system.__file__).parents[6]), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    load, imported = json.loads(done.stdout)
    assert (load == 4321.0, imported) == (sampled, not sampled)
