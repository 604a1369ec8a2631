"""The scenarios that pmsim ships."""

from __future__ import annotations

from pathlib import Path


def scenario_names() -> list[str]:
    """Return the names of the scenarios that pmsim ships, such as ``policy-load``."""
    return sorted(_files())


def shipped_scenario(name: str) -> Path | None:
    """Return the file of a shipped scenario; dashes and underscores are alike."""
    return _files().get(_as_name(name))


def _files() -> dict[str, Path]:
    return {_as_name(path.stem): path for path in _folder().glob("*.yaml")}


def _as_name(text: str) -> str:
    return text.removesuffix(".yaml").replace("_", "-")


def _folder() -> Path:
    """Return where they are: inside an installed package, beside it in a source tree."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "scenarios"
    return installed if installed.is_dir() else package.parent / "scenarios"
