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
  - Registers, runs, relabels, drains and removes all runner instances of a host in one call.
  - The controller holds the credential, lists the runners once, and requests a one-hour registration token
    only if an instance must be registered. Neither token nor key of the credential reaches the host.
  - Every instance has its own directory, account and systemd unit C(coldvox-runner@NAME.service). The role
    P(coldvox.ci.github_runner#role) creates account and unit. This module starts, restarts and stops the
    units.
  - Labels change through the REST API, without a restart. The module registers an instance again only if the
    URL, group, work directory, O(instances[].ephemeral) or O(instances[].default_labels) changes, or if the
    registration was lost.
  - The module never ends a running job. Before a restart, stop or removal it removes the custom labels, so
    that GitHub sends no new job, and waits until the instance's C(Runner.Worker) process ends. After that, or
    after O(drain_timeout_seconds), it restores the labels. It does not rely on GitHub's C(busy) and
    C(status).
  - A registration that this host made for an instance that is no longer listed is removed in two runs. The
    first run that sees it offline, with its unit stopped, records it. The next run that sees the same removes
    it. Its files stay.
  - Instances that work change one at a time. If an instance does not come online with a new version, it gets
    the former version back, and the other instances keep theirs.
extends_documentation_fragment:
  - coldvox.ci.attributes
  - coldvox.ci.attributes.actiongroup_github
  - coldvox.ci.github
attributes:
  check_mode:
    details:
      - Predicts every outcome and requests no token.
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  instances:
    description:
      - The runners of this host. A runner that works and is not listed is left unchanged. Remove it with
        O(instances[].state=absent).
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - The name of the runner at GitHub, of its directory and of its unit. 1 to 64 of the characters
            C(A-Z a-z 0-9 . _ -).
        type: str
        required: true
      user:
        description:
          - Account that runs the jobs. The default is the result of P(coldvox.ci.runner_user#filter).
        type: str
      labels:
        description: Labels in addition to the default labels V(self-hosted), V(Linux) and the architecture.
        type: list
        elements: str
        default: []
      default_labels:
        description: Whether the runner gets the default labels.
        type: bool
        default: true
      group:
        description: Runner group of the organization or enterprise; empty for the default group.
        type: str
        default: ""
      work_dir:
        description:
          - Directory of the jobs, a name in the instance's directory or an absolute path. An absolute path is
            not removed with the instance.
        type: str
        default: _work
      ephemeral:
        description:
          - Whether the runner takes only one job. The next run of this module empties its work directory and
            home, then registers it again.
        type: bool
        default: false
      jit:
        description:
          - Whether the runner is ephemeral and registered by the API for one start. The configuration reaches
            the host as a file of root, which systemd reads and removes at that start.
        type: bool
        default: false
      environment:
        description:
          - Variables for every job, written to C(.env). Every job can read them, so never put a secret here.
          - A name that looks like a setting of the runner, but is unknown, causes a warning.
        type: dict
        default: {}
      path:
        description: Search path of every job, written to C(.path). Empty means the system directories.
        type: list
        elements: str
        default: []
      state:
        description: As O(state), for this instance. It applies only with O(state=present).
        type: str
        choices: [present, absent, drained]
  archive:
    description:
      - Path of the unpacked runner on the host, as M(coldvox.ci.artifact) returns it. Instances consist of
        hard links to its files.
      - Required for instances that are to be present.
    type: path
  base_dir:
    description: Directory that holds one directory per instance.
    type: path
    default: /var/lib/actions-runner
  unit_dir:
    description: Directory of the role's unit files. A change of them restarts an idle instance.
    type: path
    default: /etc/systemd/system
  max_age_days:
    description:
      - Age in days above which the module warns. The age counts from the build of the runner program. GitHub
        sends a version no more jobs 30 days after a newer release. V(0) means no warning.
    type: int
    default: 30
  replace:
    description: Registrations of the same name that this host did not make that may be replaced.
    type: str
    choices: [never, offline, always]
    default: never
  public_repository:
    description:
      - Whether instances that keep their registration may be registered with a public repository. Everyone
        can propose a change there, and its jobs would run on this host.
      - V(refuse) sends one more request, only if an instance must be registered that is not
        O(instances[].ephemeral), and fails before any change if the repository is public. The repositories of
        an organization or enterprise are not checked.
    type: str
    choices: [refuse, allow]
    default: refuse
  drain_timeout_seconds:
    description:
      - How long to wait for a running job before a restart, stop or removal. After that time the instance
        fails and the job goes on.
    type: int
    default: 1800
  online_timeout_seconds:
    description: The longest that a started runner may take to come online at GitHub.
    type: int
    default: 60
  state:
    description:
      - V(present) registers and runs the instances.
      - V(drained) removes the custom labels, waits for the running job and stops the instance, which stays
        registered.
      - V(absent) does the same, and removes the registration, the directory and the account.
    type: str
    choices: [present, absent, drained]
    default: present
  registered:
    description:
      - GitHub's view of the instances. The action plugin sets it and overwrites any other value.
    type: list
    elements: dict
    default: []
  prepared:
    description:
      - Whether the controller has removed labels and requested registrations. The action plugin sets it and
        overwrites any other value.
    type: bool
    default: false
  orphans:
    description:
      - The verdicts on registrations of instances that are no longer listed. The action plugin sets it and
        overwrites any other value.
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
        description: The verdict, as in RV(orphans[].verdict).
        type: str
        required: true
  jit_configs:
    description:
      - Registrations for one job. The action plugin sets it and overwrites any other value.
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
        description: The value of the option C(--jitconfig) of C(run.sh).
        type: str
        required: true
  registration_token:
    description: Token for C(config.sh). The action plugin sets it and overwrites any other value.
    type: str
requirements:
  - systemd, and C(setpriv) of util-linux, on the host.
"""

EXAMPLES = r"""
- name: Keep two runners on this host
  coldvox.ci.github_runner:
    url: https://github.com/Coldaine/ColdVox
    token: "{{ vault_github_runner_token }}"
    archive: "{{ runner_artifact.artifacts[0].path }}"
    instances:
      - name: laptop-extra
        labels: [fedora, nobara, heavy-build]
      - name: laptop-extra-lint
        labels: [fedora, nobara, fast-lint]

- name: Drain one runner after its job
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
      description: Its id at GitHub; null if it is not registered.
      type: int
    status:
      description: GitHub's view, V(online) or V(offline); it can be wrong after the host was suspended.
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
        - The result, or in check mode the prediction. V(unchanged), V(registered), V(replaced) (registered in
          place of another registration), V(updated) (files, environment or unit changed, or unit started),
          V(relabelled), V(drained), V(removed), V(failed).
      type: str
    reason:
      description: The reason of the change or of the failure; empty without a change.
      type: str
    steps:
      description: The steps of the change, in order.
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
  description: Registrations of instances that are no longer listed, except those that stay unchanged.
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
        - V(note) (offline, removed in the next run), V(remove), V(clear) (online again), V(forget) (no longer
          at GitHub).
      type: str
failed_instances:
  description: Names of the instances that failed; all others have their state.
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
    """Return the warning about the age of the pool's runner, or an empty text."""
    age = tree.age_days(pool.archive, time.time()) if pool.archive else None
    return tree.age_warning(age, limit_days)


def look_around(
    pool: converge.Pool, items: list[converge.PlannedInstance], host: Host, max_age_days: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the registrations at rest that are not listed, and all warnings, some empty."""
    names = [instance["name"] for instance in pool.instances]
    unlisted, working = orphans.unlisted(host, pool.base_dir, pool.url, names)
    unknown = unknown_warning(options["environment"] for options in pool.instances)
    warnings = [age_warning(pool, max_age_days), unknown, orphans.working_warning(working)]
    return [orphan._asdict() for orphan in unlisted], [*(item.plan.warning for item in items), *warnings]


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
        jit={config["name"]: (config["id"], config["config"]) for config in module.params["jit_configs"]},
    )
    failures: dict[str, str] = {}
    try:
        pool = converge.pool_of(module.params)
        items = converge.inspect_pool(pool, host, predict=module.check_mode)
        if not module.check_mode:
            orphans.record_verdicts(pool.base_dir, orphans.verdicts_of(module.params["orphans"]))
            failures = converge.converge(items, secrets, prepared=module.params["prepared"])
    except CiError as error:
        module.fail_json(msg=str(error), **error.details)
    except OSError as error:
        module.fail_json(
            msg=f"The runners of this host failed at '{error.filename}' ({error.strerror}); correct that "
            "path, then run again."
        )
    failures.update({item.options["name"]: item.refusal for item in items if item.refusal})
    result: dict[str, Any] = {
        "changed": any(item.plan.steps for item in items),
        "runners": [item.answer(pool.machine, failures.get(item.options["name"], "")) for item in items],
    }
    if not module.params["prepared"]:
        result["unlisted"], warnings = look_around(pool, items, host, module.params["max_age_days"])
        for warning in filter(None, warnings):
            module.warn(warning)
    if module._diff:
        result["diff"] = converge.diff(items)
    if not (module.check_mode or failures):
        converge.note_converge(pool, items, prepared=module.params["prepared"])
    if failures:
        module.fail_json(msg=" ".join(failures.values()), failed_instances=sorted(failures), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
