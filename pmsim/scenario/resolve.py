"""From the nodes of a scenario to everything that a run needs, nothing left to look up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pmsim.errors import Fault, ScenarioError
from pmsim.kernel.profile import KernelProfile
from pmsim.kernel.profiles import load_profile
from pmsim.scenario.faults import NO_MERGE_KEYS, FaultList, did_you_mean, shown, validated
from pmsim.scenario.fit import misfit
from pmsim.scenario.machine import MachineDescription
from pmsim.scenario.model import DEFAULT_KERNEL, MeasureKeys, ScenarioKeys
from pmsim.scenario.nodes import Leaf, List, Node, Table, find
from pmsim.scenario.platform import machine_of
from pmsim.units import MAX_TIME, format_time
from pmsim.workloads.placement import with_names, workload_faults
from pmsim.workloads.registry import Workload, workload_kinds
from pmsim.workloads.validation import KeyFault


@dataclass(frozen=True, slots=True)
class ResolvedScenario:
    """A scenario with everything filled in: what is simulated, and what a result's manifest keeps.

    Attributes
    ----------
    name, description
        What it is called, and the question in words.
    machine
        The hardware, and the CPU time of kernel work on it.
    kernel
        The kernel's generation.
    duration
        Picoseconds; ``None``: until all finite workloads have ended.
    seed
        Of all random draws.
    workloads
        What runs, each with a name of its own.
    measure
        What is measured.
    replications
        Runs with random draws of their own.
    """

    name: str
    description: str
    machine: MachineDescription
    kernel: KernelProfile
    duration: int | None
    seed: int
    workloads: tuple[Workload, ...]
    measure: MeasureKeys
    replications: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, fit for JSON, which reads as a scenario that resolves to this one."""
        kernel = self.kernel.model_dump(mode="json")
        duration = self.duration
        return {
            "pmsim": 1,
            "name": self.name,
            "description": self.description,
            "machine": self.machine.as_dict(),
            "kernel": {"profile": kernel.pop("name"), **kernel},
            **({"until": "done"} if duration is None else {"duration": format_time(duration)}),
            "seed": self.seed,
            "workloads": [one.model_dump(mode="json") for one in self.workloads],
            "measure": self.measure.model_dump(mode="json", by_alias=True),
            "replications": self.replications,
        }

    def inputs(self) -> tuple[str, ...]:
        """Return the files that the workloads read, beside the scenario itself."""
        return tuple(file for one in self.workloads for file in one.inputs())


def resolve(tree: Node, file: str, directory: Path) -> ResolvedScenario:
    """Return the scenario that a tree of nodes describes; its ``sweep`` is not looked at.

    Parameters
    ----------
    tree
        The document.
    file
        Its name in messages; without its ending also the scenario's name if it has none.
    directory
        What relative paths in it start from.

    Raises
    ------
    ScenarioError
        With every fault of the file, and of the files it names.
    """
    faults = FaultList(file)
    if not isinstance(tree, Table):
        faults.at(tree, "wrong-type", "a scenario is a mapping of keys", "`pmsim: 1` comes first")
        faults.raise_if_any()
        raise AssertionError  # the fault above has been raised
    keys = validated(ScenarioKeys, tree, faults)
    machine_node = tree.get("machine")
    machine = machine_of(machine_node, faults, directory) if machine_node is not None else None
    kernel = _kernel(tree.get("kernel") or Leaf(DEFAULT_KERNEL), faults)
    workloads = _workloads(tree.get("workloads"), faults, directory, machine, kernel)
    if machine is not None and kernel is not None:
        revokes = any(one.revokes for one in workloads)
        _check_fit(machine, kernel, tree, faults, revokes=revokes)
    if machine is not None and keys is not None:
        _check_budget(keys, machine, tree, faults)
        _check_warmup(keys, tree, faults)
        _check_length(keys, machine.topology.n_cpus, tree, faults)
    if not faults and keys is not None and keys.duration is None:
        _check_end(workloads, tree, faults)
    faults.raise_if_any()
    # Without faults, nothing of these is missing.
    assert keys is not None
    assert machine is not None
    assert kernel is not None
    return ResolvedScenario(
        name=keys.name or Path(file).stem,
        description=keys.description,
        machine=machine,
        kernel=kernel,
        duration=keys.duration,
        seed=keys.seed,
        workloads=with_names(workloads),
        measure=keys.measure,
        replications=keys.replications,
    )


def _check_fit(
    machine: MachineDescription,
    kernel: KernelProfile,
    tree: Table,
    faults: FaultList,
    *,
    revokes: bool,
) -> None:
    """Report a kernel that does not run on the machine."""
    problem = misfit(machine, kernel, revokes=revokes)
    if problem is not None:
        faults.at(tree.get("kernel") or tree.key("machine") or tree, *problem)


def _check_length(keys: ScenarioKeys, n_cpus: int, tree: Table, faults: FaultList) -> None:
    """Report a run whose CPU time no sum over its CPUs and replications could hold."""
    longest = MAX_TIME // (n_cpus * keys.replications)
    if keys.duration is not None and keys.duration > longest:
        runs = f" and {keys.replications:,} replications" if keys.replications > 1 else ""
        message = (
            f"{format_time(keys.duration)} on {n_cpus:,} CPUs{runs} is more than can be added up"
        )
        faults.at(tree.get("duration") or tree, "out-of-range", message,
                  f"the largest is {format_time(longest)}")  # fmt: skip


def _check_budget(
    keys: ScenarioKeys, machine: MachineDescription, tree: Table, faults: FaultList
) -> None:
    """Report a budget for isolated CPUs where there are none."""
    if keys.measure.budget is not None and not machine.isolated:
        faults.at(find(tree, ("measure", "budget", "isolated")), "none-isolated",
                  "no CPU of this machine is isolated",
                  "machine: {platform: ..., isolated: 2-63}")  # fmt: skip


def _check_warmup(keys: ScenarioKeys, tree: Table, faults: FaultList) -> None:
    """Report a start that is left out and is longer than the run."""
    warmup = keys.measure.warmup
    if isinstance(warmup, int) and keys.duration is not None and warmup >= keys.duration:
        faults.at(find(tree, ("measure", "warmup")), "out-of-range",
                  f"{format_time(warmup)} are left out of a run of {format_time(keys.duration)}:"
                  " nothing would be left", "a shorter warm-up, or a longer duration")  # fmt: skip


def _check_end(workloads: list[Workload], tree: Table, faults: FaultList) -> None:
    """Report a run that would never be done."""
    if workloads and all(one.endless for one in workloads):
        place = tree.get("until") or tree.key("workloads") or tree
        faults.at(place, "never-done", "no workload here ever ends, so the run would not",
                  "give a duration, for example 1s")  # fmt: skip


def _kernel(node: Node, faults: FaultList) -> KernelProfile | None:
    """Return the profile that stands behind ``kernel:``."""
    named = node.get("profile") if isinstance(node, Table) else node
    if named is None:
        faults.at(node, "missing-key", "the key 'profile' is missing",
                  f"for example {DEFAULT_KERNEL}")  # fmt: skip
        return None
    if not isinstance(named, Leaf) or not isinstance(named.value(), str):
        faults.at(named, "wrong-type", "a kernel is a profile's name or a mapping with one",
                  f"for example {DEFAULT_KERNEL}")  # fmt: skip
        return None
    overrides = node.without(["profile"]) if isinstance(node, Table) else Table(())
    found, profile = _profile(named, overrides)
    faults.extend(_place(fault, named, overrides, faults.file) for fault in found)
    return profile


def _profile(named: Leaf, overrides: Table) -> tuple[list[Fault], KernelProfile | None]:
    """Return every fault of a profile's name and keys, and the profile if there are none."""
    values = overrides.value()
    found: list[Fault] = []
    while True:
        try:
            profile = load_profile(named.text, values)
        except ScenarioError as error:
            found += error.faults
            # Keys that are unknown hide faults of the others: look again without them.
            unknown = {
                f.file.removeprefix("kernel.") for f in error.faults if f.code == "unknown-key"
            }
            if not unknown & values.keys():
                return found, None
            values = {key: value for key, value in values.items() if key not in unknown}
        else:
            return found, None if found else profile


def _place(fault: Fault, named: Leaf, overrides: Table, file: str) -> Fault:
    """Give a profile's fault, which names its key, the place of that key."""
    path = fault.file.split(".")[1:]
    node: Node = find(overrides, path) if path and overrides.get(path[0]) else named
    if fault.code == "unknown-key" and path:
        node = overrides.key(path[0]) or node
    return replace(fault, file=file, line=node.line, column=node.column)


def _workloads(
    node: Node | None,
    faults: FaultList,
    directory: Path,
    machine: MachineDescription | None,
    kernel: KernelProfile | None,
) -> list[Workload]:
    """Return the workloads that are sound by themselves, and report all that is not."""
    if not isinstance(node, List):
        return []  # reported already, by the model of the whole scenario
    context: dict[str, Any] = {"directory": str(directory)}
    if kernel is not None:
        context["page_size"] = kernel.page_size
    sound: list[tuple[Node, Workload]] = []
    for item in node.items:
        one = _workload(item, faults, context)
        if one is not None:
            sound.append((item, one))
    if machine is not None:
        found = workload_faults([one for _, one in sound], machine.info(kernel))
        for index, fault in found:
            _report(fault, sound[index][0], faults)
    return [one for _, one in sound]


def _workload(node: Node, faults: FaultList, context: Mapping[str, Any]) -> Workload | None:
    kinds = workload_kinds()
    if not isinstance(node, Table):
        faults.at(node, "wrong-type", "a workload is a mapping of keys", "for example kind: trace")
        return None
    kind = node.get("kind")
    merge = node.key("<<")
    if kind is None and merge is not None:
        faults.at(merge, "unknown-key", "unknown key '<<'", NO_MERGE_KEYS)
        return None
    if kind is None or kind.value() is None:
        faults.at(node, "missing-key", "the key 'kind' is missing", f"kinds: {', '.join(kinds)}")
        return None
    name = kind.value()
    if not isinstance(name, str) or name not in kinds:
        message = f"{shown(kind)} is no kind of workload"
        faults.at(kind, "unknown-workload", message, did_you_mean(str(name), kinds))
        return None
    return validated(kinds[name], node, faults, context)


def _report(fault: KeyFault | Fault, node: Node, faults: FaultList) -> None:
    """Report a fault of a workload, or of a file that it reads."""
    if isinstance(fault, Fault):
        faults.extend([fault])
        return
    faults.at(find(node, fault.path), fault.code, fault.message, fault.hint)
