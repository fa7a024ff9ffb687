"""One picture of what was found: every figure as a share of its target, on a logarithmic axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.findings import Finding, Section

__all__ = ["draw"]

_MET, _MISSED = "#2a7f62", "#c8553d"


def draw(sections: Sequence[Section], path: Path) -> None:
    """Write a picture (its format by the file's name) of all figures that have a target.

    A bar ends where the figure is; left of the line at 1 is better than asked for.
    """
    import matplotlib as mpl  # noqa: PLC0415 - an extra; only where a picture is wanted
    from matplotlib.figure import Figure  # noqa: PLC0415

    mpl.rcParams["svg.hashsalt"] = "eezarr"
    findings = [finding for section in sections for finding in section.findings]
    shares = [max(_share(finding), 1e-3) for finding in findings]
    figure = Figure(figsize=(11, 1.2 + 0.27 * len(findings)), layout="constrained")
    axes = figure.subplots()
    rows = range(len(findings))
    axes.barh(rows, shares, left=0, color=[_MET if finding.is_met else _MISSED for finding in findings], height=0.7)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(rows, [finding.name for finding in findings], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("share of the target (left of 1 is better than asked for)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _share(finding: Finding) -> float:
    numerator, denominator = (finding.value, finding.bound) if finding.is_upper else (finding.bound, finding.value)
    return numerator / denominator if denominator > 0 else 1e3
