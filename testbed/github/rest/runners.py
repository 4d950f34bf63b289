"""Self-hosted runners: tokens, lists, labels, downloads, JIT configurations."""

from __future__ import annotations

from typing import Any

from ..clock import timestamp
from ..exchange import Answer, RefusedError, not_found
from ..registration import (
    already_exists,
    find_by_name,
    issue_token,
    jit_configuration,
    new_key,
    register,
    remove,
)
from ..state import Label, Runner
from .call import Call, Operation

SCOPES = {
    "/repos/{owner}/{repo}": "administration",
    "/orgs/{org}": "organization_self_hosted_runners",
    # Only a classic token can have this one.
    "/enterprises/{enterprise}": "manage_runners:enterprise",
}


def _render_label(label: Label) -> dict[str, Any]:
    return {"id": label.id, "name": label.name, "type": "read-only" if label.read_only else "custom"}


def _render_runner(runner: Runner) -> dict[str, Any]:
    return {
        "id": runner.id,
        "runner_group_id": runner.group_id,
        "name": runner.name,
        "os": runner.os,
        "status": "online" if runner.session else "offline",
        "busy": runner.job_id is not None,
        "labels": [_render_label(label) for label in runner.labels],
        "ephemeral": runner.ephemeral,
        "version": runner.version,
        **runner.lies,
    }


def _list_runners(call: Call) -> Answer:
    runners = call.state.runners_of(call.scope)
    if name := call.request.query.get("name"):
        runners = [runner for runner in runners if runner.name == name]
    page = call.page(runners)
    body = {"total_count": page.total, "runners": [_render_runner(each) for each in page.items]}
    return Answer(200, body, page.headers)


def _runner(call: Call) -> Runner:
    runner = call.state.runners.get(call.number("runner_id"))
    if runner is None or runner.scope != call.scope:
        raise not_found()
    return runner


def _get_runner(call: Call) -> Answer:
    return Answer(200, _render_runner(_runner(call)))


def _delete_runner(call: Call) -> Answer:
    remove(call.state, _runner(call))
    return Answer(204)


def _token(call: Call, kind: str) -> Answer:
    token, issued = issue_token(call.state, kind, call.scope, call.moment)
    return Answer(201, {"token": token, "expires_at": timestamp(issued.expires_at)})


def _registration_token(call: Call) -> Answer:
    return _token(call, "registration")


def _remove_token(call: Call) -> Answer:
    return _token(call, "remove")


def _generate_jitconfig(call: Call) -> Answer:
    data, scope = call.data, call.scope
    if find_by_name(call.state, scope, data["name"]):
        raise already_exists(data["name"])
    public_key, key = new_key()
    description = {
        "name": data["name"],
        "group_id": data["runner_group_id"],
        "labels": [{"name": name} for name in data["labels"]],
        "ephemeral": True,
        "public_key": public_key,
    }
    runner = register(call.state, scope, description)
    work_folder = data.get("work_folder", "_work")
    group = call.state.groups_of(scope)[runner.group_id]
    encoded = jit_configuration(runner, group, call.request.base_url, work_folder, key)
    return Answer(201, {"runner": _render_runner(runner), "encoded_jit_config": encoded})


def _list_downloads(call: Call) -> Answer:
    offers = []
    for download in call.downloads(call.scope):
        offer = {
            "os": download.os,
            "architecture": download.architecture,
            "download_url": download.url,
            "filename": download.filename,
        }
        if download.sha256:
            offer["sha256_checksum"] = download.sha256
        offers.append(offer)
    return Answer(200, offers)


def _get_deprecation(call: Call) -> Answer:
    version = call.parameters["version"]
    ends = call.state.support_ends.get(version)
    if ends is None:
        raise not_found()
    return Answer(200, {"runner_version": version, "runtime_deprecates_at": ends})


def _labels_answer(runner: Runner) -> Answer:
    labels = [_render_label(label) for label in runner.labels]
    return Answer(200, {"total_count": len(labels), "labels": labels})


def _list_labels(call: Call) -> Answer:
    return _labels_answer(_runner(call))


def _add(call: Call, runner: Runner, names: list[str]) -> Answer:
    for name in names:
        if name.lower() not in runner.label_names():
            runner.labels.append(call.state.label(name))
    return _labels_answer(runner)


def _add_labels(call: Call) -> Answer:
    return _add(call, _runner(call), call.data["labels"])


def _set_labels(call: Call) -> Answer:
    runner = _runner(call)
    runner.labels = [label for label in runner.labels if label.read_only]
    return _add(call, runner, call.data["labels"])


def _clear_labels(call: Call) -> Answer:
    runner = _runner(call)
    runner.labels = [label for label in runner.labels if label.read_only]
    return _labels_answer(runner)


def _remove_label(call: Call) -> Answer:
    runner, name = _runner(call), call.parameters["name"].lower()
    label = next((each for each in runner.labels if each.name.lower() == name), None)
    if label is None:
        raise not_found()
    if label.read_only:
        raise RefusedError(422, "Validation Failed: read-only labels cannot be removed.")
    runner.labels.remove(label)
    return _labels_answer(runner)


def _of_scope(base: str, permission: str) -> list[Operation]:
    runners, labels = f"{base}/actions/runners", f"{base}/actions/runners/{{runner_id}}/labels"
    return [
        Operation("GET", runners, _list_runners, permission, runner_token="registration"),
        Operation("GET", f"{runners}/downloads", _list_downloads, permission),
        Operation("GET", f"{runners}/deprecations/{{version}}", _get_deprecation, permission),
        Operation("POST", f"{runners}/registration-token", _registration_token, permission),
        Operation("POST", f"{runners}/remove-token", _remove_token, permission),
        Operation("POST", f"{runners}/generate-jitconfig", _generate_jitconfig, permission),
        Operation("GET", f"{runners}/{{runner_id}}", _get_runner, permission),
        Operation("DELETE", f"{runners}/{{runner_id}}", _delete_runner, permission, runner_token="remove"),
        Operation("GET", labels, _list_labels, permission),
        Operation("POST", labels, _add_labels, permission),
        Operation("PUT", labels, _set_labels, permission),
        Operation("DELETE", labels, _clear_labels, permission),
        Operation("DELETE", f"{labels}/{{name}}", _remove_label, permission),
    ]


OPERATIONS = [operation for base, permission in SCOPES.items() for operation in _of_scope(base, permission)]
