"""Turning static keys on and off."""

from __future__ import annotations

import pytest

from pmsim.errors import ProgramError
from tests.kernel.booted import Booted
from tests.kernel.text.test_text_poke import BATCHES, PER_SITE, SYNC


@pytest.mark.parametrize("profile", PER_SITE)
def test_a_flip_was_three_calls_for_each_site(profile: str) -> None:
    booted = Booted(profile=profile).run(lambda kernel: kernel.static_key_toggle(56))
    assert booted.flushes == [SYNC] * 168


@pytest.mark.parametrize("profile", BATCHES)
def test_a_flip_is_three_calls_for_all_sites_of_a_key(profile: str) -> None:
    booted = Booted(profile=profile).run(lambda kernel: kernel.static_key_toggle(56))
    assert booted.flushes == [SYNC] * 3
    (row,) = booted.of_kind("static_key_toggle")
    assert row["crosscalls"] == 3


def test_a_key_without_sites_sends_nothing() -> None:
    booted = Booted().run(lambda kernel: kernel.static_key_toggle(0))
    assert booted.calls == []
    assert len(booted.of_kind("static_key_toggle")) == 1


def test_flips_of_two_cpus_go_one_after_the_other() -> None:
    booted = Booted()
    for cpu in (0, 1):
        booted.spawn(lambda kernel: kernel.static_key_toggle(600), cpu)
    booted.run()
    first, second = sorted(booted.of_kind("static_key_toggle"), key=lambda row: row["end_ps"])
    assert second["start_ps"] == first["start_ps"] == 0
    # The mutex is held over all three batches: the second waits for all of the first.
    assert second["lock_wait_ps"] >= first["end_ps"] - first["start_ps"]


def test_a_negative_number_of_sites_is_no_call_of_a_kernel() -> None:
    with pytest.raises(ProgramError, match="-1 sites"):
        Booted().run(lambda kernel: kernel.static_key_toggle(-1))
