"""What a benchmark finds: figures, each beside what it should be, and tables; as Markdown."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Finding", "Scale", "Section", "Table", "at_least", "at_most", "run_alone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is measured."""

    runs: int = 5
    """Times that each way has its turn."""
    is_tiny: bool = False
    """Whether only the machinery is tried, in seconds: the figures then mean nothing."""

    def __post_init__(self) -> None:
        if self.runs < 1:
            raise ValueError(f"{self.runs} runs measure nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One figure beside its target."""

    name: str
    value: float
    unit: str
    bound: float
    is_upper: bool

    @property
    def is_met(self) -> bool:
        """Whether the figure is where it should be."""
        return self.value <= self.bound if self.is_upper else self.value >= self.bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Figures without a target."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What one benchmark found."""

    title: str
    note: str
    """What was measured, and under which conditions."""
    findings: tuple[Finding, ...] = ()
    tables: tuple[Table, ...] = ()

    def to_markdown(self, turn: str = "") -> str:
        """Return the section as Markdown, with when and how it was found, if that is said."""
        parts = [f"## {self.title}", f"{self.note} {turn}".rstrip()]
        if self.findings:
            parts.append(_markdown(_findings_table(self.findings)))
        parts += [_markdown(table) for table in self.tables]
        return "\n\n".join(parts) + "\n"


def at_most(name: str, value: float, bound: float, unit: str = "") -> Finding:
    """Return a figure that should not be above its bound."""
    return Finding(name=name, value=value, unit=unit, bound=bound, is_upper=True)


def at_least(name: str, value: float, bound: float, unit: str = "") -> Finding:
    """Return a figure that should not be below its bound."""
    return Finding(name=name, value=value, unit=unit, bound=bound, is_upper=False)


def run_alone(measure: Callable[[Scale], Section], description: str | None) -> None:
    """Run one benchmark from the command line, and print what it found."""
    sys.stdout.write(measure(scale_of(description)).to_markdown())


def scale_of(description: str | None) -> Scale:
    """Return the scale that the command line asks for."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="times that each way has its turn (default: %(default)s)")
    parser.add_argument("--tiny", action="store_true", help="try the machinery in seconds; the figures mean nothing")
    options = parser.parse_args()
    return Scale(runs=1 if options.tiny else options.runs, is_tiny=options.tiny)


def _findings_table(findings: tuple[Finding, ...]) -> Table:
    rows = tuple(
        (
            finding.name,
            f"{_shown(finding.value)} {finding.unit}".strip(),
            f"{'at most' if finding.is_upper else 'at least'} {_shown(finding.bound)} {finding.unit}".strip(),
            "met" if finding.is_met else "**missed**",
        )
        for finding in findings
    )
    return Table(columns=("figure", "measured", "target", ""), rows=rows)


def _shown(number: float) -> str:
    return f"{number:,.0f}".replace(",", " ") if abs(number) >= 1000 else f"{number:.3g}"


def _markdown(table: Table) -> str:
    lines = [table.columns, tuple("---" for _ in table.columns), *table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
