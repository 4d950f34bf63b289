"""The filters for runner accounts and pools."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.coldvox.ci.plugins.filter.runner_pool import FilterModule as PoolFilters
from ansible_collections.coldvox.ci.plugins.filter.runner_pool_refusal import FilterModule as RefusalFilters
from ansible_collections.coldvox.ci.plugins.filter.runner_user import FilterModule as UserFilters

runner_pool = PoolFilters().filters()["runner_pool"]
refusal = RefusalFilters().filters()["runner_pool_refusal"]
runner_user = UserFilters().filters()["runner_user"]


def test_runner_user_returns_the_account_or_refuses_the_name() -> None:
    assert runner_user("laptop-extra") == "ci-laptop-extra"
    with pytest.raises(AnsibleFilterError, match="'a b'"):
        runner_user("a b")


def test_runner_pool_returns_instances_and_users() -> None:
    pool = runner_pool([{"name": "one"}], base_dir="/srv/r", labels=["x"], path=["/usr/bin"])
    assert pool["instances"][0]["labels"] == ["x"]
    assert pool["users"][0]["name"] == "ci-one"


def test_runner_pool_refusal_returns_the_error_of_runner_pool() -> None:
    broken = [{"name": "one", "resource_class": "huge"}]
    with pytest.raises(AnsibleFilterError) as refused:
        runner_pool(broken, base_dir="/srv/r")
    assert refusal(broken, {"base_dir": "/srv/r"}) == str(refused.value)
    assert "'huge'" in str(refused.value)
    assert refusal([{"name": "one"}], {"base_dir": "/srv/r"}) == ""
