"""Draws compare.json as an SVG: one pair of bars a row, each row on a scale of its own."""

from __future__ import annotations

from html import escape

WIDTH, LEFT, RIGHT, TOP, ROW = 760, 210, 150, 64, 44
COLOURS = {"isovec": "#d1495b", "onnxruntime": "#8d99ae"}


def plot(result: dict) -> str:
    rows = result["rows"]
    height = TOP + ROW * len(rows) + 34
    span = WIDTH - LEFT - RIGHT
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        '<text x="16" y="26" font-size="16" font-weight="600" fill="#1d1d1f">'
        "isovec beside ONNX Runtime: shorter is better</text>",
    ]
    x = 16
    for side, label in (("isovec", "isovec"), ("onnxruntime", "ONNX Runtime " + result["machine"]["onnxruntime"])):
        out.append(f'<rect x="{x}" y="39" width="11" height="11" rx="2" fill="{COLOURS[side]}"/>')
        out.append(f'<text x="{x + 16}" y="49" fill="#444">{escape(label)}</text>')
        x += 90
    for index, row in enumerate(rows):
        y = TOP + index * ROW
        out.append(f'<text x="{LEFT - 10}" y="{y + 21}" text-anchor="end" fill="#1d1d1f">{escape(row["name"])}</text>')
        longest = max(row["isovec"], row["onnxruntime"])
        for offset, side in ((4, "isovec"), (20, "onnxruntime")):
            width = max(1.0, span * row[side] / longest)
            out.append(
                f'<rect x="{LEFT}" y="{y + offset}" width="{width:.1f}" height="13" rx="2" fill="{COLOURS[side]}"/>'
            )
            out.append(
                f'<text x="{LEFT + width + 6:.1f}" y="{y + offset + 11}" font-size="11" fill="#444">'
                f'{row[side]:,.1f} {row["unit"]}</text>'
            )
        out.append(
            f'<text x="{WIDTH - 16}" y="{y + 22}" text-anchor="end" font-weight="600" fill="#1d1d1f">'
            f'{row["speed"]:.2f} x</text>'
        )
    facts = result["machine"]
    note = f'{facts["cpu"]}, {facts["cores"]} cores, {facts["date"]}; medians of alternating rounds'
    out.append(f'<text x="16" y="{height - 12}" font-size="11" fill="#666">{escape(note)}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"
