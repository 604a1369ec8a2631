"""The README: what its pages say is played by `tests.docs`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_link_of_the_readme_leads_to_a_file(link):
    assert (ROOT / link).exists()


def test_there_are_exactly_two_commands_of_set_up():
    set_up = re.findall(r"^```console\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)[0]
    assert [line.split("#")[0].strip() for line in set_up.strip().split("\n")] == [
        "make demo",
        "make test",
    ]
