#!/usr/bin/python
# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact_store_info
short_description: List the artifacts in the artifact store
version_added: 0.1.0
author:
  - coldvox.ci contributors (@coldaine)
description:
  - Lists the artifacts installed in the store on the managed host with their sizes and last use, the
    directories without a name, and the downloads that run.
  - Reads only the store's own records, so it takes the same time for small and large artifacts.
extends_documentation_fragment:
  - coldvox.ci.attributes
  - coldvox.ci.attributes.info
options:
  store:
    description:
      - The directory of the store.
    type: path
    default: /var/cache/coldvox-ci
seealso:
  - module: coldvox.ci.artifact_store
  - module: coldvox.ci.cache_lock_info
"""

EXAMPLES = r"""
- name: Look into the store
  coldvox.ci.artifact_store_info:
  register: store

- name: Show the largest artifacts first
  ansible.builtin.debug:
    msg: "{{ store.artifacts | sort(attribute='bytes', reverse=true) | map(attribute='name') }}"
"""

RETURN = r"""
store:
  description: The directory, with symbolic links resolved.
  returned: success
  type: str
exists:
  description: Whether there is a store.
  returned: success
  type: bool
artifacts:
  description: The installed names, in alphabetical order.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name of the artifact.
      type: str
    sha256:
      description: Its digest.
      type: str
    kind:
      description: The kind of artifact, as in M(coldvox.ci.artifact).
      type: str
    bytes:
      description: The size of its files.
      type: int
    files:
      description: How many files it has.
      type: int
    source_url:
      description: The URL of its download, without parts that may be secret.
      type: str
    installed_at:
      description: When the name was given to this content.
      type: str
    pinned:
      description: Whether the collector always keeps it.
      type: bool
    link:
      description: The path of the link to it; null without a link.
      type: str
    set_name:
      description: The list that has it, as in M(coldvox.ci.artifact); empty without a name.
      type: str
    released:
      description: Whether that list no longer has it, so that it may go when room is needed.
      type: bool
    path:
      description: The directory with its content; null when it is missing.
      type: str
    last_used:
      description: When it was last used, with a precision of five minutes; null when it is missing.
      type: str
    in_use:
      description: The process that reads or downloads it at this moment; null if there is none.
      type: str
  sample:
    - name: vosk-model-small-en-us-0.15
      sha256: 30f26242c4eb449f948e42cb302dd7a686cb29a3423a8367f99ff41780942498
      kind: model
      bytes: 71234567
      files: 13
      source_url: https://alphacephei.com/vosk/models/vosk-model-small-en-us-0.15.zip
      installed_at: "2026-01-15T10:20:00Z"
      pinned: true
      link: null
      path: /var/cache/coldvox-ci/trees/30f26242c4eb449f948e42cb302dd7a686cb29a3423a8367f99ff41780942498
      last_used: "2026-01-16T03:15:00Z"
      in_use: in use by process 4711 (runnerctl)
unreferenced:
  description: Directories that no name refers to; the collector takes them first.
  returned: success
  type: list
  elements: dict
  contains:
    sha256:
      description: The digest that names the directory.
      type: str
    bytes:
      description: The size of its files.
      type: int
    path:
      description: The directory.
      type: str
    last_used:
      description: When it was last used.
      type: str
    in_use:
      description: The process that reads it at this moment; null if there is none.
      type: str
downloads:
  description: The downloads that run at this moment and have recorded their progress.
  returned: success
  type: list
  elements: dict
  contains:
    sha256:
      description: The digest of the download.
      type: str
    name:
      description: The name of the artifact.
      type: str
    url:
      description: The URL of the download.
      type: str
    phase:
      description: V(download), V(unpack) or V(sync).
      type: str
    bytes_done:
      description: The bytes of this phase that are done.
      type: int
    bytes_total:
      description: All bytes of this phase; null when unknown.
      type: int
    bytes_per_second:
      description: The speed of this phase; null at its beginning.
      type: int
total_bytes:
  description: The size of all directories.
  returned: success
  type: int
disk_total_bytes:
  description: The size of the file system.
  returned: success
  type: int
disk_free_bytes:
  description: The free space on the file system.
  returned: success
  type: int
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.store.describe import describe
from ansible_collections.coldvox.ci.plugins.module_utils.store.layout import DEFAULT_STORE

ARGUMENTS: dict[str, dict[str, Any]] = {"store": {"type": "path", "default": DEFAULT_STORE}}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        description = describe(module.params["store"])
    except CiError as error:
        module.fail_json(msg=str(error), **error.details)
    module.exit_json(changed=False, **description._asdict())


if __name__ == "__main__":
    main()
