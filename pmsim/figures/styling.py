"""Letting figures have a form: ``pmsim.plot.style("column")``."""

from __future__ import annotations

from typing import Any, Final

import matplotlib as mpl

from pmsim.figures.form import CHOSEN, form_of
from pmsim.figures.look import STYLE

SCREEN_SIZE: Final = (6.4, 4.8)
"""Width and height of Matplotlib's own figures, in inches."""


class style:  # noqa: N801 - it is called like a function
    """Let figures have a form from now on, or for as long as a ``with`` block runs.

    Matplotlib's own settings follow, so that axes made by hand match.

    Parameters
    ----------
    name
        ``"column"``: 3.3 by 2.4 inches with letters of 7 and 8 points, for the column of a paper;
        ``"screen"``: each figure as large as suits it; or a width, such as ``"84mm"``.

    Raises
    ------
    UnitError
        If there is no such form.

    Examples
    --------
    >>> import pmsim
    >>> with pmsim.plot.style("column"):  # doctest: +SKIP
    ...     pmsim.plot.flush_cost(result).figure.savefig("flushes.pdf")
    """

    def __init__(self, name: str) -> None:
        form = form_of(name)
        self._settings = mpl.rcParams.copy()
        self._before = CHOSEN.get()
        CHOSEN.set(form)
        settings: dict[Any, Any] = {**STYLE, **form.settings, "savefig.dpi": form.dpi}
        if form.width is not None:
            settings["figure.figsize"] = form.fit(SCREEN_SIZE)
        mpl.rcParams.update(settings)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        CHOSEN.set(self._before)
        mpl.rcParams.update(self._settings)
