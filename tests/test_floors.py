"""The floors are the same in contracts, rooms, and the page on the design."""

from __future__ import annotations

import re
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def layers(container: str) -> list[list[str]]:
    """Return the modules of each layer of a contract, from below."""
    contracts: list[dict[str, Any]] = SETTINGS["tool"]["importlinter"]["contracts"]
    (found,) = (one for one in contracts if one.get("containers") == [container])
    return [layer.split(" | ") for layer in reversed(found["layers"])]


def is_room(name: str) -> bool:
    return (ROOT / "pmsim" / name).is_dir()


ROOMS = {
    name: floor
    for floor, names in enumerate(
        (layer for layer in layers("pmsim") if any(map(is_room, layer))), start=1
    )
    for name in names
}
GROUND = [name for layer in layers("pmsim") for name in layer if not is_room(name)]


@pytest.mark.parametrize(("room", "floor"), ROOMS.items())
def test_a_room_says_on_which_floor_it_is(room: str, floor: int) -> None:
    assert (import_module(f"pmsim.{room}").__doc__ or "").startswith(f"Floor {floor}: ")


def test_the_page_on_the_design_has_every_room_on_its_floor() -> None:
    shown = re.findall(r"^  (\w+)/ +FLOOR (\d+)", DESIGN, re.MULTILINE)
    assert {room: int(floor) for room, floor in shown} == ROOMS


@pytest.mark.parametrize("module", sorted({*GROUND} - {"__main__"}))
def test_the_page_on_the_design_names_what_the_ground_is_made_of(module: str) -> None:
    assert f"{module}.py" in DESIGN[DESIGN.index("GROUND") : DESIGN.index("data/  ")]


@pytest.mark.parametrize("part", [name for layer in layers("pmsim.kernel") for name in layer])
def test_the_page_on_the_design_names_every_part_of_the_kernel(part: str) -> None:
    place = ROOT / "pmsim" / "kernel" / part
    assert (f"{part}/" if place.is_dir() else f"{part}.py") in DESIGN
