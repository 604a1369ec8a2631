"""The platforms with every constant."""

from __future__ import annotations

from docs._generate.markdown import code, table
from pmsim.scenario.platform import load_platform, platform_constants, platform_names
from pmsim.scenario.sources import BASES

HEAD = """\
# Platforms

The machines that pmsim ships, with every constant and what it rests on. `pmsim list platforms
--details` prints the same. Each is a file in `pmsim/data/platforms/`; a file of your own stands in
a scenario by its path.

"""


def platform_page() -> str:
    """Return all platforms: a row for each, and its constants."""
    bases = table(("basis", "means"), [(code(k), v) for k, v in BASES.items()])
    rows, parts = [], []
    for name in platform_names():
        machine = load_platform(name)
        constants = platform_constants(name)
        guessed = sum(one.basis == "estimate" for one in constants)
        cpus = f"{machine.topology.n_cpus:,}"
        estimates = f"{guessed} of {len(constants)}"
        rows.append((f"[{name}](#{name})", cpus, machine.description, estimates))
        between = {one.path: one.between for one in machine.constants}
        lines = [
            (code(c.path), c.value, between.get(c.path, ""), c.basis, c.source) for c in constants
        ]
        head = ("constant", "value", "range", "basis", "source")
        parts.append(f"\n## {name}\n\n{machine.description}\n\n{table(head, lines)}")
    head = ("platform", "CPUs", "what it is", "estimates")
    return HEAD + table(head, rows) + "\n" + bases + "".join(parts)
