"""The pictures of runs in the README and the pages: ``python -m docs._generate.images``.

They are not drawn by ``make docs``, as Matplotlib's versions differ by a pixel here and there. The
pictures of the study are those of ``make study``, and the tutorial's is the one its reader draws.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pmsim

IMAGES: Final = Path(__file__).parents[1] / "images"
PICTURES: Final = {
    "policy_load_timeline": ("policy-load", "broadcast_timeline"),
    "policy_load_flush_cost": ("policy-load", "flush_cost"),
    "late_answers_slowest_call": ("late-answers", "anatomy_slowest"),
}
"""The scenario of each picture, and the figure of it."""


def draw() -> None:
    """Run the scenarios, and put the pictures where the pages look for them."""
    for scenario in dict.fromkeys(scenario for scenario, _ in PICTURES.values()):
        with TemporaryDirectory() as folder:
            pmsim.plot.draw_all(pmsim.run(scenario), folder)
            for name, (of, figure) in PICTURES.items():
                if of == scenario:
                    shutil.copyfile(Path(folder, f"{figure}.png"), IMAGES / f"{name}.png")
                    print(IMAGES / f"{name}.png")


if __name__ == "__main__":
    draw()
