# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The attributes that every module of the collection documents."""

from __future__ import annotations


class ModuleDocFragment:
    """The attributes of all modules, of ``_info`` modules, and of the action group."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and predict the changes without making them.
  diff_mode:
    description: Returns the changes, or in C(check_mode) the predicted changes, when in C(diff) mode.
  idempotent:
    description:
      - When run twice in a row outside check mode with the same arguments, the second run reports no change.
      - This assumes that nothing else changed the managed host in between.
"""

    # For modules that only read: they also take the fragment above.
    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This module never changes anything.
  diff_mode:
    support: N/A
    details:
      - This module never changes anything.
  idempotent:
    support: full
    details:
      - This module never changes anything.
"""

    ACTIONGROUP_GITHUB = r"""
options: {}
attributes:
  action_group:
    description:
      - Use C(group/coldvox.ci.github) in C(module_defaults) to give the URL and the credential once.
    support: full
    membership:
      - coldvox.ci.github
"""
