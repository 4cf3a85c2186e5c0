"""Figures and tables."""

from statistics import median


class Figures:
    """What one kind of run cost, run by run. `target`: upper limits by figure, and of `memory`."""

    def __init__(self, what, target=None):
        self.what, self.target = what, target or {}
        self.runs = []
        self.memory = None

    def add(self, **figures):
        self.runs.append(figures)

    def median(self, name):
        return median(r[name] for r in self.runs)

    def spread(self, name):
        """`median (min..max)`, or a dash where it was not measured."""
        values = [r[name] for r in self.runs if r.get(name) is not None]
        if not values:
            return "-"
        digits = 1 if median(values) < 100 else 0
        return f"{median(values):.{digits}f} ({min(values):.{digits}f}..{max(values):.{digits}f})"

    def verdicts(self):
        """Rows of the table of targets: what, target, measured (the median; for memory the most), verdict."""
        for name, limit in self.target.items():
            value = self.memory if name == "memory" else self.median(name)
            label, unit = LABELS[name]
            verdict = "met" if value < limit else "MISSED"
            yield (f"{self.what}: {label}", f"< {limit} {unit}", f"{value:.0f} {unit}", verdict)


LABELS = {
    "cpu": ("CPU in all", "ms"),
    "wall": ("wall", "ms"),
    "whole": ("until all are done", "ms"),
    "memory": ("private memory of a runner", "MB"),
}


def table(header, rows):
    """A Markdown table, padded so that it can be read as it is."""
    rows = [header, *[[str(c) for c in r] for r in rows]]
    widths = [max(len(r[i]) for r in rows) for i in range(len(header))]

    def line(row):
        return "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths)) + " |"

    return "\n".join([line(rows[0]), "|" + "|".join("-" * (w + 2) for w in widths) + "|", *map(line, rows[1:])])
