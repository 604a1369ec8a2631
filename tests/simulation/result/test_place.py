from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pmsim.errors import OutputError
from pmsim.simulation.result.place import (
    MANIFEST,
    WRITTEN,
    check_place,
    left_by_force,
    note,
    result_directory,
)


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def make_result(path: Path, content: str = "old") -> None:
    path.mkdir()
    (path / MANIFEST).write_text(content)


def test_a_directory_appears_when_all_went_well_and_nothing_else_stays(tmp_path: Path) -> None:
    with result_directory(tmp_path / "result") as work:
        (work / MANIFEST).write_text("{}")
        assert not (tmp_path / "result").exists()
    assert entries(tmp_path) == ["result"]
    assert entries(tmp_path / "result") == [WRITTEN, MANIFEST]


def test_parents_are_made_where_they_are_missing(tmp_path: Path) -> None:
    with result_directory(tmp_path / "a" / "b" / "result"):
        pass
    assert (tmp_path / "a" / "b" / "result").is_dir()


def test_a_result_may_be_read_by_whom_the_umask_allows(tmp_path: Path) -> None:
    with result_directory(tmp_path / "result"):
        pass
    usual = tmp_path / "usual"
    usual.mkdir()
    assert (tmp_path / "result").stat().st_mode == usual.stat().st_mode


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_nothing_stays_when_the_block_raises(tmp_path: Path, error: type[BaseException]) -> None:
    def write_half() -> None:
        with result_directory(tmp_path / "result") as work:
            (work / "half.parquet").write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert entries(tmp_path) == []


def test_an_existing_directory_is_refused_and_left_alone(tmp_path: Path) -> None:
    make_result(tmp_path / "result")
    with pytest.raises(OutputError, match="exists already"), result_directory(tmp_path / "result"):
        pytest.fail("the block must not run")
    assert (tmp_path / "result" / MANIFEST).read_text() == "old"


def test_an_empty_directory_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "result").mkdir()
    with pytest.raises(OutputError, match="exists already"):
        check_place(tmp_path / "result")


def test_force_replaces_a_result_whole(tmp_path: Path) -> None:
    with result_directory(tmp_path / "result") as work:
        make_result(work / "figures", "of the old one")
        (work / MANIFEST).write_text("old")
        (work / "more.parquet").write_text("of the old one")
    drawn = tmp_path / "result" / "figures" / "later.png"
    drawn.write_text("of the old one")
    note(drawn)
    with result_directory(tmp_path / "result", force=True) as work:
        (work / MANIFEST).write_text("new")
        assert (tmp_path / "result" / MANIFEST).read_text() == "old"
    assert entries(tmp_path) == ["result"]
    assert entries(tmp_path / "result") == [WRITTEN, MANIFEST]
    assert (tmp_path / "result" / MANIFEST).read_text() == "new"


@pytest.mark.parametrize("links", [True, False])
def test_force_leaves_what_somebody_else_put_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    result = tmp_path / "result"
    with result_directory(result) as work:
        (work / MANIFEST).write_text("old")
        make_result(work / "figures", "drawn")
    (result / "notes.txt").write_text("dear")
    (result / "figures" / "mine.png").write_text("dearer")
    (result / "lab" / "deep").mkdir(parents=True)
    (result / "lab" / "deep" / "book").write_text("dearest")
    (result / "lab" / "link").symlink_to("deep/book")
    mine = ["figures/mine.png", "lab/deep/book", "lab/link", "notes.txt"]
    assert left_by_force(result) == mine
    for content in ("new", "newer"):
        with result_directory(result, force=True) as work:
            (work / MANIFEST).write_text(content)
        assert (result / MANIFEST).read_text() == content
        assert entries(result / "figures") == ["mine.png"]
        assert (result / "notes.txt").read_text() == "dear"
        assert (result / "lab" / "link").is_symlink()
        assert (result / "lab" / "link").read_text() == "dearest"
        assert left_by_force(result) == mine
    assert entries(tmp_path) == ["result"]


def test_what_lies_outside_of_a_result_is_not_noted(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    note(tmp_path / "figures" / "1.png")
    assert entries(tmp_path) == ["figures"]


def test_force_leaves_the_old_result_when_the_block_raises(tmp_path: Path) -> None:
    make_result(tmp_path / "result")
    with pytest.raises(RuntimeError), result_directory(tmp_path / "result", force=True):
        raise RuntimeError
    assert (tmp_path / "result" / MANIFEST).read_text() == "old"
    assert entries(tmp_path) == ["result"]


def test_force_leaves_the_old_result_when_the_new_one_cannot_be_put_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_result(tmp_path / "result")
    rename = Path.rename

    def refuse_new(self: Path, target: Path) -> Path:
        if self.suffix == ".partial":
            raise OSError(errno.EIO, "broken disk")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_new)
    with (
        pytest.raises(OutputError, match="broken disk"),
        result_directory(tmp_path / "result", force=True),
    ):
        pass
    assert (tmp_path / "result" / MANIFEST).read_text() == "old"
    assert entries(tmp_path) == ["result"]


def test_force_never_replaces_what_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_text("dear")
    with pytest.raises(OutputError, match="no result of pmsim"):
        check_place(tmp_path / "photos", force=True)


def test_force_never_replaces_a_file_or_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    make_result(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name in ("file", "link"):
        with pytest.raises(OutputError, match="no result of pmsim"):
            check_place(tmp_path / name, force=True)


def test_a_link_to_nowhere_counts_as_something(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="exists already"):
        check_place(tmp_path / "link")


def test_what_comes_to_the_place_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="exists already"), result_directory(tmp_path / "result"):
        make_result(tmp_path / "result", "somebody else's")
    assert (tmp_path / "result" / MANIFEST).read_text() == "somebody else's"
    assert entries(tmp_path) == ["result"]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EACCES, "cannot be written: permission denied"),
        (errno.EROFS, "cannot be written: read-only file system"),
        (errno.EIO, "cannot be written"),
    ],
)
def test_what_the_file_system_says_becomes_an_output_error(
    tmp_path: Path, number: int, said: str
) -> None:
    with pytest.raises(OutputError, match=said), result_directory(tmp_path / "result") as work:
        raise OSError(number, os.strerror(number), str(work))
    assert entries(tmp_path) == []


def test_a_parent_that_is_a_file_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    inside = result_directory(tmp_path / "file" / "result")
    with pytest.raises(OutputError, match="cannot be written"), inside:
        pytest.fail("the block must not run")
