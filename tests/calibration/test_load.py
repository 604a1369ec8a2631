"""Whether a machine was loaded, by what ``/proc/stat`` counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pmsim.calibration.load import load_of, read_load

# user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice, in hundredths.
BEFORE = "cpu  1000 0 500 4000 100 0 0 50 0 0\ncpu0 1 2 3\n"
AFTER = "cpu  1600 0 700 4900 200 0 0 150 90 0\n"


def test_what_is_not_idle_stolen_or_this_process_is_others() -> None:
    before, after = load_of(BEFORE, 1.0, 100), load_of(AFTER, 5.0, 100)
    assert before is not None
    assert after is not None
    stretch = after.since(before)
    # 6 + 2 + 9 + 1 + 1 s in all; 8 s busy, of which this process had 4; guests are users already.
    assert stretch.all_s == pytest.approx(19.0)
    assert stretch.others == pytest.approx(4 / 19)
    assert stretch.stolen == pytest.approx(1 / 19)


def test_what_hides_it_tells_nothing(tmp_path: Path) -> None:
    assert load_of("", 0.0, 100) is None
    assert load_of("intr 1 2 3\n", 0.0, 100) is None
    assert read_load(tmp_path / "stat") is None


def test_a_stretch_of_no_time_has_no_others() -> None:
    one = load_of(BEFORE, 1.0, 100)
    assert one is not None
    assert one.since(one).others == 0
