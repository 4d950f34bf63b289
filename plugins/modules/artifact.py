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
  - A reader of the store sees a whole artifact or none of it, also after a power cut or when the task is
    killed. Interrupted downloads are resumed. Processes that need the same artifact at the same time
    download it once.
  - An installed artifact is recognized by its receipt, without reading its content, so a call that changes
    nothing takes about a millisecond per artifact.
  - The store must be on a local file system with file locks and C(fsync), such as ext4, XFS or Btrfs.
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
      - The directory of the store. It is created if it is missing. It is an error if other users than its
        owner can write to it.
    type: path
    default: /var/cache/coldvox-ci
  artifacts:
    description:
      - The artifacts to keep in the store, or to remove from it.
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
          - The URLs of the download, tried in order. The schemes are V(https), V(http) and V(file).
          - Proxies are taken from the environment of the task. A redirect from V(https) to V(http) is
            an error.
          - Required with O(state=present).
        type: list
        elements: str
      sha256:
        description:
          - The SHA-256 of the download, 64 hexadecimal digits. Well-known placeholders are errors. So is a
            digest that is known as another version, or of another name of the same
            O(artifacts[].kind) unless that is V(other) or the file at the URL is the same.
          - Required with O(state=present).
        type: str
      format:
        description:
          - The format of the download. V(tar) accepts any compression that Python on the host can
            read, and zstd also with the program C(zstd) if it is installed.
          - V(auto) decides by the suffix of the first URL, such as V(.zip) or V(.tar.gz). Any other suffix
            means a single V(file).
          - A single file gets the name at the end of the first URL, or the name of the artifact if that name
            is not usable.
        type: str
        choices: [auto, zip, tar, file]
        default: auto
      strip_components:
        description:
          - The number of leading directories to remove from every path of an archive. A V(.) does not count.
          - A file with fewer leading directories is an error.
        type: int
        default: 0
      expect:
        description:
          - Relative paths that must exist after unpacking. If one is missing, nothing is published.
        type: list
        elements: str
        default: []
      executable:
        description:
          - Relative paths of files that get mode V(0755), in addition to the executables in the archive.
        type: list
        elements: str
        default: []
      link:
        description:
          - Absolute path of a symbolic link to the artifact, replaced atomically. It points to the
            directory, or for O(artifacts[].format=file) to the file.
          - Any other kind of file at that path is an error.
        type: path
      kind:
        description:
          - The kind of artifact. A V(model) gets a link C(models/NAME) in the store.
        type: str
        choices: [model, library, runner, toolchain, other]
        default: other
      pinned:
        description:
          - Whether M(coldvox.ci.artifact_store) must always keep it.
        type: bool
        default: false
  set_name:
    description:
      - A name for the list O(artifacts), which then is complete. Artifacts that an earlier call with this
        name had and this one does not are released.
      - No collection removes an artifact that such a list has. A released one stays until its room is needed
        or it is unused for too long; its link goes with it.
      - Without a name, what earlier calls installed stays as it is.
    type: str
    default: ""
    version_added: 0.2.0
  state:
    description:
      - With V(absent) the names and their links are removed. Directories without a name are removed too,
        unless a job reads them. With O(set_name) everything that this list has or had is removed too.
    type: str
    choices: [present, absent]
    default: present
  concurrency:
    description:
      - The number of artifacts that are downloaded and unpacked in parallel.
    type: int
    default: 4
  timeout_seconds:
    description:
      - The longest time without a byte, after which a download is resumed, or tried at the next URL.
      - It is also the time over which a server must send 1 KiB per second on average. If a server is slower
        three times in a row, the next URL is tried. Headers may take twice as long.
    type: int
    default: 60
  verify:
    description:
      - V(quick) compares owners, sizes, modes and modification times with the receipt.
      - V(full) reads every byte.
      - A damaged artifact is removed and downloaded again, once.
    type: str
    choices: [quick, full]
    default: quick
  max_unpacked_bytes:
    description:
      - The largest size of one unpacked artifact.
    type: int
    default: 34359738368
  max_ratio:
    description:
      - The largest ratio of the unpacked size to the size of the download. It applies above 64 MiB.
    type: int
    default: 250
  max_entries:
    description:
      - The largest number of files and directories of one artifact, and of members of its archive.
    type: int
    default: 500000
seealso:
  - module: coldvox.ci.artifact_store
  - module: coldvox.ci.cache_lock
"""

EXAMPLES = r"""
- name: Keep two models and pin the small one
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

- name: Keep a program that is a single file, with a fixed path
  coldvox.ci.artifact:
    artifacts:
      - name: rustup-init-1.29.0
        url: "{{ rustup_url }}"
        sha256: "{{ rustup_sha256 }}"
        executable: [rustup-init]
        link: /opt/rustup/rustup-init

- name: Read every byte of the models, and download damaged ones again
  coldvox.ci.artifact:
    artifacts: "{{ vosk_models_models }}"
    verify: full

- name: Remove an old model
  coldvox.ci.artifact:
    artifacts:
      - name: vosk-model-en-us-0.21
    state: absent
"""

RETURN = r"""
artifacts:
  description: The result for each artifact, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The name of the artifact.
      type: str
    sha256:
      description: Its digest; null if it was already absent.
      type: str
    path:
      description: The directory with its content; null with O(state=absent).
      type: str
    file:
      description: The file of O(artifacts[].format=file); otherwise null.
      type: str
    outcome:
      description:
        - V(hit) means already installed, V(fetched) downloaded, V(repaired) damaged and downloaded again,
          V(linked) already in the store and given its name or link, V(removed) removed, V(absent) already
          absent.
      type: str
    source_url:
      description: The URL that served it, without its query.
      type: str
    bytes_downloaded:
      description: Bytes downloaded for it in this call.
      type: int
    seconds:
      description: The time that it took.
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
  description: The number of artifacts that needed no download.
  returned: always
  type: int
misses:
  description: The number of artifacts that were downloaded.
  returned: always
  type: int
bytes_downloaded:
  description: Bytes downloaded in this call.
  returned: always
  type: int
msg:
  description: The result in one line for people.
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
from ansible_collections.coldvox.ci.plugins.module_utils.store.install import Report, Settings, Store
from ansible_collections.coldvox.ci.plugins.module_utils.store.layout import DEFAULT_STORE
from ansible_collections.coldvox.ci.plugins.module_utils.store.members import Limits
from ansible_collections.coldvox.ci.plugins.module_utils.store.outcome import summary

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
    "set_name": {"type": "str", "default": ""},
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
            raise CiError(
                f"The option {option} is {params[option]} and must be at least 1; give a larger one."
            )
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
        return store.install(parse_all(params["artifacts"], params["set_name"]), params["set_name"])
    named = [(checked_name(item["name"]), item["link"] or "") for item in params["artifacts"]]
    return store.remove(named, params["set_name"])


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
