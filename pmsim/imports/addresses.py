"""What /proc/vmallocinfo says of the kernel's address space."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Final

from pmsim import formatting
from pmsim.errors import Fault, ScenarioError
from pmsim.imports.found import Imported, sentences, text_file
from pmsim.imports.trace.workload import MODULES
from pmsim.readers.formats import Format
from pmsim.readers.vmallocinfo import AreaInfo, InfoArea, read_vmallocinfo
from pmsim.report.table import Table, count, size, word
from pmsim.units import GIB, MS, PAGE_SIZE, format_size
from pmsim.workloads.calls_file import COLUMNS, CallOp

AREAS: Final = "areas.csv"
"""The file of areas that are there before the start."""
TOP: Final = 20
"""Callers that the table shows."""
FAR: Final = 64 * GIB
"""A hole larger than this is the space between two ranges, such as vmalloc and modules: there is no
such hole within what areas fill from below."""


def import_vmallocinfo(path: Path) -> Imported:
    """Return who has how many areas, what is lazily freed, and which holes there are.

    Raises
    ------
    ScenarioError
        If the file cannot be read, or has no area.
    """
    info = read_vmallocinfo(path)
    if not info.areas:
        raise ScenarioError([Fault(str(path), 0, 0, "nothing-found", "there are no areas")])
    lazy = [area for area in info.areas if area.lazy]
    used = [area for area in info.areas if not area.lazy]
    said = [
        f"{formatting.counted(len(used), 'area')} of together"
        f" {formatting.size(sum(area.size for area in used))}",
        f"{formatting.counted(len(lazy), 'area')} of together"
        f" {formatting.counted(sum(area.pages for area in lazy), 'page')} lazily freed:"
        " the next purge flushes them",
    ]
    if info.page_size != PAGE_SIZE:
        said.append(f"its pages have {formatting.size(info.page_size)}, as those of arm64 may")
    said += _holes(info)
    tables = (_callers(used), _kinds(info.areas))
    files = {
        AREAS: text_file(_rows(info)),
        "scenario.yaml": text_file(_scenario(path.name, info)),
    }
    return Imported(path.name, Format.VMALLOCINFO.value, sentences(said), tables, files)


def _rows(info: AreaInfo) -> str:
    """Return the areas as what is there before a replay, and a purge a millisecond later.

    In order of their addresses where these are true; what is lazily freed is freed when all are
    there. Areas among modules are allocated there.
    """
    areas = info.areas
    if info.true_addresses:
        areas = tuple(sorted(areas, key=lambda area: area.start))
    rows = [",".join(COLUMNS)]
    for number, area in enumerate(areas, start=1):
        module = info.true_addresses and area.start >= MODULES
        op = CallOp.MODULE_ALLOC if module else CallOp.VMALLOC
        rows.append(f",0,{op.value},{number},,{max(area.pages - 1, 1)},")
    rows += [f",0,{CallOp.VFREE.value},{n},,," for n, area in enumerate(areas, 1) if area.lazy]
    rows.append(f"{MS},0,{CallOp.VM_UNMAP_ALIASES.value},,,,")
    return "\n".join(rows) + "\n"


def _scenario(name: str, info: AreaInfo) -> str:
    lazy = sum(area.pages for area in info.areas if area.lazy)
    lines = [
        f"# Made by pmsim import of {name}, {Format.VMALLOCINFO.value}:",
        f"# {len(info.areas):,} areas are there before the start, {lazy:,} pages of them lazily"
        " freed.",
        "# Each takes its pages from memory here, device memory too.",
        "pmsim: 1",
        "name: next-purge",
        "description: What does the next purge of these areas cost?",
        *_host(info.page_size),
        "until: done",
        "workloads:",
        f"  - {{kind: replay, name: areas, file: {AREAS}}}",
    ]
    return "\n".join(lines) + "\n"


def _host(page_size: int) -> tuple[str, str]:
    """Return a machine and a kernel that have such pages."""
    if page_size == PAGE_SIZE:
        return "machine: skylake-sp-2s", "kernel: linux-6.12-x86_64"
    size = format_size(page_size)
    return "machine: altra-max", f"kernel: {{profile: linux-6.12-arm64, page_size: {size}}}"


def _holes(info: AreaInfo) -> list[str]:
    if not info.true_addresses:
        return [
            "its addresses are hashed, so that nothing is known of holes: read it as root, with"
            " kernel.kptr_restrict=1"
        ]
    areas = sorted(info.areas, key=lambda area: area.start)
    gaps = (after.start - one.start - one.size for one, after in pairwise(areas))
    holes = [gap for gap in gaps if 0 < gap <= FAR]
    if not holes:
        return ["no holes between areas"]
    return [
        f"{formatting.counted(len(holes), 'hole')} between areas, the largest of"
        f" {formatting.size(max(holes))}, together {formatting.size(sum(holes))}"
    ]


def _callers(areas: list[InfoArea]) -> Table:
    by_caller: dict[str, list[InfoArea]] = defaultdict(list)
    for area in areas:
        by_caller[area.caller or area.kind].append(area)
    ordered = sorted(by_caller.items(), key=lambda one: -sum(area.size for area in one[1]))
    rows = [
        (
            word(caller),
            count(len(those)),
            size(sum(area.size for area in those)),
            size(max(area.size for area in those)),
        )
        for caller, those in ordered[:TOP]
    ]
    rest = len(ordered) - TOP
    note = f"{formatting.counted(rest, 'other caller')} left out." if rest > 0 else ""
    return Table("areas by caller", ("caller", "areas", "together", "largest"), tuple(rows), note)


def _kinds(areas: tuple[InfoArea, ...]) -> Table:
    kinds = sorted({area.kind for area in areas})
    rows = [
        (
            word("lazily freed" if kind == "unpurged" else kind),
            count(sum(1 for area in areas if area.kind == kind)),
            count(sum(area.pages for area in areas if area.kind == kind)),
        )
        for kind in kinds
    ]
    return Table("areas by kind", ("kind", "areas", "pages, with guards"), tuple(rows))
