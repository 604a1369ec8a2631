from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pmsim.quantities import Time
from pmsim.steps import Steps
from pmsim.workloads.describe import key_docs
from pmsim.workloads.registry import (
    CpuWorkload,
    Registry,
    Workload,
    import_entry_points,
    workload,
    workload_kinds,
)
from pmsim.workloads.task import MachineInfo, TaskSpec

OWN_KINDS = {
    "policy_load",
    "pool_churn",
    "module_burst",
    "trace",
    "user_work",
    "irq_off_noise",
}


pytestmark = pytest.mark.usefixtures("scoped_kinds")


class Plain:
    """Computes."""

    entries: int = 1000
    pause: Time = 3000

    def run(self, kernel: Any, cpu: Any) -> Steps:
        yield from cpu.compute(self.pause)


def test_every_own_kind_is_registered_without_being_imported_by_hand() -> None:
    assert set(workload_kinds()) >= OWN_KINDS


def test_a_plain_class_becomes_a_frozen_model_of_its_annotated_keys() -> None:
    model = workload("plain")(Plain)
    made = model(entries=5, pause="4ns", cpu=2)
    assert (made.entries, made.pause, made.cpu, made.kind) == (5, 4000, 2, "plain")
    with pytest.raises(ValidationError, match="frozen"):
        made.entries = 6


def test_a_plain_class_gets_the_keys_of_a_task_on_one_cpu() -> None:
    model = workload("plain")(Plain)
    assert issubclass(model, CpuWorkload)
    assert set(model.model_fields) == {"kind", "name", "cpu", "working_set", "entries", "pause"}


def test_an_unknown_key_is_refused() -> None:
    model = workload("plain")(Plain)
    with pytest.raises(ValidationError, match="extra_forbidden"):
        model(entires=5)


def test_a_model_takes_no_other_kind_than_its_own() -> None:
    model = workload("plain")(Plain)
    with pytest.raises(ValidationError, match="plain"):
        model(kind="trace")


def test_the_run_of_a_plain_class_sees_its_keys() -> None:
    model = workload("plain")(Plain)
    asked: list[int] = []

    class Cpu:
        def compute(self, time: int) -> Steps:
            asked.append(time)
            yield 0

    (task,) = model(pause="7ps").tasks(MachineInfo(1))
    assert list(task.run(None, Cpu())) == [0]
    assert asked == [7]


def test_super_works_in_a_plain_class_that_became_a_model() -> None:
    class Base:
        def run(self, kernel: Any, cpu: Any) -> Steps:
            yield "base"

    class Derived(Base):
        def run(self, kernel: Any, cpu: Any) -> Steps:
            yield from super().run(kernel, cpu)

    model = workload("derived")(Derived)
    assert list(model().run(None, None)) == ["base"]


def test_keys_of_a_plain_base_class_are_keys() -> None:
    class Base:
        depth: int = 3

    class Derived(Base):
        def run(self, kernel: Any, cpu: Any) -> Steps:
            yield self.depth

    assert list(workload("derived")(Derived)(depth=4).run(None, None)) == [4]


def test_a_workload_can_be_pickled() -> None:
    model = workload("plain")(Plain)
    this = sys.modules[__name__]
    original = this.Plain
    this.Plain = model  # as if the decorator stood above the class
    try:
        made = model(entries=3)
        assert pickle.loads(pickle.dumps(made)) == made
    finally:
        this.Plain = original


def test_a_class_with_tasks_of_its_own_needs_no_run_and_has_no_cpu_key() -> None:
    class Several:
        def tasks(self, machine: MachineInfo) -> list[TaskSpec]:
            return [TaskSpec(cpu, lambda kernel, cpu: iter(())) for cpu in range(machine.n_cpus)]

    model = workload("several")(Several)
    assert [task.cpu for task in model().tasks(MachineInfo(3))] == [0, 1, 2]
    assert "cpu" not in model.model_fields


def test_a_class_with_neither_run_nor_tasks_is_refused_by_what_it_lacks() -> None:
    class Empty:
        entries: int = 1

    with pytest.raises(TypeError, match="Empty does not define run"):
        workload("empty")(Empty)


def test_a_kind_must_be_a_name() -> None:
    with pytest.raises(ValueError, match="guarded-table"):
        workload("guarded-table")


def test_the_same_class_again_replaces_itself() -> None:
    workload("plain")(Plain)
    again = workload("plain")(Plain)
    assert workload_kinds()["plain"] is again


def test_another_class_under_a_taken_name_is_refused() -> None:
    class Mine:
        def run(self, kernel: Any, cpu: Any) -> Steps:
            yield 0

    with pytest.raises(ValueError, match=r"'trace' is already .*kinds\.trace\.Trace"):
        workload("trace")(Mine)


def test_an_entry_point_of_another_package_adds_its_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(tmp_path, "elsewhere_kinds")
    (tmp_path / "elsewhere_kinds.py").write_text(
        "import pmsim.workloads.registry as registry\n"
        "@registry.workload('elsewhere')\n"
        "class Elsewhere:\n"
        "    def run(self, kernel, cpu):\n"
        "        yield 0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import_entry_points()
    assert "elsewhere" in workload_kinds()


def test_a_broken_entry_point_warns_and_takes_no_other_kind_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(tmp_path, "broken_kinds")
    (tmp_path / "broken_kinds.py").write_text("raise RuntimeError('half installed')\n")
    monkeypatch.syspath_prepend(tmp_path)
    mine = Registry(import_entry_points)
    with pytest.warns(UserWarning, match="half installed"):
        mine.kinds()
    assert set(workload_kinds()) >= OWN_KINDS


def test_kinds_end_with_the_scope_in_which_they_were_registered() -> None:
    mine = Registry()
    mine.add("a", Workload)
    with mine.scoped():
        mine.add("b", Workload)
        assert list(mine.kinds()) == ["a", "b"]
    assert list(mine.kinds()) == ["a"]


def test_a_registry_lists_kinds_in_alphabetical_order() -> None:
    mine = Registry()
    for kind in ("b", "a"):
        mine.add(kind, Workload)
    assert list(mine.kinds()) == ["a", "b"]


@pytest.mark.parametrize("kind", sorted(OWN_KINDS))
def test_every_key_of_every_own_kind_is_described(kind: str) -> None:
    assert workload_kinds()[kind].__doc__
    for doc in key_docs(kind):
        assert doc.description.endswith((".", "?")), f"{kind}.{doc.name}"


def test_key_docs_show_defaults_as_they_would_stand_in_a_file() -> None:
    docs = {doc.name: doc.default for doc in key_docs("policy_load")}
    assert docs["pool"] == "{refill: 4KiB, align_order: 3, mode: ro}"
    assert docs["allocations"] == "required"
    assert docs["protect"] == "end"


def _install(directory: Path, module: str) -> None:
    """Make what an installed package leaves for others to find it by."""
    info = directory / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[pmsim.workloads]\nkinds = {module}\n")
