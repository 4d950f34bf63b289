"""The inputs of the egress policy, as the role's template passes them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.coldvox.ci.plugins.filter.egress_policy import FilterModule
from ansible_collections.coldvox.ci.plugins.module_utils.runner.egress import Opening, settings_of

egress_policy = FilterModule().filters()["egress_policy"]


def test_settings_survive_the_file() -> None:
    exception = {"name": "database", "host": "192.0.2.0/24", "port": 5432}
    urls = ["", "https://github.com/o/r", "sparse+http://[::1]:8081/registry/", "https://github.com/other"]
    plain = egress_policy("open", {"a": "github"}, [exception], urls, ["a", "b"], "https://github.com/o/r")
    settings = settings_of(plain)
    assert settings.policy_of("a") == "github"
    assert settings.policy_of("b") == "open"
    assert settings.exceptions == [Opening("database", "192.0.2.0/24", 5432, "tcp")]
    assert [(mirror.host, mirror.port) for mirror in settings.mirrors] == [("github.com", 443), ("::1", 8081)]


def test_bare_off_of_yaml_is_off() -> None:
    assert egress_policy(False)["policy"] == "off"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"policy": "closed"}, "'closed' is unknown; use one of: open, github, none, off"),
        ({"instances": {"a": "shut"}}, "'shut' is unknown"),
        ({"instances": {"typo": "none"}, "known": ["a", "b"]}, "'typo', which this host does not have"),
        ({"urls": ["ftp://x/"]}, "names no http or https server"),
        ({"urls": ["ftp://me:secret@x/"]}, "The address 'ftp://x/' of a mirror"),
        ({"urls": ["http:///"]}, "has the host ''"),
        ({"exceptions": [{"host": "192.0.2.1", "port": 1}]}, "needs a name"),
        ({"exceptions": [{"name": 'a" drop', "host": "192.0.2.1", "port": 1}]}, "needs a name"),
        ({"exceptions": [{"name": "a", "host": "1.2.3", "port": 1}]}, "give an address"),
        ({"exceptions": [{"name": "a", "host": "} accept", "port": 1}]}, "give an address"),
        ({"exceptions": [{"name": "a", "host": "x.org", "port": 0}]}, "from 1 to 65535"),
        ({"exceptions": [{"name": "a", "host": "x.org", "port": True}]}, "from 1 to 65535"),
        ({"exceptions": [{"name": "a", "host": "x.org"}]}, "from 1 to 65535"),
        ({"exceptions": [{"name": "a", "host": "x.org", "port": 1, "protocol": "sctp"}]}, "tcp, udp"),
    ],
)
def test_wrong_input_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        egress_policy(**{"policy": "open", **given})
