"""Draws what compare.py measured as an SVG: one pair of bars a row, each row on a scale of its own."""

from __future__ import annotations

from html import escape

WIDTH, LEFT, RIGHT, TOP, ROW, GAP = 760, 210, 150, 64, 44, 22
OURS, THEIRS = "#d1495b", "#8d99ae"
LONG_NAME = 28


def plot(result: dict) -> str:
    out: list[str] = []
    top = 0
    for panel in result["panels"]:
        out += draw(panel, top)
        top += TOP + ROW * len(panel["rows"]) + GAP
    height = top - GAP + 34
    facts = result["machine"]
    note = f'{facts["cpu"]}, {facts["cores"]} cores, {facts["date"]}; medians of alternating rounds'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            'font-family="system-ui, sans-serif" font-size="13">',
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *out,
            f'<text x="16" y="{height - 12}" font-size="11" fill="#666">{escape(note)}</text>',
            "</svg>\n",
        ]
    )


def draw(panel: dict, top: int) -> list[str]:
    out = [
        f'<text x="16" y="{top + 26}" font-size="16" font-weight="600" fill="#1d1d1f">'
        f'{escape(panel["title"])}: shorter is better</text>',
        f'<text x="{WIDTH - 16}" y="{top + 49}" text-anchor="end" font-size="11" fill="#666">isovec\'s speed</text>',
    ]
    x = 16
    for colour, label in ((OURS, "isovec"), (THEIRS, panel["peer"])):
        out.append(f'<rect x="{x}" y="{top + 39}" width="11" height="11" rx="2" fill="{colour}"/>')
        out.append(f'<text x="{x + 16}" y="{top + 49}" fill="#444">{escape(label)}</text>')
        x += 90
    for index, row in enumerate(panel["rows"]):
        out += bars(row, top + TOP + index * ROW)
    return out


def bars(row: dict, y: int) -> list[str]:
    out = [name(row["name"], y)]
    span = WIDTH - LEFT - RIGHT
    longest = max(row["isovec"], row["peer"])
    for offset, colour, value in ((4, OURS, row["isovec"]), (20, THEIRS, row["peer"])):
        width = max(1.0, span * value / longest)
        out.append(f'<rect x="{LEFT}" y="{y + offset}" width="{width:.1f}" height="13" rx="2" fill="{colour}"/>')
        out.append(
            f'<text x="{LEFT + width + 6:.1f}" y="{y + offset + 11}" font-size="11" fill="#444">'
            f'{value:,.1f} {row["unit"]}</text>'
        )
    out.append(
        f'<text x="{WIDTH - 16}" y="{y + 22}" text-anchor="end" font-weight="600" fill="#1d1d1f">'
        f'{row["speed"]:.2f} x</text>'
    )
    return out


def name(text: str, y: int) -> str:
    """On one line, or what follows the last comma on a second."""
    first, comma, second = text.rpartition(", ")
    at = f'x="{LEFT - 10}" text-anchor="end"'
    if not comma or len(text) <= LONG_NAME:
        return f'<text {at} y="{y + 21}" fill="#1d1d1f">{escape(text)}</text>'
    return (
        f'<text {at} y="{y + 15}" fill="#1d1d1f">{escape(first)}</text>'
        f'<text {at} y="{y + 30}" font-size="11" fill="#666">{escape(second)}</text>'
    )
