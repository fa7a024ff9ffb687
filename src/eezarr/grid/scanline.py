"""Which pixels and tiles straight edges enclose: rows of pixel centres, scanned from the left.

Law: a centre is inside if the edges to its left, or through it, count other than zero. An edge holds the rows of
centres from its upper end, included, to its lower end, excluded. So a centre on an edge is inside if what lies to the
right of it is, and on a level edge if what lies below is: of two polygons that share an edge, exactly one has it.

Cost: edges are sorted once by height and first row. A question looks at those that meet its rows, and at no more than
some twice as many others: O(log n) for each of the few dozen powers of two that a height can be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eezarr.grid.lattice import EDGE_PX

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    from eezarr.grid.outline import Edges
    from eezarr.grid.window import Window

    Mask: TypeAlias = NDArray[np.bool_]
    Numbers: TypeAlias = NDArray[np.float64]
    Integers: TypeAlias = NDArray[np.int64]

__all__ = ["EdgeIndex"]

_BLOCK = 2**22
"""Pixels, and crossings, in work at a time: what bounds the memory, 4 bytes a pixel and some 50 a crossing."""

_MAX_ROW = 2.0**52
"""Beyond are no rows of any grid."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EdgeIndex:
    """Edges sorted so that those which meet some rows are found at once; made by `of`."""

    x0: Numbers
    """Column of the upper end."""
    y0: Numbers
    """Row of the upper end: the smaller number."""
    x1: Numbers
    """Column of the lower end."""
    y1: Numbers
    """Row of the lower end."""
    turn: NDArray[np.int8]
    """What the count changes by when the edge is crossed to the right: +1 or -1."""
    first_row: Integers
    """The row of pixels that the upper end is in."""
    classes: tuple[tuple[int, int, int], ...]
    """For each power of two: how many rows its edges meet at the most, and where they start and end in the arrays."""

    @classmethod
    def of(cls, edges: Edges) -> EdgeIndex:
        """Return the index of edges in pixel coordinates, (column, row)."""
        is_down = (edges.start[:, 1] <= edges.end[:, 1])[:, None]
        upper, lower = np.where(is_down, edges.start, edges.end), np.where(is_down, edges.end, edges.start)
        first = np.floor(np.clip(upper[:, 1], -_MAX_ROW, _MAX_ROW)).astype(np.int64)
        height = np.floor(np.clip(lower[:, 1], -_MAX_ROW, _MAX_ROW)).astype(np.int64) - first + 1
        power = np.frexp(height - 0.5)[1]
        order = np.lexsort((first, power))
        powers, starts = np.unique(power[order], return_index=True)
        ends = [*starts.tolist(), len(order)][1:]
        return cls(
            x0=upper[order, 0],
            y0=upper[order, 1],
            x1=lower[order, 0],
            y1=lower[order, 1],
            turn=np.where(is_down[:, 0], edges.turn, -edges.turn)[order],
            first_row=first[order],
            classes=tuple(
                (2 ** int(power), start, end)
                for power, start, end in zip(powers.tolist(), starts.tolist(), ends, strict=True)
            ),
        )

    def crossed(self, rows: range, col_edges: Integers) -> Mask:
        """Return which tiles of a row of tiles an edge passes through; within `EDGE_PX` of a tile's side is outside it.

        Args:
            rows: The rows of pixels of the tiles.
            col_edges: The columns where tiles start, and where the last one ends; rising.
        """
        edge = self._meeting(rows)
        top, bottom = np.maximum(self.y0[edge], rows.start + EDGE_PX), np.minimum(self.y1[edge], rows.stop - EDGE_PX)
        within = top <= bottom
        edge, top, bottom = edge[within], top[within], bottom[within]
        enter, leave = self._x_at(edge, top), self._x_at(edge, bottom)
        leave = np.where(self.y0[edge] == self.y1[edge], self.x1[edge], leave)
        # From the first tile that ends to the right of the one end to the last that starts to the left of the other.
        first = np.searchsorted(col_edges[1:] - EDGE_PX, np.minimum(enter, leave), side="left")
        after = np.searchsorted(col_edges[:-1] + EDGE_PX, np.maximum(enter, leave), side="right")
        first, after = first[first < after], after[first < after]
        count = len(col_edges)
        depth = np.cumsum(np.bincount(first, minlength=count) - np.bincount(after, minlength=count))
        return np.asarray(depth[:-1] > 0, dtype=np.bool_)

    def enclosed(self, row: int, cols: Integers) -> Mask:
        """Return which pixel centres of a row are inside.

        Args:
            row: The row.
            cols: Columns of the pixels, in any order.
        """
        edge = self._meeting(range(row, row + 1))
        y = row + 0.5
        edge = edge[(self.y0[edge] <= y) & (y < self.y1[edge])]
        crossing = self._x_at(edge, np.full(len(edge), y))
        order = np.argsort(crossing)
        counts = np.concatenate([[0], np.cumsum(self.turn[edge[order]], dtype=np.int64)])
        return np.asarray(counts[np.searchsorted(crossing[order], cols + 0.5, side="right")] != 0, dtype=np.bool_)

    def inside(self, window: Window) -> Mask:
        """Return whether each pixel centre of a window is inside, shape (height, width)."""
        mask = np.empty((window.height, window.width), dtype=np.bool_)
        step = max(1, _BLOCK // window.width)
        for top in range(0, window.height, step):
            part = mask[top : top + step]
            first = window.row + top
            changes = self._changes(range(first, first + len(part)), window.cols.start, window.width)
            if changes is None:
                part[:] = False
            else:
                np.not_equal(np.cumsum(changes, axis=1, out=changes), 0, out=part)
        return mask

    def _changes(self, rows: range, first_col: int, width: int) -> NDArray[np.int32] | None:
        """By how much the count changes at each pixel, coming from its left; None if it never does."""
        edge = self._meeting(rows)
        first = np.maximum(np.ceil(self.y0[edge] - 0.5), rows.start).astype(np.int64)
        count = np.minimum(np.ceil(self.y1[edge] - 0.5), rows.stop).astype(np.int64) - first
        edge, first, count = (part[count > 0] for part in (edge, first, count))
        if not len(edge):
            return None
        changes = np.zeros((len(rows), width), dtype=np.int32)
        crossings = np.cumsum(count)
        cuts = np.searchsorted(crossings, np.arange(_BLOCK, crossings[-1], _BLOCK))
        for some, tops, counts in zip(*(np.split(part, cuts) for part in (edge, first, count)), strict=True):
            row = np.arange(counts.sum()) + np.repeat(tops - (np.cumsum(counts) - counts), counts)
            each = np.repeat(some, counts)
            # The first centre at or right of the crossing; beyond the window, the last is as good as any.
            col = np.ceil(
                np.clip(self._x_at(each, (row + 0.5).astype(np.float64)), first_col, first_col + width + 1) - 0.5
            )
            place = col.astype(np.int64) - first_col
            seen = place < width
            spot = (row[seen] - rows.start) * width + place[seen]
            np.add.at(changes.reshape(-1), spot, self.turn[each[seen]].astype(np.int32))
        return changes

    def _meeting(self, rows: range) -> NDArray[np.intp]:
        """The edges that meet rows of pixels."""
        found: list[NDArray[np.intp]] = []
        for height, start, end in self.classes:
            firsts = self.first_row[start:end]
            low, high = np.searchsorted(firsts, (rows.start - height + 1, rows.stop)).tolist()
            if low < high:
                found.append(np.arange(start + low, start + high))
        if not found:
            return np.empty(0, dtype=np.intp)
        edge = np.concatenate(found)
        return edge[self.y1[edge] >= rows.start]

    def _x_at(self, edge: NDArray[np.intp], y: Numbers) -> Numbers:
        """Where edges are at a height within theirs; rises or falls with y without fail, rounding included."""
        x0, y0, x1, y1 = self.x0[edge], self.y0[edge], self.x1[edge], self.y1[edge]
        rise = np.where(y1 > y0, y1 - y0, 1.0)
        # The product first: between corners on fractions of pixels the crossing is then exact.
        x = x0 + (y - y0) * (x1 - x0) / rise
        return np.asarray(np.clip(x, np.minimum(x0, x1), np.maximum(x0, x1)), dtype=np.float64)
