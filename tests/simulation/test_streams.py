from __future__ import annotations

import subprocess
import sys

import pytest

from pmsim.simulation.streams import MACHINE, spawn_key, stream


def draws(*key: object) -> list[int]:
    seed, replication, workload, purpose = key
    return stream(seed, replication, workload, purpose).integers(0, 2**62, 4).tolist()


BASE = (1, 0, "modules", "arrival")


def test_the_same_key_gives_the_same_draws() -> None:
    assert draws(*BASE) == draws(*BASE)


@pytest.mark.parametrize(
    "other",
    [
        (2, 0, "modules", "arrival"),
        (1, 1, "modules", "arrival"),
        (1, 0, "module", "arrival"),
        (1, 0, "modules", "segments"),
        (1, 0, MACHINE, "arrival"),
    ],
)
def test_each_part_of_the_key_matters(other: tuple[int, int, str, str]) -> None:
    assert draws(*other) != draws(*BASE)


def test_names_that_read_alike_when_joined_have_different_keys() -> None:
    assert spawn_key(0, "ab", "c") != spawn_key(0, "a", "bc")
    assert spawn_key(1, "1", "x") != spawn_key(11, "", "x")


def test_a_stream_does_not_depend_on_the_process() -> None:
    # Python's own hash of a text differs from process to process.
    code = (
        "from pmsim.simulation.streams import stream;"
        "print(stream(1, 0, 'modules', 'arrival').integers(0, 2**62, 4).tolist())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == str(draws(*BASE))


def test_the_key_is_the_sha_256_of_the_parts_with_their_lengths() -> None:
    # From `printf '1:07:modules7:arrival' | sha256sum`, its bytes as little-endian words.
    digest = "e77305fd8ebbafb99d5970903dfb9baadaef9a757bf471845126c3b3dd3e6331"
    words = tuple(
        int.from_bytes(bytes.fromhex(digest)[i : i + 4], "little") for i in range(0, 32, 4)
    )
    assert spawn_key(0, "modules", "arrival") == words
