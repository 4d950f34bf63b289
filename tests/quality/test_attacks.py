"""The attacks of tests/attacks: whole entries, scripts that parse, and their page."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.attacks import batch
from tests.attacks.catalogue import KINDS, Attack, attacks, parse

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = CHECKOUT / "docs/security.md"
VARIABLES = {"NONCE": "attack-0123"}


def attack(job: str, **more: str) -> Attack:
    return parse({"name": "sample", "kind": "host", "job": job, "proof": "none needed", **more}, "sample")


def tried(job: str, **more: str) -> batch.Seen:
    script = batch.script([attack(job, **more)], "job", VARIABLES)
    done = subprocess.run(["bash", "-s"], input=script, capture_output=True, text=True, check=True)
    return batch.read(done.stdout, "sample", VARIABLES["NONCE"])


def test_attacks_cover_every_kind() -> None:
    assert {each.kind for each in attacks()} == set(KINDS)


@pytest.mark.parametrize("each", attacks(), ids=lambda each: each.name)
def test_attack_scripts_are_valid_bash(each: Attack) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", each.name)
    for stage, script in each.stages.items():
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), stage
    assert "$WON" in "".join(each.stages.values()) or re.search(
        r"\b(write_to|read_from)\b|WON", "".join(each.stages.values())
    )


def test_attacks_that_win_by_design_are_explained_on_their_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    headings = set(re.findall(r"^#+ (.+)$", page, re.M))
    by_design = [each for each in attacks() if each.by_design]
    assert by_design
    for each in by_design:
        assert each.by_design in headings, each.name
        section = page.partition(f" {each.by_design}\n")[2].partition("\n## ")[0]
        assert f"`{each.name}`" in section, f"{each.name} is not named under {each.by_design!r}"


def test_attack_wins_only_by_its_marker() -> None:
    assert tried('echo "$WON"') == batch.Seen(won=True, obstacle="")
    assert tried("env; true") == batch.Seen(won=False, obstacle="")
    assert tried("exit 1") == batch.Seen(won=False, obstacle="")


def test_attack_that_was_not_tried_is_not_blocked() -> None:
    assert tried("true", needs="no-such-program").obstacle == "the program no-such-program is missing"
    assert "missing" in tried("no-such-program").obstacle
    assert "no end in time" in tried("sleep 5", seconds="1").obstacle
    assert batch.read("", "sample", "attack-0123").obstacle == "it did not end"


def test_attack_with_several_stages_needs_a_proof() -> None:
    with pytest.raises(ValueError, match="needs a proof"):
        attack("true", later="true", proof="")
    with pytest.raises(ValueError, match="one of the kinds"):
        attack("true", kind="other")
