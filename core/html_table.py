"""Tables in HTML for notebooks; every text is escaped."""

import html
import math
from collections.abc import Iterable, Sequence


def html_table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]], note: str = "") -> str:
    """Return a table with a caption.

    Parameters
    ----------
    title : str
    head : sequence of str
        One text for each column.
    rows : iterable of sequences
        Cells; numbers are rounded to three digits, None and NaN are shown as a dash.
    note : str
        A line below the table.
    """
    lines = [
        "<table>",
        f"<caption style='text-align:left;caption-side:top'>{html.escape(title)}</caption>",
        f"<thead><tr>{''.join(f'<th>{html.escape(text)}</th>' for text in head)}</tr></thead>",
        "<tbody>",
    ]
    for row in rows:
        lines.append(f"<tr>{''.join(f'<td>{html.escape(_cell(value))}</td>' for value in row)}</tr>")
    lines += ["</tbody>", "</table>"]
    if note:
        lines.append(f"<p>{html.escape(note)}</p>")
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value)
