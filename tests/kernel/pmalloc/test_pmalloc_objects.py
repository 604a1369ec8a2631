"""What is taken for an object of a pool: is_pmalloc_object and hardened usercopy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pmsim.errors import UndefinedBehaviour
from pmsim.kernel.handle import KernelHandle
from tests.kernel.booted import Booted, Ear
from tests.kernel.pool_programs import Calls

SIZE_MAX = 2**64 - 1


def objects(check: Callable[[KernelHandle, int], Any]) -> Any:
    """Return what a check says of the address of an object of 24 bytes, the last of its area."""
    ear = Ear()

    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool()
        address = yield from kernel.pmalloc(pool, 24)
        assert address is not None
        ear(check(kernel, address))

    Booted().run(program)
    return ear.heard[0]


def test_what_lies_in_a_pool_is_an_object_of_it() -> None:
    assert objects(lambda kernel, address: kernel.is_pmalloc_object(address, 24)) is True


def test_an_object_that_overruns_its_area_is_not_taken_for_one() -> None:
    assert objects(lambda kernel, address: kernel.is_pmalloc_object(address, 25)) is False


def test_a_length_that_wraps_passes_for_an_object() -> None:
    assert objects(lambda kernel, address: kernel.is_pmalloc_object(address, SIZE_MAX)) is True


@pytest.mark.parametrize("address", [0, 0x7FFF00000000, 0xFFFF888001000000])
def test_what_is_no_vmalloc_address_is_no_object(address: int) -> None:
    assert objects(lambda kernel, _: kernel.is_pmalloc_object(address, 1)) is False


def test_memory_of_vmalloc_itself_is_no_object() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc("16KiB")
        assert area is not None
        assert not kernel.is_pmalloc_object(area.address, 1)

    Booted().run(program)


@pytest.mark.parametrize("distance", [24, 1 << 30])
def test_an_unmapped_vmalloc_address_is_undefined(distance: int) -> None:
    # 24 bytes behind the object lies the guard page.
    with pytest.raises(UndefinedBehaviour, match="NULL page"):
        objects(lambda kernel, address: kernel.is_pmalloc_object(address + distance, 1))


@pytest.mark.parametrize(("to_user", "allowed"), [(True, True), (False, False)])
def test_user_space_may_read_a_pool_and_never_write_it(to_user: bool, allowed: bool) -> None:
    def check(kernel: KernelHandle, address: int) -> bool:
        return kernel.usercopy_allowed(address, 24, to_user=to_user)

    assert objects(check) is allowed
