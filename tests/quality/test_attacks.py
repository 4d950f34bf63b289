"""The attacks of tests/attacks: whole entries, scripts that parse, and their page."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests._support.hardening_role import profiles
from tests.attacks import batch
from tests.attacks.catalogue import KINDS, WORDS, Attack, attacks, parse
from tests.attacks.settings import SETTINGS

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
        attack("true", after="true", proof="")
    with pytest.raises(ValueError, match="needs a proof"):
        attack("true", after="true", proof="", by_design="A heading", under="desktop")
    assert attack("true", later="true", proof="").has_control({"build"}), "root plants it"
    with pytest.raises(ValueError, match="one of the kinds"):
        attack("true", kind="other")


def test_attack_wins_by_design_only_under_its_words() -> None:
    always, sometimes = attack("true", by_design="A"), attack("true", by_design="A", under="desktop team")
    assert [always.wins_by_design(words) for words in ({"strict", "team"}, {"build"})] == [True, True]
    assert sometimes.wins_by_design({"desktop", "strangers"})
    assert not sometimes.wins_by_design({"build", "strangers"})
    for wrong in ({"by_design": "A", "under": "desktp"}, {"under": "desktop"}):
        with pytest.raises(ValueError, match="under"):
            attack("true", **wrong)


def test_every_profile_and_trust_class_is_under_attack() -> None:
    words = frozenset[str]().union(*(setting.words for setting in SETTINGS))
    assert words == WORDS == set(profiles()) - {"off"} | {"team", "strangers"}
    for profile in WORDS - {"team", "strangers"}:
        assert any("way_out" in each.groups for each in SETTINGS if each.profile == profile), profile
    strangers = {group for each in SETTINGS if each.trust == "strangers" for group in each.groups}
    assert {"next_job", "registration", "secrets"} <= strangers
