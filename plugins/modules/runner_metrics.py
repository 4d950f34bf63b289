#!/usr/bin/python
# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: runner_metrics
short_description: Sample the load and the runners of a host
version_added: 0.1.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Takes one sample, or several, of load, memory, disk, pressure, traffic, caches and runner instances.
  - A value that cannot be read is null in the sample, and its key is in V(unavailable). The module does not
    fail.
  - Memory, CPU time, disks and network traffic come from Python's psutil (5.9 or newer) on the host, the rest
    from the kernel's files. The module calls systemctl only on a host without control groups of version 2.
extends_documentation_fragment:
  - coldvox.ci.attributes
attributes:
  check_mode:
    support: full
    details:
      - The module only reads the host. In check mode it does not write to O(csv_path).
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - New lines in O(csv_path) do not count as a change.
options:
  samples:
    description: The number of samples.
    type: int
    default: 1
  interval_seconds:
    description: Seconds between samples. All samples together may take at most an hour.
    type: float
    default: 5
  csv_path:
    description:
      - Append each sample as one line to this file. A new file gets a header.
      - The columns are those of ColdVox's own reports. Unknown values are written as zero.
      - If the module runs inside a job, workflow, job, attempt and step come from E(GITHUB_RUN_ID),
        E(GITHUB_JOB), E(GITHUB_RUN_ATTEMPT) and E(GITHUB_STEP).
    type: path
  instances:
    description: The runner instances to sample. The default is all instances that exist in O(base_dir).
    type: list
    elements: str
  base_dir:
    description: The directory of the instances. The disk values are those of its file system.
    type: path
    default: /var/lib/actions-runner
  store:
    description: The artifact store. Its directory C(models) is the model cache.
    type: path
    default: /var/cache/coldvox-ci
  models:
    description: Models that must be in the cache for it to be available. By default any model is enough.
    type: list
    elements: str
    default: []
  rust_dirs:
    description: Directories of the Rust toolchains and of cargo's caches.
    type: list
    elements: path
    default:
      - /var/lib/coldvox-ci/rustup
      - /var/lib/coldvox-ci/cargo
  github_url:
    description: The server to test for reachability, by a connection without a request.
    type: str
    default: https://github.com
seealso:
  - plugin: coldvox.ci.health_score
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Take one sample
  coldvox.ci.runner_metrics:
  register: sampled

- name: Show the health score of the host
  ansible.builtin.debug:
    msg: "{{ sampled.metrics | coldvox.ci.health_score }}"

- name: Record one minute, one line every five seconds
  coldvox.ci.runner_metrics:
    samples: 12
    interval_seconds: 5
    csv_path: /var/lib/coldvox-ci/metrics/samples.csv
"""

RETURN = r"""
metrics:
  description: The last sample. Each value may be null.
  returned: success
  type: dict
  contains:
    timestamp:
      description: When the sample was taken, in UTC.
      type: str
      sample: "2026-03-01T09:30:00Z"
    load_1m:
      description: Mean number of running or waiting tasks during the last minute.
      type: float
    cpu_count:
      description: Number of logical cores.
      type: int
    cpu_percent:
      description: Use of all cores since the previous sample; for the first sample, over a quarter second.
      type: float
    memory_total_bytes:
      description: Main memory.
      type: int
    memory_used_bytes:
      description: Main memory that is not available.
      type: int
    memory_available_bytes:
      description: Main memory that programs can use without swapping.
      type: int
    memory_used_percent:
      description: Used main memory.
      type: float
    swap_used_percent:
      description: Used swap; 0 without swap.
      type: float
    disk_total_bytes:
      description: Size of the file system of O(base_dir).
      type: int
    disk_used_bytes:
      description: Used bytes on it.
      type: int
    disk_used_percent:
      description: Used part of its usable space.
      type: float
    disk_free_bytes:
      description: Free bytes on it for users other than root.
      type: int
    psi_cpu_some_avg60:
      description: Percentage of the last minute in which a task waited for a core.
      type: float
    psi_memory_some_avg60:
      description: Percentage of the last minute in which a task waited for memory.
      type: float
    psi_io_some_avg60:
      description: Percentage of the last minute in which a task waited for a disk.
      type: float
    network_rx_bytes:
      description: Bytes received over real interfaces since boot; in a container, over all except loopback.
      type: int
    network_tx_bytes:
      description: Bytes sent over the same interfaces since boot.
      type: int
    disk_read_bytes:
      description: Bytes read from the disks since boot.
      type: int
    disk_written_bytes:
      description: Bytes written to the disks since boot.
      type: int
    interfaces:
      description: The traffic of each of these interfaces.
      type: list
      elements: dict
      contains:
        name:
          description: Name of the interface.
          type: str
        rx_bytes:
          description: Bytes received since boot.
          type: int
        tx_bytes:
          description: Bytes sent since boot.
          type: int
    disks:
      description: The traffic of each disk.
      type: list
      elements: dict
      contains:
        name:
          description: Name of the disk.
          type: str
        read_bytes:
          description: Bytes read since boot.
          type: int
        written_bytes:
          description: Bytes written since boot.
          type: int
    store_bytes:
      description: Bytes of the whole artifact store, from its own records.
      type: int
    models_bytes:
      description: Bytes of the models in the store.
      type: int
    rust_cache_bytes:
      description: Bytes of O(rust_dirs).
      type: int
    listeners:
      description: Number of instances whose listener runs.
      type: int
    active_jobs:
      description: Number of instances that run a job, that is, whose worker process runs.
      type: int
    model_cache_available:
      description: Whether all of O(models) are in the cache.
      type: bool
    network_reachable:
      description: Whether O(github_url) accepts connections.
      type: bool
    instances:
      description: One entry for each runner instance.
      type: list
      elements: dict
      contains:
        name:
          description: Name of the instance.
          type: str
        unit_active:
          description: Whether its systemd unit is active.
          type: bool
        listener_pid:
          description: Process that waits for jobs; null when there is none.
          type: int
        worker_pid:
          description: Process that runs a job; null when there is none.
          type: int
        busy:
          description: Whether it runs a job.
          type: bool
        cpu_percent:
          description: Its share of all cores since the previous sample.
          type: float
        memory_bytes:
          description: Memory of the unit's control group, page cache included.
          type: int
        listener_cpu_percent:
          description: Share of one core that its listener used since the listener's start, as in C(ps).
          type: float
        listener_memory_bytes:
          description: Resident memory of its listener, as in C(ps).
          type: int
    unavailable:
      description: Keys that could not be read; V(instances.KEY) if it is unknown for at least one instance.
      type: list
      elements: str
      sample: [psi_cpu_some_avg60]
samples:
  description: All samples, oldest first, each as RV(metrics).
  returned: success
  type: list
  elements: dict
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host.paths import Paths
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import run
from ansible_collections.coldvox.ci.plugins.module_utils.metrics import csv_log
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.sample import Target, take_samples
from ansible_collections.coldvox.ci.plugins.module_utils.metrics.sources import machine

# The longest run of samples: for more, a timer can start the task again.
LONGEST_SECONDS = 3600


def target_of(params: dict[str, Any]) -> Target:
    """Return the paths and instances to sample from the module's parameters."""
    store = params["store"].rstrip("/")
    return Target(
        base_dir=params["base_dir"].rstrip("/"),
        store_dir=store,
        models_dir=f"{store}/models",
        rust_dirs=params["rust_dirs"],
        github_url=params["github_url"],
        instances=params["instances"],
        models=params["models"],
    )


def check_duration(count: int, interval_seconds: float) -> None:
    """Raise CiError for no sample, or for samples over more than LONGEST_SECONDS."""
    if count < 1 or interval_seconds <= 0 or (count - 1) * interval_seconds > LONGEST_SECONDS:
        raise CiError(
            f"The options ask for {count} samples every {interval_seconds:g} s; give samples of 1 or more "
            f"and interval_seconds above 0 that end within {LONGEST_SECONDS} s."
        )


def main() -> None:
    paths = Paths()
    module = AnsibleModule(
        argument_spec={
            "samples": {"type": "int", "default": 1},
            "interval_seconds": {"type": "float", "default": 5},
            "csv_path": {"type": "path"},
            "instances": {"type": "list", "elements": "str"},
            "base_dir": {"type": "path", "default": paths.runners},
            "store": {"type": "path", "default": paths.store},
            "models": {"type": "list", "elements": "str", "default": []},
            "rust_dirs": {
                "type": "list",
                "elements": "path",
                "default": list(paths.rust),
            },
            "github_url": {"type": "str", "default": "https://github.com"},
        },
        supports_check_mode=True,
    )
    count, interval_seconds = module.params["samples"], module.params["interval_seconds"]
    try:
        check_duration(count, interval_seconds)
        taken = []
        for sample in take_samples(target_of(module.params), machine(run), count, interval_seconds):
            taken.append(sample)
            if module.params["csv_path"] and not module.check_mode:
                csv_log.append(module.params["csv_path"], [csv_log.row(sample, os.environ)])
    except CiError as error:
        module.fail_json(msg=str(error), **error.details)
    module.exit_json(changed=False, metrics=taken[-1], samples=taken)


if __name__ == "__main__":
    main()
