from __future__ import annotations

import os
from pathlib import Path

import pytest

from pmsim.errors import OutputError
from pmsim.simulation.result.files import new_files


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_appear_together_once_all_is_written(tmp_path: Path) -> None:
    paths = [tmp_path / "new" / name for name in ("a.csv", "b.csv")]
    with new_files(paths) as halves:
        for half in halves:
            half.write_text(half.name)
        assert not any(path.exists() for path in paths)
    assert names(tmp_path / "new") == ["a.csv", "b.csv"]


def test_nothing_is_left_of_files_that_fail(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.csv", "b.csv")]
    paths[0].write_text("before")
    with pytest.raises(ZeroDivisionError), new_files(paths, force=True) as halves:
        halves[0].write_text("after")
        raise ZeroDivisionError
    assert names(tmp_path) == ["a.csv"]
    assert paths[0].read_text() == "before"


def test_files_that_are_there_are_named_and_kept(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.csv", "b.csv")]
    for path in paths:
        path.write_text("before")
    with pytest.raises(OutputError, match=r"a\.csv, .*b\.csv exist already.*--force"):
        with new_files(paths):
            pytest.fail("it went on")
    with new_files(paths, force=True) as halves:
        for half in halves:
            half.write_text("after")
    assert [path.read_text() for path in paths] == ["after", "after"]


def test_a_file_that_came_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with pytest.raises(OutputError, match="exists already"), new_files([path]) as (half,):
        half.write_text("ours")
        path.write_text("theirs")
    assert path.read_text() == "theirs"
    assert names(tmp_path) == ["a.csv"]


def test_a_directory_in_the_place_of_a_file_is_an_error_even_with_force(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a directory"):
        with new_files([tmp_path], force=True):
            pytest.fail("it went on")


def test_a_pipe_or_a_device_is_not_replaced_by_a_file_even_with_force(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to("/dev/null")
    for path, kind in ((pipe, "a pipe"), (Path("/dev/null"), "a device"), (link, "a device")):
        with pytest.raises(OutputError, match=f"is {kind}, and a file is to be written there"):
            with new_files([path], force=True):
                pytest.fail("it went on")
    assert pipe.is_fifo()


def test_a_place_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot be written: .*file is not a directory"):
        with new_files([tmp_path / "file" / "a.csv"]):
            pytest.fail("it went on")


def test_a_full_disk_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no space left"), new_files([tmp_path / "a.csv"]):
        with Path("/dev/full").open("w") as full:
            full.write("x")
