"""What a sweep over the size of a page answers: how often TLBs are told, by how much, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pandas as pd

from pmsim import formatting

if TYPE_CHECKING:
    from pmsim.experiments.results import Sweep

PAGE_SIZE: Final = "kernel.page_size"
"""The axis that is spoken of."""
TOLD: Final = {
    "broadcasts": "Shootdowns",
    "tlb_operations": "Operations (TLBI) that these send",
}
"""The metrics that are spoken of, and how a sentence about each begins."""
BY_CAUSE: Final = "tlb_operations_by_cause"
"""The metric whose largest part is named for each size."""


def page_size_words(sweep: Sweep) -> list[str]:
    """Return the answers of a sweep that varies the size of a page; none of any other."""
    if len(set(sweep.axes.get(PAGE_SIZE, ()))) < 2:
        return []
    rows = sweep.frame.groupby(PAGE_SIZE, observed=True)
    means = rows.mean(numeric_only=True).reindex(list(dict.fromkeys(sweep.axes[PAGE_SIZE])))
    several = " (means over all else)" if len(sweep.cells) > len(means) else ""
    return [
        *(
            f"{begin} by the size of a page{several}: {_all(means[metric])}."
            for metric, begin in TOLD.items()
            if metric in means
        ),
        *_causes(means),
    ]


def _all(values: pd.Series[float]) -> str:
    """Write a number for each size of a page."""
    return ", ".join(f"{formatting.number(value)} with {size}" for size, value in values.items())


def _causes(means: pd.DataFrame) -> Iterator[str]:
    """Say for each size what most of the operations are of."""
    parts = means.filter(like=f"{BY_CAUSE}[").fillna(0)
    causes = parts.rename(columns=lambda name: name[len(BY_CAUSE) + 1 : -1])
    told = []
    for size, row in causes.iterrows():
        if row.sum():
            share = formatting.share(row.max() / row.sum())
            told.append(f"{row.idxmax()} with {size} ({share})")
    if told:
        yield f"Most of them are of {', '.join(told)}."
