"""What a sweep over designs of pools answers: which of them no other one beats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pmsim.figures import designs

if TYPE_CHECKING:
    from pmsim.experiments.results import Sweep


def pool_words(sweep: Sweep) -> list[str]:
    """Return the front of exposure against cost, where a sweep varies how pools are designed."""
    found = designs.designs(sweep)
    if found is None or not designs.says(found):
        return []
    told = [
        f"{name}: {exposure} for {cost}"
        for name, (cost, exposure) in designs.front_words(found).items()
    ]
    beaten = len(found.all) - len(told)
    return [
        "Exposure of pools against what they cost everybody, the designs that none beats, the"
        f" cheapest first: {'; '.join(told)}."
        f" {'The other' if beaten == 1 else f'All {beaten} others'} cost as much or more and are"
        " no less exposed."
    ]
