# Copyright (c) 2026 coldvox.ci contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: input_check
short_description: Find mistakes in the roles' inputs before anything is changed
version_added: 0.1.0
author: coldvox.ci contributors (@Coldaine)
description:
  - Compares the names of the host's variables with the inputs that the roles of this collection
    declare in their argument specs.
  - A variable that starts with the name of a role but is not one of its inputs is an error. The message
    suggests the nearest declared name. A variable that differs by one or two letters from a collection-wide
    input, such as C(coldvox_store_dir), is an error too.
  - A value of the wrong type, or with an unknown key, is also an error, reported before the first role runs.
  - So is what a role of the play would refuse later, such as a missing credential or a wrong label, if the
    tags of this run include the role.
  - Two hosts of the inventory must not have a runner of the same name for the same repository or
    organization, because each would take the registration from the other. Hosts that this run does not
    concern count too.
  - Runs only on the controller and does not contact the host.
extends_documentation_fragment:
  - coldvox.ci.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
seealso:
  - module: ansible.builtin.validate_argument_spec
"""

EXAMPLES = r"""
- name: Refuse mistakes in the inventory before anything is changed
  coldvox.ci.input_check:
"""

RETURN = r"""{}"""
