"""Draws the ratios as a small SVG for a README: bars, light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH, LEFT, RIGHT, TOP = 720, 290, 50, 62
BAR, GAP = 13, 14  # height of a bar, space between two rows

_STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 14px } .ours { font-weight: 600 } .small { font-size: 11px; fill: #59636e }
  .first { fill: #b6bec8 } .later { fill: #7d8794 } .ours.first { fill: #6fb3f2 } .ours.later { fill: #0969da }
  .line { stroke: #d1d9e0 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 } .line { stroke: #3d444d }
    .first { fill: #4b535d } .later { fill: #858f9b } .ours.first { fill: #2f6db5 } .ours.later { fill: #58a6ff }
  }
"""


def draw(rows: Sequence[tuple[str, Sequence[float]]], latencies: Sequence[float]) -> str:
    """One group of bars a row, one bar a latency (seconds)."""
    scale = (WIDTH - LEFT - RIGHT) / max(max(ratios) for _, ratios in rows)
    height = BAR * len(latencies) + GAP
    bottom = TOP + height * len(rows)
    parts = [
        '<text class="title" x="0" y="16">CPU of one deletion, client and Redis; bare loop = 1</text>',
        _legend(latencies),
        f'<line class="line" x1="{LEFT + scale:.1f}" y1="{TOP - 6}" x2="{LEFT + scale:.1f}" y2="{bottom - 4}"/>',
    ]
    for n, (title, ratios) in enumerate(rows):
        parts += _row(title, ratios, TOP + height * n, scale)
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom}" role="img" '
        f'aria-label="CPU of one deletion in different ways">\n<style>{_STYLE}</style>\n{body}\n</svg>\n'
    )


def _row(title: str, ratios: Sequence[float], y: float, scale: float) -> list[str]:
    mine = "ours " if title.startswith("ours") else ""
    middle = y + BAR * len(ratios) / 2 + 4
    parts = [f'<text class="{mine}" x="{LEFT - 10}" y="{middle:.0f}" text-anchor="end">{escape(title)}</text>']
    for n, ratio in enumerate(ratios):
        top, kind = y + n * BAR, "later" if n else "first"
        parts.append(
            f'<rect class="{mine}{kind}" x="{LEFT}" y="{top}" width="{ratio * scale:.1f}" height="{BAR - 1}"/>'
        )
        parts.append(f'<text class="small" x="{LEFT + ratio * scale + 5:.1f}" y="{top + BAR - 3}">{ratio:.2f}</text>')
    return parts


def _legend(latencies: Sequence[float]) -> str:
    parts = []
    for n, latency in enumerate(latencies):
        x, kind = n * 190, "later" if n else "first"
        parts.append(f'<rect class="{kind}" x="{x}" y="29" width="10" height="10"/>')
        parts.append(f'<text class="small" x="{x + 15}" y="38">MetaStudio takes {latency * 1000:.0f} ms</text>')
    return "\n".join(parts)
