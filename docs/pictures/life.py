#!/usr/bin/env python3
"""Draws the life of an AthenaSession object beside the life of its session: life-light.svg and life-dark.svg.

Run it after a change: python3 docs/pictures/life.py
"""

from html import escape
from pathlib import Path

WIDTH, HEIGHT = 920, 330
FONT = "-apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif"

THEMES = {
    "light": {
        "background": "#ffffff",
        "border": "#d1d9e0",
        "text": "#1f2328",
        "quiet": "#59636e",
        "object": "#ddf4ff",
        "object-line": "#0969da",
        "session": "#fff1e5",
        "session-line": "#bc4c00",
        "end": "#ffebe9",
        "end-line": "#cf222e",
        "gone": "#f6f8fa",
    },
    "dark": {
        "background": "#0d1117",
        "border": "#3d444d",
        "text": "#f0f6fc",
        "quiet": "#9198a1",
        "object": "#0c2d6b",
        "object-line": "#4493f8",
        "session": "#5a1e02",
        "session-line": "#f0883e",
        "end": "#5d0f12",
        "end-line": "#f85149",
        "gone": "#151b23",
    },
}

# Where the lives stand, from top to bottom.
OBJECT, SESSION, BOX = 78, 190, 46
# The moments of the story, from left to right.
APPLY, STARTED, USABLE, ASKED, CALLED, ENDED, RELEASED = 150, 196, 300, 560, 604, 768, 812
RIGHT = 892


class Picture:
    """Elements of an SVG, in the colours of one theme."""

    def __init__(self, theme):
        self.theme = theme
        self.elements = []

    def box(self, left, right, top, fill, line, title, note, dashed=False):
        """A span of a life, with what it is called and what is noted below."""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.elements.append(
            f'<rect x="{left}" y="{top}" width="{right - left}" height="{BOX}" rx="6" '
            f'fill="{self.theme[fill]}" stroke="{self.theme[line]}" stroke-width="1.5"{dash}/>'
        )
        middle = (left + right) / 2
        self.text(middle, top + (20 if note else 28), title, anchor="middle", weight=600)
        if note:
            self.text(middle, top + 37, note, anchor="middle", size=12)

    def text(self, x, y, words, anchor="start", colour="text", size=13, weight=400):
        self.elements.append(
            f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
            f'fill="{self.theme[colour]}">{escape(words)}</text>'
        )

    def arrow(self, x, top, bottom, colour):
        """An arrow from `top` to `bottom`, which may be above it."""
        tip = 7 if bottom > top else -7
        self.elements.append(
            f'<path d="M{x} {top}V{bottom - tip}" stroke="{self.theme[colour]}" stroke-width="2" fill="none"/>'
            f'<path d="M{x} {bottom}l-5 {-tip}h10z" fill="{self.theme[colour]}"/>'
        )

    def brace(self, left, right, y, words, colour):
        """A span below the lives."""
        self.elements.append(
            f'<path d="M{left} {y - 6}v6H{right}v-6" stroke="{self.theme[colour]}" stroke-width="1.5" fill="none"/>'
        )
        self.text((left + right) / 2, y + 18, words, anchor="middle", size=12, colour="quiet")

    def svg(self):
        body = "\n".join(self.elements)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            f'role="img" font-family="{escape(FONT)}">\n'
            f"<title>The life of an AthenaSession object and of its session</title>\n"
            f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="8" '
            f'fill="{self.theme["background"]}" stroke="{self.theme["border"]}"/>\n{body}\n</svg>\n'
        )


def life(theme):
    picture = Picture(theme)
    # What people do.
    for x, words in [(APPLY, "kubectl apply"), (ASKED, "kubectl delete")]:
        picture.text(x, 32, words, weight=600)
        picture.arrow(x + 10, 40, OBJECT, "text")
    picture.text(RIGHT, 48, "only now the object goes", anchor="end", weight=600)

    picture.text(20, OBJECT + 20, "AthenaSession", weight=600)
    picture.text(20, OBJECT + 37, "in Kubernetes", colour="quiet", size=12)
    picture.text(20, SESSION + 20, "session", weight=600)
    picture.text(20, SESSION + 37, "in Athena", colour="quiet", size=12)

    picture.box(APPLY, USABLE, OBJECT, "object", "object-line", "Starting", "a finalizer holds it")
    picture.box(USABLE, ASKED, OBJECT, "object", "object-line", "Running", "condition Active: True")
    picture.box(ASKED, RELEASED, OBJECT, "end", "end-line", "Terminating", "held until the session has ended")
    picture.box(RELEASED, RIGHT, OBJECT, "gone", "border", "gone", "", dashed=True)

    picture.box(STARTED, USABLE, SESSION, "session", "session-line", "CREATING", "")
    picture.box(USABLE, CALLED, SESSION, "session", "session-line", "IDLE, BUSY", "usable")
    picture.box(CALLED, ENDED, SESSION, "end", "end-line", "TERMINATING", "")
    picture.box(ENDED, RIGHT, SESSION, "gone", "border", "TERMINATED", "", dashed=True)

    # What the operator calls, downwards, and what it is told, upwards.
    low = OBJECT + BOX
    for x, words, colour in [(STARTED + 8, "StartSession", "session-line"), (CALLED + 8, "TerminateSession", "end-line")]:
        picture.arrow(x, low, SESSION, colour)
        picture.text(x + 9, (low + SESSION) / 2 + 4, words, size=12)
    picture.arrow(USABLE + 130, SESSION, low, "quiet")
    picture.text(USABLE + 139, (low + SESSION) / 2 + 4, "state, from polls", size=12, colour="quiet")
    picture.arrow(RELEASED - 8, SESSION, low, "quiet")
    picture.text(RELEASED - 1, (low + SESSION) / 2 + 4, "TERMINATED", size=12, colour="quiet")

    picture.brace(STARTED, ENDED, SESSION + BOX + 22, "billed for as long as the session lives", "session-line")
    picture.text(
        20, HEIGHT - 20,
        "A crash of the operator, throttling, or an outage at any moment only delays this. spec.terminate ends the session and keeps the object.",
        size=12, colour="quiet",
    )
    return picture.svg()


for name, theme in THEMES.items():
    Path(__file__).with_name(f"life-{name}.svg").write_text(life(theme), encoding="utf-8")
