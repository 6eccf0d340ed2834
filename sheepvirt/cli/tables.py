"""Tables of plain cells. One that is wider than the terminal is printed as a list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from sheepvirt.core.visible import visible

if TYPE_CHECKING:
    from sheepvirt.core.progress import Progress

FAR = 10_000  # columns: wider than any table


def add(table: Table, *cells: str | Text) -> None:
    """Add a row literally: no markup (``[...]``), and no control characters of a host."""
    table.add_row(
        *(
            Text(visible(cell)) if isinstance(cell, str) else Text(visible(cell.plain), cell.style)
            for cell in cells
        )
    )


def table(title: str, *columns: str) -> Table:
    """Return an empty table; text that is too wide for the terminal is folded, not cut."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(
            column, overflow="fold", justify="right" if column == "seconds" else "left"
        )
    return table


def show(progress: Progress, table: Table) -> None:
    """Print a table that fits the terminal, else a list: a row's first cell, then the others."""
    console = progress.console
    natural = Measurement.get(console, console.options.update(max_width=FAR), table).maximum
    if natural <= console.width:
        console.print(table)
        return
    console.print(Text(str(table.title), style="italic"))
    names = [str(column.header) for column in table.columns]
    for row in zip(*(list(column.cells) for column in table.columns), strict=True):
        first, *others = (cell if isinstance(cell, Text) else Text(str(cell)) for cell in row)
        console.print(Text("  ") + first)
        for name, cell in zip(names[1:], others, strict=True):
            if cell.plain:
                label = f"    {name}: " if name else "    "
                console.print(Text(label) + Text("\n" + " " * 8).join(cell.split("\n")))
