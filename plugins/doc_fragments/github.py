# Copyright (c) 2026, the coldvox.ci contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection options of every module that sends requests to GitHub."""

from __future__ import annotations


class ModuleDocFragment:
    """The fragment ``coldvox.ci.github``."""

    DOCUMENTATION = r"""
options:
  url:
    description:
      - Page of the repository (C(https://github.com/owner/repository)), organization
        (C(https://github.com/name)) or enterprise (C(https://github.com/enterprises/name)). Required.
    type: str
  api_url:
    description:
      - Root of the REST API. By default C(https://api.github.com) for github.com, and C(/api/v3) on every
        other host.
    type: str
  token:
    description:
      - Token with the permission C(Administration) (repository) or C(Self-hosted runners) (organization) for
        runners, C(Variables) for variables, or C(Actions) for runs and jobs. A module that only lists needs
        read access, a module that changes something needs write access. For an enterprise GitHub accepts
        only a classic token, with the scope C(manage_runners:enterprise).
      - Falls back to the environment variable E(COLDVOX_GITHUB_TOKEN) of the controller. It never reaches
        the host.
    type: str
  app_id:
    description:
      - Id of a GitHub App to use instead of a token, together with O(app_key). Not for enterprises.
    type: str
  app_key:
    description: Text of the App's private key (PEM). It never reaches the host.
    type: str
  installation_id:
    description: Id of the App's installation. By default it is looked up.
    type: str
  ca_path:
    description:
      - PEM file on the controller with further certificate authorities to trust, in addition to the
        system's.
    type: path
  request_timeout_seconds:
    description: The longest that one request to GitHub may take.
    type: int
    default: 20
notes:
  - The controller sends the requests, through the proxy that its environment names (E(HTTPS_PROXY),
    E(NO_PROXY)).
"""
