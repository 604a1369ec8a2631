"""The kernel's key ``shootdown``: what can stand there, and what follows."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.errors import ScenarioError
from pmsim.hardware.costs import MachineCosts
from pmsim.hardware.machine import Machine
from pmsim.hardware.shootdown.ipi import by_shorthand
from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.hardware.shootdown.protocols import PROTOCOLS, calls_of
from pmsim.hardware.shootdown.tlbi import TLBI
from pmsim.hardware.topology import Topology
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.kernel import Kernel
from pmsim.kernel.profiles import load_profile, profile_names
from pmsim.kernel.tlbflush import Cause
from pmsim.units import MS, NS, PAGE_SIZE, US
from tests.hardware import machines
from tests.kernel.booted import Booted

Calls = Generator[Any, Any, Any]

INVLPG, FLUSH_ALL = 100 * NS, 400 * NS
"""What dropping one page, or everything, takes on the machine that tests boot."""

ENTRY = {"ipi": {"ack": "entry"}}
"""Calls are acknowledged before their functions run."""

COSTS = machines.costs()
"""Of a machine that has every protocol."""


@pytest.mark.parametrize("name", profile_names())
def test_by_itself_a_kernel_tells_others_as_it_was_built_to(name: str) -> None:
    profile = load_profile(name)
    first = profile.invalidate_by.split("_or_")[0]
    assert profile.shootdown_on(COSTS) == Shootdown(PROTOCOLS[first])
    assert set(profile.invalidate_by.split("_or_")) <= set(PROTOCOLS)


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("written", [lambda name: name, lambda name: {name: {}}])
def test_any_protocol_may_be_chosen_by_its_name(name: str, written: Any) -> None:
    profile = load_profile("linux-6.1-x86_64", {"shootdown": written(name)})
    assert profile.shootdown_on(COSTS) == Shootdown(PROTOCOLS[name])
    assert profile.model_dump(mode="json")["shootdown"] == name


def test_an_option_is_chosen_below_the_protocols_name() -> None:
    profile = load_profile("linux-6.1-x86_64", {"shootdown": ENTRY})
    chosen = profile.shootdown_on(COSTS)
    assert (chosen.protocol.name, chosen.value("ack")) == ("ipi", "entry")
    assert profile.model_dump(mode="json")["shootdown"] == ENTRY
    usual = load_profile("linux-6.1-x86_64", {"shootdown": {"ipi": {"ack": "completion"}}})
    assert usual.shootdown_on(COSTS) == Shootdown(PROTOCOLS["ipi"])


FAULTY = machines.costs(tlbi=machines.tlbi(erratum_4118414=True))
"""Of CPUs whose barriers have to be repeated."""


@pytest.mark.parametrize(
    ("name", "changes", "costs", "repeats"),
    [
        ("linux-6.12-arm64", {}, FAULTY, "per_sync"),
        ("linux-6.1.y-arm64", {}, FAULTY, "per_sync"),
        ("linux-6.12-arm64", {}, COSTS, "native"),
        ("linux-6.1-arm64", {}, FAULTY, "none"),
        ("linux-6.18-arm64", {}, FAULTY, "none"),
        ("linux-6.18-arm64", {"repeat_tlbi": "per_operation"}, FAULTY, "per_operation"),
        ("linux-6.12-arm64", {"shootdown": {"tlbi": {"repeat_sync": "none"}}}, FAULTY, "none"),
        ("linux-6.18-arm64", {"shootdown": {"tlbi": {"repeat_sync": "per_sync"}}}, COSTS,
         "per_sync"),
    ],
)  # fmt: skip
def test_barriers_are_repeated_where_the_cpus_need_it_and_the_kernel_knows(
    name: str, changes: dict[str, Any], costs: MachineCosts, repeats: str
) -> None:
    assert load_profile(name, changes).shootdown_on(costs).value("repeat_sync") == repeats


def test_a_number_may_be_chosen_as_an_option() -> None:
    written = {"tlbi": {"user_cpus": 9}}
    profile = load_profile("linux-6.18-x86_64", {"shootdown": written})
    assert profile.shootdown_on(COSTS).value("user_cpus") == "9"
    assert profile.model_dump(mode="json")["shootdown"] == written
    usual = load_profile("linux-6.18-x86_64", {"shootdown": {"tlbi": {"user_cpus": 4}}})
    assert usual.shootdown_on(COSTS) == Shootdown(TLBI)


@pytest.mark.parametrize("value", [0, 4097, True, "many", 4.0])
def test_what_is_no_number_of_cpus_is_refused(value: Any) -> None:
    with pytest.raises(ScenarioError, match="user_cpus of tlbi is not"):
        load_profile("linux-6.18-x86_64", {"shootdown": {"tlbi": {"user_cpus": value}}})


def test_a_flush_of_kernel_pages_may_drop_everything_in_the_time_of_its_operations() -> None:
    chosen = {"tlbi": {"kernel_range_drops": "everything"}}
    fast, slow = [
        Booted(2, profile="linux-6.18-x86_64", tlbi=machines.tlbi(share=0), **more)
        for more in ({}, {"shootdown": chosen})
    ]

    def flushes(kernel: KernelHandle) -> Calls:
        yield from kernel.flush_tlb_kernel_range(0, PAGE_SIZE)

    rows = []
    for booted in (fast, slow):
        booted.machine.spawn(1, lambda task: task.compute(MS), working_set=2)
        booted.run(flushes)
        rows.append(booted.calls[0]["end_ps"] - booted.calls[0]["start_ps"])
    assert rows[0] == rows[1]
    assert [one.machine.accounts()["refill_ps"][1] for one in (fast, slow)] == [0, 2 * 15 * NS]


WITH_SHORTHAND = machines.costs(shorthand=True)


@pytest.mark.parametrize(
    ("name", "changes", "costs", "one_write"),
    [
        ("linux-6.1-x86_64", {}, COSTS, False),
        ("linux-6.1-x86_64", {}, WITH_SHORTHAND, True),
        ("linux-5.15-x86_64", {}, WITH_SHORTHAND, True),
        ("linux-4.16-x86_64", {}, WITH_SHORTHAND, False),
        ("linux-4.16-x86_32", {}, WITH_SHORTHAND, False),
        ("linux-6.1-x86_64", {"ipi_shorthand": False}, WITH_SHORTHAND, False),
        ("linux-6.1-x86_64", {"shootdown": {"ipi": {"shorthand": True}}}, COSTS, True),
        ("linux-4.16-x86_64", {"shootdown": {"ipi": {"shorthand": True}}}, COSTS, True),
        ("linux-6.1-x86_64", {"shootdown": {"ipi": {"shorthand": False}}}, WITH_SHORTHAND, False),
        ("linux-4.16-x86_64", {"shootdown": ENTRY}, WITH_SHORTHAND, False),
        ("linux-6.1-x86_64", {"shootdown": ENTRY}, WITH_SHORTHAND, True),
        # What is not told by hardware, such as that code was patched.
        ("linux-6.18-x86_64", {}, WITH_SHORTHAND, True),
    ],
)
def test_calls_of_all_others_are_one_write_where_kernel_and_machine_can(
    name: str, changes: dict[str, Any], costs: MachineCosts, one_write: bool
) -> None:
    profile = load_profile(name, changes)
    calls = calls_of(profile.shootdown_on(costs))
    assert by_shorthand(calls, calls.protocol.costs_on(costs)) == one_write
    again = load_profile(
        name, {**changes, "shootdown": profile.model_dump(mode="json")["shootdown"]}
    )
    assert again == profile


def test_what_the_machine_has_decides_where_a_kernel_can_do_both() -> None:
    profile = load_profile("linux-6.18-x86_64")
    assert profile.shootdown_on(COSTS).protocol.name == "tlbi"
    assert profile.shootdown_on(machines.costs(tlbi=None)).protocol.name == "ipi"


@pytest.mark.parametrize(
    ("value", "code", "message", "hint"),
    [
        ("ipl", "bad-value", "there is no protocol 'ipl'", "did you mean ipi?"),
        ({"ipi": {"akc": "entry"}}, "unknown-key", "ipi has no option 'akc'", "did you mean ack?"),
        ({"ipi": {"ack": "entri"}}, "bad-value", "ack of ipi is not 'entri'",
         "did you mean entry?"),
        ({"ipi": {"shorthand": "yes"}}, "bad-value", "shorthand of ipi is not 'yes'",
         "known: native, true, false"),
        ({"tlbi": {"ack": "entry"}}, "unknown-key", "tlbi has no option 'ack'",
         "known: repeat_sync, kernel_range_drops, user_cpus"),
        ({"sbi": {"ack": "entry"}}, "unknown-key", "sbi has no option 'ack'", "it has none"),
        ({"rar": {"slots": 8}}, "unknown-key", "rar has no option 'slots'",
         "it is a cost of the machine: costs: {rar: {slots: ...}}"),
        ({"ipi": {"order": "serial"}}, "unknown-key", "ipi has no option 'order'",
         "it is a key of the kernel: crosscall_order: serial"),
        ({"ipi": 5}, "wrong-type", "the options of ipi are no mapping", "for example ipi: {}"),
        ({"ipi": {}, "sbi": {}}, "wrong-type",
         "a shootdown is a protocol's name, or a mapping of one",
         "for example {ipi: {ack: entry}}"),
        (3, "wrong-type", "a shootdown is a protocol's name, or a mapping of one",
         "for example {ipi: {ack: entry}}"),
    ],
)  # fmt: skip
def test_what_is_no_protocol_is_a_fault_with_a_hint(
    value: Any, code: str, message: str, hint: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_profile("linux-6.1-x86_64", {"shootdown": value})
    [fault] = caught.value.faults
    assert (fault.code, fault.message, fault.hint) == (code, message, hint)


def test_a_kernel_does_not_boot_on_a_machine_that_was_built_to_be_told_otherwise() -> None:
    machine = Machine(Topology(cores=2), COSTS, shootdown=Shootdown(TLBI))
    with pytest.raises(ValueError, match="makes shootdowns by ipi, but the machine was built for"):
        Kernel(machine, load_profile("linux-6.1-x86_64"))


def own_function(booted: Booted, cause: str) -> list[int]:
    """Return how long the slowest target's function was waited for, call by call of a cause."""
    calls = [call for call in booted.calls if Cause(call["cause"]).name.lower() == cause]
    assert all(call["slowest_cpu"] >= 0 for call in calls)
    return [call["function_ps"] for call in calls]


def test_what_only_revokes_is_acknowledged_before_it_is_done() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(PAGE_SIZE)
        yield from kernel.set_memory_ro(area.address, 1)

    assert own_function(Booted(shootdown=ENTRY).run(program), "attributes") == [0]
    assert own_function(Booted().run(program), "attributes") == [FLUSH_ALL]


@pytest.mark.parametrize(("frees_tables", "waited"), [(False, 0), (True, INVLPG)])
def test_user_memory_with_its_page_tables_is_given_back_when_every_cpu_is_done(
    frees_tables: bool, waited: int
) -> None:
    booted = Booted(shootdown=ENTRY)
    mm = booted.kernel.user.create()

    def other(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.task.compute(10 * MS)

    def program(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.task.sleep(10 * US)
        yield from kernel.munmap(1, frees_tables=frees_tables)

    booted.spawn(other, 1)
    assert own_function(booted.run(program), "user") == [waited]


def test_a_table_that_a_large_leaf_takes_the_place_of_is_freed_when_every_cpu_is_done() -> None:
    def program(kernel: KernelHandle) -> Calls:
        yield from kernel.vfree((yield from kernel.vmalloc(PAGE_SIZE)))
        yield from kernel.vm_unmap_aliases()
        yield from kernel.vmalloc_huge("2MiB")

    booted = Booted(profile="linux-6.6-x86_64", shootdown=ENTRY).run(program)
    assert own_function(booted, "purge") == [0]
    assert own_function(booted, "new_mapping") == [INVLPG]


def test_a_table_whose_leaves_are_joined_is_freed_when_every_cpu_is_done() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc_huge("2MiB")
        yield from kernel.set_memory_rox(area.address, 512)
        yield from kernel.set_memory_rw(area.address, 2)
        yield from kernel.set_memory_rox(area.address, 2)

    booted = Booted(profile="linux-6.18-x86_64", shootdown=ENTRY).run(program)
    assert own_function(booted, "collapse") == [FLUSH_ALL]
