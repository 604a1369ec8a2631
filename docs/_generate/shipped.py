"""The scenarios that pmsim ships."""

from __future__ import annotations

from docs._generate.markdown import code, table
from pmsim.scenario.scenario import load
from pmsim.scenario.shipped import scenario_names

HEAD = """\
# Shipped scenarios

Each runs by its name (`pmsim run policy-load`), and each is a file in `scenarios/` to start from.

"""


def shipped_page() -> str:
    """Return every scenario with its question, its machine, its kernel and what runs."""
    rows = []
    for name in scenario_names():
        resolved = load(name).resolve()
        kinds = ", ".join(dict.fromkeys(code(one.kind) for one in resolved.workloads))
        machine = f"{resolved.machine.name}, {resolved.machine.topology.n_cpus:,} CPUs"
        rows.append((code(name), resolved.description, machine, resolved.kernel.name, kinds))
    return HEAD + table(("scenario", "question", "machine", "kernel", "workloads"), rows)
