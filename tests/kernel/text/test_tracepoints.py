"""Probes of tracepoints (kernel/tracepoint.c)."""

from __future__ import annotations

import pytest

from pmsim.errors import ProgramError
from tests.kernel.booted import Booted
from tests.kernel.text.test_text_poke import BATCHES, PER_SITE, SYNC


@pytest.mark.parametrize("profile", BATCHES)
@pytest.mark.parametrize("call", ["tracepoint_probe_register", "tracepoint_probe_unregister"])
def test_a_probe_is_a_static_call_with_its_trampoline_and_a_static_key(
    profile: str, call: str
) -> None:
    booted = Booted(profile=profile).run(lambda kernel: getattr(kernel, call)())
    assert booted.flushes == [SYNC] * 9
    # The sites of a static call are patched one by one, those of a key together.
    booted = Booted(profile=profile).run(lambda kernel: getattr(kernel, call)(4))
    assert booted.flushes == [SYNC] * 3 * (1 + 4 + 1)
    (row,) = booted.of_kind(call)
    assert row["crosscalls"] == 18


@pytest.mark.parametrize("profile", PER_SITE)
def test_kernels_without_static_calls_patch_the_key_alone(profile: str) -> None:
    booted = Booted(profile=profile).run(lambda kernel: kernel.tracepoint_probe_register(4))
    assert booted.flushes == [SYNC] * 12


@pytest.mark.parametrize("call", ["tracepoint_probe_register", "tracepoint_probe_unregister"])
def test_a_negative_number_of_sites_is_no_call_of_a_kernel(call: str) -> None:
    with pytest.raises(ProgramError, match=f"{call} of -1 sites"):
        Booted().run(lambda kernel: getattr(kernel, call)(-1))
