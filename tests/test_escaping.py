"""Text that others bring along does nothing where it is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmsim.errors import Fault
from pmsim.escaping import escape, inert, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("evil\x1b]0;owned\x07", r"evil\x1b]0;owned\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("abc\u202edef\u2066", r"abc\u202edef\u2066"),
        ("two\nlines", r"two\x0alines"),
        ("\udcff", r"\udcff"),
        ("Müller, 漢字, می‌خواهم", "Müller, 漢字, می‌خواهم"),
    ],
)
def test_what_acts_is_written_out_and_what_is_seen_stays(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_lines_stay_where_they_are_meant() -> None:
    assert visible("one\ntwo\rthree", lines=True) == "one\ntwo\\x0dthree"
    assert escape("<b>\n\x1b") == "&lt;b&gt;\n\\x1b"


@given(st.text())
def test_what_is_visible_is_printable_ascii_or_seen_and_showing_it_twice_changes_nothing(
    text: str,
) -> None:
    shown = visible(text)
    assert visible(shown) == shown
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in shown)
    shown.encode()  # no half of a pair is left


@pytest.mark.parametrize(
    "text", ['=HYPERLINK("x")', "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1"]
)
def test_no_text_is_a_formula(text: str) -> None:
    assert inert(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "vmalloc", "-1", "+2.5e3", "a=b", "64KiB", "3=4"])
def test_numbers_and_words_stay_as_they_are(text: str) -> None:
    assert inert(text) == text


def test_a_fault_shows_whatever_it_is_about() -> None:
    fault = Fault("a\x1b.yaml", 1, 2, "bad-value", "'\x07' is\nno name", "\u202e?")
    assert str(fault) == "a\\x1b.yaml:1:2: '\\x07' is\\x0ano name [bad-value]\n    \\u202e?"
