"""Where commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from rich.console import Console
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from pmsim.escaping import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import ConsoleOptions, RenderableType

    from pmsim.report import table


NAMES: Final = 1 / 3
"""Share of the width that the names in a table's first column may take without being broken."""


class Output(Console):
    """Standard output, with tables and line breaks that fit the terminal."""

    def __init__(self) -> None:
        super().__init__(highlight=False)

    def table(self, shown: table.Table) -> None:
        """Print a table: its title, and the first column to the left, all others to the right."""
        drawn = Table(
            title=shown.title, title_justify="left", title_style="bold", box=None, pad_edge=False
        )
        whole = self.has_room(row[0].text for row in shown.rows)
        for place, name in enumerate(shown.columns):
            drawn.add_column(
                name,
                justify="right" if place else "left",
                overflow="fold",
                no_wrap=whole and not place,
            )
        for row in shown.rows:
            # Before it is measured; what else is printed is made visible as it comes out.
            drawn.add_row(*(Text(visible(cell.text)) for cell in row))
        self.print(drawn)

    def has_room(self, names: Iterable[str]) -> bool:
        """Return whether names fit into the first column of a table without being broken."""
        return all(len(visible(name)) <= self.width * NAMES for name in names)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Yield what is printed, with nothing in it that would act on the terminal."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(visible(segment.text, lines=True), segment.style)

    def on_broken_pipe(self) -> NoReturn:
        """Leave it to `pmsim.cli.status` that nobody reads on; rich would end with status 1."""
        raise BrokenPipeError
