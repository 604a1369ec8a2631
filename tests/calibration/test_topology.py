"""Topologies from sysfs: regular ones, irregular ones, and where it tells nothing."""

from __future__ import annotations

from pathlib import Path

from pmsim.calibration.topology import Place, read_topology


def sysfs(root: Path, files: dict[int, dict[str, str]]) -> Path:
    """Write CPUs as sysfs shows them."""
    for cpu, own in files.items():
        for name, text in own.items():
            path = root / f"cpu{cpu}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n", encoding="ascii")
    return root


def cpu(package: int, siblings: str, cache: str = "", die: int = 0) -> dict[str, str]:
    files = {
        "topology/physical_package_id": str(package),
        "topology/die_id": str(die),
        "topology/core_id": siblings.partition(",")[0].partition("-")[0],
        "topology/thread_siblings_list": siblings,
    }
    return files | ({"cache/index3/shared_cpu_list": cache} if cache else {})


def test_threads_that_linux_numbers_behind_all_cores_are_innermost_here(tmp_path: Path) -> None:
    # Two packages of two cores of two threads: CPUs 0 to 3 are cores, 4 to 7 their second threads.
    files = {n: cpu(n // 2 % 2, f"{n % 4},{n % 4 + 4}") for n in range(8)}
    found = read_topology(sysfs(tmp_path, files))
    assert found.shape == (2, 1, 2, 2)
    assert found.order == [0, 4, 1, 5, 2, 6, 3, 7]
    assert [found.distance(0, other) for other in (4, 1, 2)] == ["thread", "core", "package"]
    assert found.places[7] == Place(package=1, die=0, core=1, thread=1)
    assert found.notes == ()


def test_core_complexes_with_a_cache_of_their_own_are_dies(tmp_path: Path) -> None:
    files = {n: cpu(0, str(n), "0-3" if n < 4 else "4-7") for n in range(8)}
    found = read_topology(sysfs(tmp_path, files))
    assert found.shape == (1, 2, 4, 1)
    assert found.distance(0, 4) == "die"


def test_a_cache_that_a_host_tells_of_each_core_makes_no_die(tmp_path: Path) -> None:
    files = {n: cpu(0, str(n), str(n)) for n in range(4)}
    assert read_topology(sysfs(tmp_path, files)).shape == (1, 1, 4, 1)


def test_cores_of_two_kinds_are_flattened_and_that_is_said(tmp_path: Path) -> None:
    # Two cores of two threads, and four of one.
    siblings = ["0-1", "0-1", "2-3", "2-3", "4", "5", "6", "7"]
    found = read_topology(sysfs(tmp_path, {n: cpu(0, s) for n, s in enumerate(siblings)}))
    assert found.shape == (1, 1, 8, 1)
    assert found.notes == ("not all cores have as many threads: each CPU is taken as a core",)


def test_packages_of_different_sizes_are_taken_as_one(tmp_path: Path) -> None:
    files = {n: cpu(0 if n < 3 else 1, str(n)) for n in range(5)}
    found = read_topology(sysfs(tmp_path, files))
    assert found.shape == (1, 1, 5, 1)
    assert len(found.notes) == 3


def test_cpus_that_are_offline_show_no_topology_and_are_not_there(tmp_path: Path) -> None:
    files = {n: cpu(0, str(n)) for n in (0, 2, 3)}
    assert read_topology(sysfs(tmp_path, files)).order == [0, 2, 3]


def test_where_sysfs_tells_nothing_there_is_one_cpu(tmp_path: Path) -> None:
    assert read_topology(tmp_path).shape == (1, 1, 1, 1)
