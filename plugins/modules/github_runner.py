#!/usr/bin/python
# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: github_runner
short_description: Keep a host's pool of GitHub Actions runners
version_added: 0.1.0
author: ColdVox maintainers (@Coldaine)
description:
  - Registers, runs, relabels, drains and removes all runner instances of a host by one call.
  - The controller holds the credential, lists the runners once, and mints a one-hour registration token only
    when an instance has to be registered. Neither token nor key of the credential reaches the host.
  - Every instance has a directory, an account and a systemd unit C(coldvox-runner@NAME.service) of its own.
    Account and unit are made by the role P(coldvox.ci.github_runner#role); this module starts, restarts and
    stops the units.
  - Labels change through the REST API, with no restart. A new registration is made only when the URL, group,
    work directory, O(instances[].ephemeral) or O(instances[].default_labels) changes, or when it was lost.
  - A running job is never ended. Before a restart, stop or removal the custom labels are taken off, so that
    nothing new comes, and the instance's C(Runner.Worker) process is waited for; then, or when that lasts too
    long, the labels are put back. What GitHub says about C(busy) and C(status) is not taken as evidence.
  - A registration that this host made for an instance which is not listed any more is removed in two passes.
    A run that sees it offline, with its unit at rest, notes it; the next one that sees the same removes it.
    Its files stay.
  - Instances that work are changed one at a time. One that does not come online with a new version gets the
    former one back, and the others keep it.
extends_documentation_fragment:
  - coldvox.ci.attributes
  - coldvox.ci.attributes.actiongroup_github
  - coldvox.ci.github
attributes:
  check_mode:
    details:
      - Predicts every outcome and mints no token.
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  instances:
    description:
      - The runners of this host. One that is not listed is left alone while it works; remove it by
        O(instances[].state=absent).
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - The runner's name at GitHub, its directory and its unit. 1 to 64 of the characters C(A-Z a-z 0-9
            . _ -).
        type: str
        required: true
      user:
        description:
          - Account that runs the jobs. By default the one that P(coldvox.ci.runner_user#filter) gives.
        type: str
      labels:
        description: Labels beside V(self-hosted), V(Linux) and the architecture, which come by themselves.
        type: list
        elements: str
        default: []
      default_labels:
        description: Whether the runner takes the labels that come by themselves.
        type: bool
        default: true
      group:
        description: Runner group of the organization or enterprise; empty for the default group.
        type: str
        default: ""
      work_dir:
        description:
          - Where jobs work, a name in the instance's directory or an absolute path. The latter is not removed
            with it.
        type: str
        default: _work
      ephemeral:
        description:
          - Whether the runner takes one job only; the next run of this module registers it again, and first
            wipes its work directory and home.
        type: bool
        default: false
      jit:
        description:
          - Whether the runner is ephemeral and registered by the API for one start. The configuration reaches
            the host as a file of root's, which systemd reads and removes at that start.
        type: bool
        default: false
      environment:
        description:
          - Variables for every job, written to C(.env). Every job can read them, so never put a secret here.
          - A name that looks like a setting of the runner, but is unknown, causes a warning.
        type: dict
        default: {}
      path:
        description: Search path of every job, written to C(.path); the usual system directories when empty.
        type: list
        elements: str
        default: []
      state:
        description: As O(state), which it follows unless O(state=present).
        type: str
        choices: [present, absent, drained]
  archive:
    description:
      - Path of the unpacked runner on the host, as M(coldvox.ci.artifact) returns it. Instances are hard
        links into it.
      - Required for instances that are to be present.
    type: path
  base_dir:
    description: Directory that holds one directory per instance.
    type: path
    default: /var/lib/actions-runner
  unit_dir:
    description: Where the unit files of the role lie; a change of them restarts an idle instance.
    type: path
    default: /etc/systemd/system
  max_age_days:
    description:
      - Age of the runner in days, by the time its program was built, above which a run warns. GitHub gives a
        version no more jobs 30 days after a newer one. 0 for no warning.
    type: int
    default: 30
  replace:
    description: Which registration of the same name, made by somebody else, may be taken over.
    type: str
    choices: [never, offline, always]
    default: offline
  drain_timeout_seconds:
    description:
      - How long to wait for a running job before a restart, stop or removal is given up, with the job alive.
    type: int
    default: 1800
  online_timeout_seconds:
    description: How long a runner that was started may take to be online at GitHub.
    type: int
    default: 60
  state:
    description:
      - V(present) registers and runs the instances.
      - V(drained) takes the custom labels off, waits for the running job and stops the instance, which stays
        registered.
      - V(absent) does that too, and removes the registration, the directory and the account.
    type: str
    choices: [present, absent, drained]
    default: present
  registered:
    description:
      - GitHub's view of the instances. Filled in by the action plugin; what is given here is overwritten.
    type: list
    elements: dict
    default: []
  prepared:
    description:
      - Whether the controller has done its part. Filled in by the action plugin; what is given here is
        overwritten.
    type: bool
    default: false
  orphans:
    description:
      - What becomes of registrations that no instance has any more. Filled in by the action plugin; what is
        given here is overwritten.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the runner.
        type: str
        required: true
      id:
        description: Its id at GitHub.
        type: int
        required: true
      verdict:
        description: What becomes of it.
        type: str
        required: true
  jit_configs:
    description:
      - Registrations for one job. Filled in by the action plugin; what is given here is overwritten.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the runner.
        type: str
        required: true
      id:
        description: Its id at GitHub.
        type: int
        required: true
      config:
        description: What C(run.sh) takes as C(--jitconfig).
        type: str
        required: true
  registration_token:
    description: Token for C(config.sh). Filled in by the action plugin; what is given here is overwritten.
    type: str
requirements:
  - systemd, and C(setpriv) of util-linux, on the host.
"""

EXAMPLES = r"""
- name: Two runners on this host
  coldvox.ci.github_runner:
    url: https://github.com/Coldaine/ColdVox
    token: "{{ vault_github_runner_token }}"
    archive: "{{ runner_artifact.artifacts[0].path }}"
    instances:
      - name: laptop-extra
        labels: [fedora, nobara, heavy-build]
      - name: laptop-extra-lint
        labels: [fedora, nobara, fast-lint]

- name: Let one finish its job and rest
  coldvox.ci.github_runner:
    url: https://github.com/Coldaine/ColdVox
    app_id: "123456"
    app_key: "{{ lookup('ansible.builtin.file', 'app.pem') }}"
    instances:
      - name: laptop-extra
        state: drained
"""

RETURN = r"""
runners:
  description: The instances in the order given.
  returned: always, unless the options are wrong
  type: list
  elements: dict
  contains:
    name:
      description: Name of the runner.
      type: str
    id:
      description: Its id at GitHub; null when it is not registered.
      type: int
    status:
      description: GitHub's view, V(online) or V(offline); it can be wrong after the host slept.
      type: str
    busy:
      description: GitHub's view; it can be wrong.
      type: bool
    labels:
      description: All its labels at GitHub.
      type: list
      elements: str
    version:
      description: Version of the runner as GitHub knows it.
      type: str
    outcome:
      description:
        - What was done, or would be in check mode. V(unchanged), V(registered), V(replaced) (registered anew
          in place of a registration), V(updated) (files, environment or unit renewed, or started),
          V(relabelled), V(drained), V(removed), V(failed).
      type: str
    reason:
      description: Why, or what went wrong; empty when nothing was done.
      type: str
    steps:
      description: What it took, in order.
      type: list
      elements: str
    unit:
      description: The systemd unit.
      type: str
    user:
      description: The account that runs the jobs.
      type: str
  sample:
    - name: laptop-extra
      id: 23
      status: online
      busy: false
      labels: [self-hosted, Linux, X64, fedora, nobara]
      version: 2.336.0
      outcome: unchanged
      reason: ""
      steps: []
      unit: coldvox-runner@laptop-extra.service
      user: ci-laptop-extra
orphans:
  description: Registrations of instances that are not listed any more, where something is done about them.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the runner.
      type: str
    id:
      description: Its id at GitHub.
      type: int
    verdict:
      description:
        - V(note) (seen offline, goes next time), V(remove), V(clear) (online again), V(forget) (GitHub does
          not have it any more).
      type: str
failed_instances:
  description: Names of the instances that could not be brought to their state; all others were.
  returned: failure of an instance
  type: list
  elements: str
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import run
from ansible_collections.coldvox.ci.plugins.module_utils.runner import converge, orphans, tree
from ansible_collections.coldvox.ci.plugins.module_utils.runner.account import Host
from ansible_collections.coldvox.ci.plugins.module_utils.runner.options import RUNNER_SPEC, unknown_warning
from ansible_collections.coldvox.ci.plugins.module_utils.runner.target import RegistrationSecrets


def age_warning(pool: converge.Pool, limit_days: int) -> str:
    """Return what has to be said about the age of the pool's runner, or an empty text."""
    age = tree.age_days(pool.archive, time.time()) if pool.archive else None
    return tree.age_warning(age, limit_days)


def main() -> None:
    module = AnsibleModule(argument_spec=RUNNER_SPEC, supports_check_mode=True)
    host = Host(
        run=run,
        sleep=time.sleep,
        now=time.monotonic,
        unit_dir=module.params["unit_dir"],
        drain_timeout_seconds=module.params["drain_timeout_seconds"],
    )
    secrets = RegistrationSecrets(
        token=module.params["registration_token"] or "",
        jit={one["name"]: (one["id"], one["config"]) for one in module.params["jit_configs"]},
    )
    failures: dict[str, str] = {}
    try:
        pool = converge.pool_of(module.params)
        items = converge.inspect_pool(pool, host)
        if not module.check_mode:
            orphans.record_verdicts(pool.base_dir, orphans.verdicts_of(module.params["orphans"]))
            failures = converge.converge(items, secrets, prepared=module.params["prepared"])
    except CiError as error:
        module.fail_json(msg=str(error), **error.details)
    except OSError as error:
        module.fail_json(msg=f"The runners of this host failed at '{error.filename}': {error.strerror}.")
    failures.update({item.options["name"]: item.refusal for item in items if item.refusal})
    result: dict[str, Any] = {
        "changed": any(item.plan.steps for item in items),
        "runners": [item.answer(pool.machine, failures.get(item.options["name"], "")) for item in items],
    }
    if not module.params["prepared"]:
        names = [one["name"] for one in pool.instances]
        result["unlisted"] = [one._asdict() for one in orphans.unlisted(host, pool.base_dir, pool.url, names)]
        settings = (options["environment"] for options in pool.instances)
        for warning in (age_warning(pool, module.params["max_age_days"]), unknown_warning(settings)):
            if warning:
                module.warn(warning)
    if module._diff:
        result["diff"] = converge.diff(items)
    if failures:
        module.fail_json(msg=" ".join(failures.values()), failed_instances=sorted(failures), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
