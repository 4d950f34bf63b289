#!/usr/bin/python
# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact
short_description: Keep verified downloads in a store that jobs share
version_added: 0.1.0
author:
  - coldvox.ci contributors (@coldaine)
description:
  - Downloads archives and files, checks them against a pinned SHA-256, unpacks them safely and publishes
    each as one immutable directory in a store on the managed host. Handles a whole list in one call.
  - A reader of the store sees all of an artifact or nothing of it, whenever the machine loses power or
    the task is killed. Broken downloads are continued. Processes that want the same artifact at the same
    time download it once.
  - What is there already is recognized by its receipt without reading its content, so a call that changes
    nothing takes about a millisecond per artifact.
  - The store must be on a local file system with C(flock) and C(fsync), such as ext4, XFS or Btrfs.
extends_documentation_fragment:
  - coldvox.ci.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - The diff shows the installed names with digest, kind, pin and link.
  idempotent:
    support: full
options:
  store:
    description:
      - The directory of the store. It is created when missing, and refused when others than its owner can
        write to it.
    type: path
    default: /var/cache/coldvox-ci
  artifacts:
    description:
      - What to have, or not to have, in the store.
      - Two names with the same O(artifacts[].sha256) share one directory.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Name of the artifact in the store. Letters, digits and V(._+-), beginning with a letter or digit.
        type: str
        required: true
      url:
        description:
          - Where to download it. Several URLs are tried in order. Schemes V(https), V(http) and V(file).
          - Proxies are taken from the environment of the task. A redirect from V(https) to V(http) is
            refused.
          - Required with O(state=present).
        type: list
        elements: str
      sha256:
        description:
          - The SHA-256 of the download, 64 hexadecimal digits. Well-known placeholders are refused.
          - Required with O(state=present).
        type: str
      format:
        description:
          - What the download is. V(tar) takes any compression that Python on the host can
            read, and zstd also by the program C(zstd) where that is installed.
          - V(auto) decides by the end of the first URL, V(.zip), V(.tar.gz) and the like; everything else
            is a single V(file).
          - A single file is named as at the end of the first URL, or like the artifact when that is no
            usable name.
        type: str
        choices: [auto, zip, tar, file]
        default: auto
      strip_components:
        description:
          - How many leading directories to drop from every path of an archive. A V(.) does not count.
          - A file that does not lie that deep is an error.
        type: int
        default: 0
      expect:
        description:
          - Relative paths that must exist after unpacking, otherwise nothing is published.
        type: list
        elements: str
        default: []
      executable:
        description:
          - Relative paths of files that get mode V(0755), besides those that are executable in the archive.
        type: list
        elements: str
        default: []
      link:
        description:
          - Absolute path of a symbolic link to the artifact, replaced in one step. It points to the
            directory, or for O(artifacts[].format=file) to the file.
          - Anything else than a symbolic link at that path is an error.
        type: path
      kind:
        description:
          - What it is for. A V(model) gets a link C(models/NAME) in the store.
        type: str
        choices: [model, library, runner, toolchain, other]
        default: other
      pinned:
        description:
          - Whether the collector must always keep it.
        type: bool
        default: false
  state:
    description:
      - With V(absent) the names and their links are removed, and directories that no name refers to any
        more, unless a job is reading them.
    type: str
    choices: [present, absent]
    default: present
  concurrency:
    description:
      - How many downloads and unpackings run side by side.
    type: int
    default: 4
  timeout_seconds:
    description:
      - How long no byte may come before a download is continued, or tried at the next URL.
      - It is also the time over which a server must send 1 KiB per second on average. One that drips bytes
        more slowly three times in a row is left for the next URL. Headers may take twice as long.
    type: int
    default: 60
  verify:
    description:
      - V(quick) compares owners, sizes, modes and modification times with the receipt.
      - V(full) reads every byte.
      - A damaged artifact is thrown away and fetched again, once.
    type: str
    choices: [quick, full]
    default: quick
  max_unpacked_bytes:
    description:
      - The most that one artifact may unpack to.
    type: int
    default: 34359738368
  max_ratio:
    description:
      - The most that one artifact may grow by unpacking, once it is beyond 64 MiB.
    type: int
    default: 250
  max_entries:
    description:
      - The most files and directories that one artifact may have, and the most members of its archive.
    type: int
    default: 500000
seealso:
  - module: coldvox.ci.artifact_store
  - module: coldvox.ci.cache_lock
"""

EXAMPLES = r"""
- name: Have two models, the small one for all jobs
  coldvox.ci.artifact:
    artifacts:
      - name: vosk-model-small-en-us-0.15
        kind: model
        url: https://alphacephei.com/vosk/models/vosk-model-small-en-us-0.15.zip
        sha256: 30f26242c4eb449f948e42cb302dd7a686cb29a3423a8367f99ff41780942498
        strip_components: 1
        expect: [am/final.mdl, conf/model.conf]
        pinned: true
      - name: vosk-model-en-us-0.22
        kind: model
        url:
          - https://mirror.example.com/vosk-model-en-us-0.22.zip
          - https://alphacephei.com/vosk/models/vosk-model-en-us-0.22.zip
        sha256: 47f9a81ebb039dbb0bd319175c36ac393c0893b796c2b6303e64cf58c27b69f6
        strip_components: 1

- name: Have a program that is a single file, and run it by a fixed path
  coldvox.ci.artifact:
    artifacts:
      - name: rustup-init-1.29.0
        url: "{{ rustup_url }}"
        sha256: "{{ rustup_sha256 }}"
        executable: [rustup-init]
        link: /opt/rustup/rustup-init

- name: Read every byte of what is there, and fetch anew what is damaged
  coldvox.ci.artifact:
    artifacts: "{{ vosk_models_models }}"
    verify: full

- name: Give up an old model
  coldvox.ci.artifact:
    artifacts:
      - name: vosk-model-en-us-0.21
    state: absent
"""

RETURN = r"""
artifacts:
  description: What happened to each artifact, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The name of the artifact.
      type: str
    sha256:
      description: Its digest; null for one that was absent already.
      type: str
    path:
      description: The directory with its content; null with O(state=absent).
      type: str
    file:
      description: The one file of O(artifacts[].format=file), otherwise null.
      type: str
    outcome:
      description:
        - V(hit) was there, V(fetched) was downloaded, V(repaired) was damaged and downloaded again,
          V(linked) was in the store and got its name or link, V(removed) was removed, V(absent) was not
          there.
      type: str
    source_url:
      description: The URL that served it, without its query.
      type: str
    bytes_downloaded:
      description: What was transferred for it in this call.
      type: int
    seconds:
      description: How long it took.
      type: float
  sample:
    - name: vosk-model-small-en-us-0.15
      sha256: 30f26242c4eb449f948e42cb302dd7a686cb29a3423a8367f99ff41780942498
      path: /var/cache/coldvox-ci/trees/30f26242c4eb449f948e42cb302dd7a686cb29a3423a8367f99ff41780942498
      file: null
      outcome: fetched
      source_url: https://alphacephei.com/vosk/models/vosk-model-small-en-us-0.15.zip
      bytes_downloaded: 41205931
      seconds: 4.2
hits:
  description: How many artifacts needed no download.
  returned: always
  type: int
misses:
  description: How many artifacts were downloaded.
  returned: always
  type: int
bytes_downloaded:
  description: What was transferred in this call.
  returned: always
  type: int
msg:
  description: All of it in one line for people.
  returned: always
  type: str
  sample: 2 fetched (1.8 GB in 12 s, 150 MB/s), 18 hit
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.store.artifact import (
    FORMATS,
    KINDS,
    checked_name,
    parse_all,
)
from ansible_collections.coldvox.ci.plugins.module_utils.store.install import Report, Settings, Store, summary
from ansible_collections.coldvox.ci.plugins.module_utils.store.layout import DEFAULT_STORE
from ansible_collections.coldvox.ci.plugins.module_utils.store.members import Limits

ARTIFACT_OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "url": {"type": "list", "elements": "str"},
    "sha256": {"type": "str"},
    "format": {"type": "str", "choices": list(FORMATS), "default": "auto"},
    "strip_components": {"type": "int", "default": 0},
    "expect": {"type": "list", "elements": "str", "default": []},
    "executable": {"type": "list", "elements": "str", "default": []},
    "link": {"type": "path"},
    "kind": {"type": "str", "choices": list(KINDS), "default": "other"},
    "pinned": {"type": "bool", "default": False},
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "store": {"type": "path", "default": DEFAULT_STORE},
    "artifacts": {"type": "list", "elements": "dict", "required": True, "options": ARTIFACT_OPTIONS},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "concurrency": {"type": "int", "default": 4},
    "timeout_seconds": {"type": "int", "default": 60},
    "verify": {"type": "str", "choices": ["quick", "full"], "default": "quick"},
    "max_unpacked_bytes": {"type": "int", "default": 34359738368},
    "max_ratio": {"type": "int", "default": 250},
    "max_entries": {"type": "int", "default": 500000},
}


def settings(params: dict[str, Any], predict: bool) -> Settings:
    for option in ("concurrency", "timeout_seconds", "max_unpacked_bytes", "max_ratio", "max_entries"):
        if params[option] < 1:
            raise CiError(f"The option {option} is {params[option]} and must be at least 1; correct it.")
    return Settings(
        limits=Limits(params["max_unpacked_bytes"], params["max_ratio"], params["max_entries"]),
        concurrency=params["concurrency"],
        timeout_seconds=params["timeout_seconds"],
        full=params["verify"] == "full",
        predict=predict,
    )


def work(module: AnsibleModule) -> Report:
    params = module.params
    store = Store(params["store"], settings(params, module.check_mode))
    if params["state"] == "present":
        return store.install(parse_all(params["artifacts"]))
    return store.remove((checked_name(item["name"]), item["link"] or "") for item in params["artifacts"])


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    began = time.monotonic()
    try:
        report = work(module)
    except CiError as error:
        module.fail_json(msg=str(error), **error.details)
    outcomes = [result.outcome for result in report.results]
    answer: dict[str, Any] = {
        "changed": report.changed,
        "artifacts": [result._asdict() for result in report.results],
        "hits": sum(outcome in ("hit", "linked") for outcome in outcomes),
        "misses": sum(outcome in ("fetched", "repaired") for outcome in outcomes),
        "bytes_downloaded": sum(result.bytes_downloaded for result in report.results),
        "msg": summary(report.results, time.monotonic() - began, module.check_mode),
    }
    if module._diff:
        answer["diff"] = {"before": report.before, "after": report.after}
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
