"""The profiles that pmsim ships: files of facts, each key with its value and its source.

A file (``pmsim/data/kernels/*.yaml``) has a ``name``, a one-line ``summary`` and ``keys``. One that
says ``like: NAME`` has all keys of that profile and lists only those that differ. A key's ``only``
names the values that a scenario may give it, where others would ask the kernel for what it cannot
do. ``implies`` lists keys that follow from the value of another one unless they are given too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Final, get_args

from pydantic import ValidationError
from ruamel.yaml import YAML

from pmsim.errors import Fault, ScenarioError, UnitError
from pmsim.kernel.keys.values import LOWEST_ADDRESS, Arch
from pmsim.kernel.profile import KernelProfile
from pmsim.quantities import FROM_FILE, without_quotes
from pmsim.units import MIB, parse_size


@dataclass(frozen=True, slots=True)
class Difference:
    """A key in which a profile differs from the one that it is like.

    Attributes
    ----------
    key, value, source
        The key, its value as text, and where that is written.
    other
        The value there.
    """

    key: str
    value: str
    other: str
    source: str


@dataclass(frozen=True, slots=True)
class Implication:
    """Keys that follow from another value of one key.

    Attributes
    ----------
    key, value
        The key, and the value as text from which the others follow.
    sets
        Value and source of each key that follows, by its name.
    """

    key: str
    value: str
    sets: Mapping[str, tuple[str, str]]


def profile_names() -> list[str]:
    """Return the names of the profiles that pmsim knows, by architecture, the oldest first."""
    files = [file.name for file in _folder().iterdir()]
    names = [name.removesuffix(".yaml") for name in files if name.endswith(".yaml")]
    return sorted(names, key=_place_in_list)


def profile_summary(name: str) -> str:
    """Return one line about a profile; raise `ScenarioError` if it is unknown."""
    return str(_file(name)["summary"])


def profile_counted(name: str) -> str | None:
    """Return the kernel whose counts the tests hold a profile against, row by row.

    None for a profile that was read from sources only.
    """
    counted = _file(name).get("counted")
    return None if counted is None else str(counted)


def profile_standing(name: str) -> str:
    """Say in a word or two how well a profile is known: counted, or read."""
    counted = profile_counted(name)
    return "read from sources" if counted is None else f"counted: {counted}"


def profile_like(name: str) -> str | None:
    """Return the profile from which this one is told apart, None if it stands for itself."""
    like = _file(name).get("like")
    return None if like is None else str(like)


def profile_differences(name: str) -> list[Difference]:
    """Return what a profile does differently from the one that it is like, in the file's order."""
    like = profile_like(name)
    if like is None:
        return []
    others = _entries(like)
    return [
        Difference(
            key, as_written(entry["value"]), as_written(others[key]["value"]), str(entry["source"])
        )
        for key, entry in _file(name)["keys"].items()
        if entry["value"] != others[key]["value"]
    ]


def profile_implications(name: str) -> list[Implication]:
    """Return what follows from changes of a profile, those that its own file names."""
    return [
        Implication(
            one["key"],
            as_written(one["is"]),
            {
                key: (as_written(entry["value"]), str(entry["source"]))
                for key, entry in one["sets"].items()
            },
        )
        for one in _file(name).get("implies", ())
    ]


def profile_keys(name: str) -> dict[str, Any]:
    """Return every key of a profile with its value as text or number, for overriding some."""
    return {"name": name} | {key: entry["value"] for key, entry in _entries(name).items()}


def profile_sources(name: str) -> dict[str, str]:
    """Return for every key of a profile where its value comes from."""
    return {key: str(entry["source"]) for key, entry in _entries(name).items()}


def as_written(value: Any) -> str:
    """Write a value of a profile as it stands in a file."""
    if isinstance(value, bool):
        return str(value).lower()
    is_address = isinstance(value, int) and value >= LOWEST_ADDRESS
    return f"{value:#x}" if is_address else str(value)


def load_profile(name: str, overrides: Mapping[str, Any] | None = None) -> KernelProfile:
    """Return a profile, some of its keys replaced.

    Parameters
    ----------
    name
        The profile's name.
    overrides
        Other values for some keys, as they stand in a file.

    Raises
    ------
    ScenarioError
        If the name is unknown, or keys are unknown, have bad values, or values that this kernel
        cannot have: all of them at once. The faults have no line; each names its key as its file
        (``kernel.ceiling``).

    Examples
    --------
    >>> from pmsim.kernel.profiles import load_profile
    >>> load_profile("linux-6.1-x86_64", {"direct_map_leaf": "2MiB"}).direct_map_level
    2
    """
    values = profile_keys(name)
    changed = dict(overrides or {})
    faults = [_unknown_key(key) for key in changed if key not in values or key == "name"]
    faults += _impossible(name, changed)
    if faults:
        raise ScenarioError(faults)
    values |= _implied(name, changed) | changed
    try:
        profile = KernelProfile.model_validate(values, strict=True, context=FROM_FILE)
    except ValidationError as error:
        raise ScenarioError([_as_fault(dict(found)) for found in error.errors()]) from None
    return profile if "vmalloc_start" in changed else _behind_lowmem(profile)


VMALLOC_OFFSET: Final = 8 * MIB
"""Between the end of the direct map and the vmalloc range (arch/arm/include/asm/pgtable.h)."""


def _behind_lowmem(profile: KernelProfile) -> KernelProfile:
    """Let the vmalloc range of 32-bit Arm begin where memory ends, if that is not highmem."""
    if profile.arch != "arm32" or profile.memory >= profile.lowmem:
        return profile
    end = profile.vmalloc_start + profile.vmalloc_size
    start = profile.page_offset + profile.memory + VMALLOC_OFFSET
    start -= start % VMALLOC_OFFSET
    return profile.model_copy(update={"vmalloc_start": start, "vmalloc_size": end - start})


LATEST: Final = 999
"""What stands for ``y`` in the name of a stable series, such as 6.1.y."""


def _place_in_list(name: str) -> tuple[int, list[int]]:
    """Return what names are sorted by: architecture, then version as numbers (6.6 before 6.12)."""
    _, version, arch = name.split("-")
    parts = [LATEST if part == "y" else int(part) for part in version.split(".")]
    return get_args(Arch).index(arch), parts


MOST_LONGER: Final = 3
"""How many names are offered that begin as a wrong one does."""

_VERSION: Final = re.compile(r"\d+\.\d+")


def _folder() -> Traversable:
    return resources.files("pmsim") / "data" / "kernels"


@cache
def _file(name: str) -> dict[str, Any]:
    names = profile_names()
    if name not in names:
        # Another version is another kernel: 6.2 is not 6.12.
        alike = [one for one in names if _VERSION.findall(one) == _VERSION.findall(name)]
        longer = [one for one in alike if one.startswith(name)][:MOST_LONGER]
        near = longer or get_close_matches(name, alike, n=1, cutoff=0.3)
        known = f"known: {', '.join(names)}"
        hint = f"did you mean {' or '.join(near)}? {known}" if near else known
        raise ScenarioError(
            [Fault("kernel", 0, 0, "unknown-kernel", f"there is no kernel profile '{name}'", hint)]
        )
    text = (_folder() / f"{name}.yaml").read_text(encoding="utf-8")
    content = YAML(typ="safe", pure=True).load(text)
    assert isinstance(content, dict)
    return content


@cache
def _entries(name: str) -> dict[str, dict[str, Any]]:
    """Return every key's entry, those of the profile that this one is like included."""
    like = profile_like(name)
    inherited = {} if like is None else _entries(like)
    own: dict[str, dict[str, Any]] = _file(name)["keys"]
    return inherited | own


@cache
def _implications(name: str) -> tuple[dict[str, Any], ...]:
    like = profile_like(name)
    inherited = () if like is None else _implications(like)
    own = tuple(_file(name).get("implies", ()))
    decided = {(one["key"], as_written(one["is"])) for one in own}
    return own + tuple(
        one for one in inherited if (one["key"], as_written(one["is"])) not in decided
    )


def _implied(name: str, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that follow from those that a scenario has changed."""
    implied: dict[str, Any] = {}
    for one in _implications(name):
        if one["key"] in changed and _same(changed[one["key"]], one["is"]):
            implied |= {key: entry["value"] for key, entry in one["sets"].items()}
    return implied


def _impossible(name: str, changed: Mapping[str, Any]) -> list[Fault]:
    """Return a fault for each value that asks this kernel for what it cannot do."""
    faults = []
    for key, value in changed.items():
        allowed = _entries(name).get(key, {}).get("only")
        if allowed is not None and not any(_same(value, other) for other in allowed):
            source = _entries(name)[key]["source"]
            message = f"{name} cannot have {key}: {as_written(value)} ({source})"
            hint = "it can have " + " or ".join(map(as_written, allowed))
            faults.append(Fault(f"kernel.{key}", 0, 0, "impossible", message, hint))
    return faults


def _same(value: Any, other: Any) -> bool:
    """Return whether two values of a key are the same, be they written differently."""
    return _size_in(as_written(value)) == _size_in(as_written(other))


def _size_in(text: str) -> int | str:
    """Return the bytes of a size such as ``64 KiB``, and any other text as it stands."""
    try:
        return parse_size(text)
    except UnitError:
        return text


def _unknown_key(key: str) -> Fault:
    known = [name for name in KernelProfile.model_fields if name != "name"]
    near = get_close_matches(str(key), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"keys: {', '.join(known)}"
    if str(key) == "protocol":
        hint = "did you mean shootdown?"
    message = f"a kernel profile has no key '{key}'"
    return Fault(f"kernel.{key}", 0, 0, "unknown-key", message, hint)


def _as_fault(found: dict[str, Any]) -> Fault:
    context = found.get("ctx", {})
    at_fault = found["loc"] or tuple(filter(None, [context.get("key")]))
    place = ".".join(["kernel", *map(str, at_fault)])
    given = _shown(found["input"])
    if "code" in context:
        message = str(context["message"])
        if isinstance(found["input"], bool | list | dict | None):
            message = message.replace(repr(found["input"]), given, 1)  # in words, not in Python's
        return Fault(place, 0, 0, str(context["code"]), message, str(context.get("hint", "")))
    if found["type"] == "literal_error":
        words = [word.strip("'") for word in re.split(", | or ", context["expected"])]
        near = get_close_matches(str(found["input"]), words, n=1)
        hint = f"did you mean {near[0]}?" if near else ""
        message = f"{given} is not one of: {', '.join(words)}"
        return Fault(place, 0, 0, "bad-value", message, hint)
    if found["type"] in _LIMITS:
        side, key = _LIMITS[found["type"]]
        return Fault(place, 0, 0, "bad-value", f"{given} must be {side} {context[key]}")
    kind = next((word for start, word in _TYPES.items() if found["type"].startswith(start)), "")
    if kind:
        hint = without_quotes(found["type"], found["input"])
        return Fault(place, 0, 0, "bad-value", f"{given} is {kind}", hint)
    said = found["msg"].removeprefix("Value error, ")
    return Fault(place, 0, 0, "bad-value", f"{given}: {said[:1].lower()}{said[1:]}")


def _shown(value: Any) -> str:
    """Say what was given, in words where it is no text or number."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    given = as_written(value)
    return f"'{given}'" if len(given) <= MOST_SHOWN else f"'{given[:MOST_SHOWN]}...'"


MOST_SHOWN: Final = 40
"""Letters of a wrong value that a message shows."""

_LIMITS: Final = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_TYPES: Final = {
    "int": "no whole number", "bool": "neither true nor false", "string": "no text",
    "float": "no number", "finite": "no finite number",
}  # fmt: skip
"""What the kinds of pydantic's errors about types begin with."""
