"""A small cell that the tests of the magics tune, and the line that tunes it quickly."""

CELL = """\
x: Real(0, 1) = 0.25
depth: Int(1, 3) = 2

report(score=x * depth)"""
LINE = "--maximize score --trials 4 --searcher random --seed 1 --workers Inline() --quiet"


def tune(line, cell=CELL):
    return f"%%tune {line}\n{cell}"
