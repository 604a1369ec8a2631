"""The page of kernel profiles."""

from __future__ import annotations

from docs._generate.markdown import code, table
from pmsim.formatting import counted
from pmsim.kernel.profile import KernelProfile
from pmsim.kernel.profiles import (
    as_written,
    profile_differences,
    profile_implications,
    profile_keys,
    profile_like,
    profile_names,
    profile_sources,
    profile_standing,
    profile_summary,
)

HEAD = """\
# The kernels

Each profile is a file of facts (`pmsim/data/kernels`), and says only what it does differently from
the one that it is like. `make docs` writes this page; `pmsim list kernels --details` prints it. A
scenario may change any key of a profile: `kernel: {profile: NAME, ceiling: 64 pages}`. A profile
that is *counted* was held, row by row, against the counts of that kernel as it ran
([validity](validity.md)); the others follow from reading their sources.

"""


def kernel_page() -> str:
    """Return all profiles: a row for each, and what it says with its source."""
    rows = [
        (_link(name), profile_summary(name), profile_standing(name), _differing(name))
        for name in profile_names()
    ]
    sections = [_section(name) for name in profile_names()]
    return (
        HEAD
        + table(("kernel", "what it is", "known by", "told apart from"), rows)
        + "".join(sections)
    )


def _link(name: str) -> str:
    return f"[{name}](#{name.replace('.', '')})"


def _differing(name: str) -> str:
    like = profile_like(name)
    if like is None:
        return "stands for itself"
    keys = counted(len(profile_differences(name)), "key")
    return f"{_link(like)} in {keys}"


def _section(name: str) -> str:
    like = profile_like(name)
    said = _everything(name) if like is None else _differences(name, like)
    return f"\n## {name}\n\n{profile_summary(name)}\n\n{said}"


def _everything(name: str) -> str:
    """Return every key of a profile that stands for itself, with what it means."""
    sources = profile_sources(name)
    rows = [
        (
            code(key),
            as_written(value),
            KernelProfile.model_fields[key].description or "",
            sources[key],
        )
        for key, value in profile_keys(name).items()
        if key != "name"
    ]
    rows += [(key, value, f"With {given}.", source) for key, value, given, source in _implied(name)]
    return table(("key", "value", "meaning", "where that is written"), rows)


def _differences(name: str, like: str) -> str:
    rows = [
        (code(one.key), one.value, one.other, one.source) for one in profile_differences(name)
    ]  # fmt: skip
    rows += [(key, value, f"with {given}", source) for key, value, given, source in _implied(name)]
    return table(("key", "value", f"in {like}", "where that is written"), rows)


def _implied(name: str) -> list[tuple[str, str, str, str]]:
    """Return what follows from changes of a profile: key, value, the change, and the source."""
    return [
        (code(key), value, f"`{one.key}: {one.value}`", source)
        for one in profile_implications(name)
        for key, (value, source) in one.sets.items()
    ]
