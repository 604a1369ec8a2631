from __future__ import annotations

import numpy as np
import pytest

from pmsim.figures import address_space
from pmsim.figures.gallery import drawings
from pmsim.figures.space import says, space
from tests.figures.made_up import MS, MadeUp, timeline


def run(taken: list[int], hole: int = 1000, lazy: int = 0) -> MadeUp:
    n = len(taken)
    pages = {"vmalloc_pages": taken, "lazy_pages": [lazy] * n, "vmalloc_hole_pages": [hole] * n}
    return MadeUp(timeline=timeline([1] * n, MS, **pages))


def stairs(result: MadeUp) -> list[list[int]]:
    return [patch.get_data().values.tolist() for patch in address_space(result).patches]


def test_taken_lazily_freed_and_the_largest_hole_are_drawn_from_the_table() -> None:
    assert stairs(run([5, 9, 7], hole=20, lazy=2)) == [[5, 9, 7], [2, 2, 2], [20, 20, 20]]


def test_a_hole_that_would_flatten_what_is_taken_is_said_and_not_drawn() -> None:
    assert stairs(run([5, 9, 7], hole=91)) == [[5, 9, 7]]
    ax = address_space(run([5, 9, 7], hole=91))
    assert ax.get_title(loc="left") == "At most 9 pages of the vmalloc range taken: far from full"
    assert "The largest hole has 91 or more." in ax.get_label()


def test_the_message_tells_the_most_that_was_taken_and_the_least_hole() -> None:
    result = run([5, 9, 7])
    result.timeline["vmalloc_hole_pages"] = [30, 1, 20]
    assert address_space(result).get_title(loc="left").replace("\n", " ") == (
        "At most 9 pages of the vmalloc range taken; the largest hole shrinks to 1 page"
    )


def test_the_first_replication_is_drawn() -> None:
    result = run([5, 9, 7])
    result.timeline.loc[2, "replication"] = 1
    assert space(result, "vmalloc").taken.tolist() == [5, 9]
    assert space(result, "vmalloc").edges_ps.tolist() == [0, MS, 2 * MS]


@pytest.mark.parametrize(
    ("taken", "telling"), [([5] * 9, False), ([5, 9, 9], False), ([5, 9, 5], True)]
)
def test_a_range_of_which_as_much_is_taken_all_the_time_is_not_drawn(
    taken: list[int], telling: bool
) -> None:
    assert says(space(run(taken), "vmalloc")) == telling
    drawn = [drawing.name for drawing in drawings(run(taken))]
    assert ("address_space" in drawn) == telling


def test_where_modules_have_no_range_of_their_own_it_is_drawn_once() -> None:
    result = run([5, 9, 7, 8])
    for name in ("pages", "hole_pages"):
        result.timeline[f"modules_{name}"] = result.timeline[f"vmalloc_{name}"]
    assert [says(space(result, which)) for which in ("vmalloc", "modules")] == [True, False]
    result.timeline["modules_pages"] += 1
    assert says(space(result, "modules"))


def test_nothing_taken_is_a_note_and_no_crash() -> None:
    for result in (MadeUp(), MadeUp(timeline=timeline(np.ones(3), MS))):
        title = address_space(result, "modules").get_title(loc="left")
        assert title == "Nothing of the modules' range is taken"
