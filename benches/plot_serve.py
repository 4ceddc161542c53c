"""Draws what serve.py measured as an SVG: requests per second at each number of connections, and the overload."""

from __future__ import annotations

from html import escape

WIDTH, LEFT, RIGHT, ROW = 790, 220, 190, 26
COLOURS = {"computed": "#8d99ae", "Redis hit": "#edae49", "memory hit": "#d1495b"}


def plot(result: dict) -> str:
    out = [title(26, "isovec serve: requests a second, one text each (logarithmic)")]
    y = 44
    most = max(row["requests_per_second"] for row in result["rows"])
    for row in result["rows"]:
        out += bar(y, row, most)
        y += ROW
    over = result["overload"]
    y += 34
    out.append(title(y, "Ten times the requests that it can answer"))
    y += 18
    times = (
        ("answered, nothing else on, p99", over["unloaded_p99_ms"], COLOURS["computed"]),
        ("answered, p99", over["accepted_p99_ms"], COLOURS["memory hit"]),
        ("refused with 429, p99", over["rejected_p99_ms"], COLOURS["Redis hit"]),
    )
    longest = max(value for _, value, _ in times)
    for name, value, colour in times:
        width = max(1.0, (WIDTH - LEFT - RIGHT) * value / longest)
        out += line(y, name, width, colour, f"{value:,.1f} ms")
        y += ROW
    facts = result["machine"]
    note = f'{facts["cpu"]}, {facts["cores"]} cores, shared with the load generator; {facts["date"]}'
    height = y + 34
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


def bar(y: int, row: dict, most: float) -> list[str]:
    from math import log10

    width = max(1.0, (WIDTH - LEFT - RIGHT) * log10(max(1.0, row["requests_per_second"])) / log10(most))
    name = f'{row["name"]}, {row["connections"]} connection{"s" if row["connections"] > 1 else ""}'
    value = f'{row["requests_per_second"]:,.0f}/s, p50 {row["p50_ms"]:.2f} ms'
    return line(y, name, width, COLOURS[row["name"]], value)


def line(y: int, name: str, width: float, colour: str, value: str) -> list[str]:
    return [
        f'<text x="{LEFT - 10}" y="{y + 13}" text-anchor="end" fill="#1d1d1f">{escape(name)}</text>',
        f'<rect x="{LEFT}" y="{y + 2}" width="{width:.1f}" height="15" rx="2" fill="{colour}"/>',
        f'<text x="{LEFT + width + 6:.1f}" y="{y + 14}" font-size="11" fill="#444">{escape(value)}</text>',
    ]


def title(y: int, text: str) -> str:
    return f'<text x="16" y="{y}" font-size="16" font-weight="600" fill="#1d1d1f">{escape(text)}</text>'
