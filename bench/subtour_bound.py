# SPDX-License-Identifier: AGPL-3.0-or-later
"""A sharp lower bound of closed tours through points, by linear programming: an oracle for the benchmark of tours.

The relaxation of Dantzig, Fulkerson and Johnson (1954): every point has two edges, and every set of points that a
minimum cut shows to be left alone gets a row. Its value is the bound of Held and Karp at its best, which the ascent of
`missions.bounds` approaches from below: on clusters it stays per cents short of it. Edges are first those of
Delaunay's triangulation and of near neighbours; the dual solution then tells which of the others are missing.
"""

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components, maximum_flow
from scipy.spatial import Delaunay, cKDTree

_NEIGHBOURS = 10
_LEVELS = (1e-6, 0.1, 0.3, 0.5, 0.7, 0.9)  # components of the edges above these are tried before minimum cuts
_WHOLE = 1_000_000  # flows are whole numbers
_AT_ONCE = 40  # rows between two solutions
_TOLERANCE = 1e-6


class _Relaxation:
    def __init__(self, points):
        self.points, self.n = points, len(points)
        self.rows = np.zeros((0, self.n))  # one indicator of a set per row
        near = cKDTree(points).query(points, min(_NEIGHBOURS + 1, self.n))[1]
        pairs = {(i, j) for i, others in enumerate(near.tolist()) for j in others if i != j}
        corners = Delaunay(points).simplices.tolist()
        pairs |= {(t[a], t[b]) for t in corners for a, b in ((0, 1), (1, 2), (2, 0))}
        self.edges = np.array(sorted({(min(p), max(p)) for p in pairs}))

    def lengths(self):
        a, b = self.points[self.edges.T]
        return np.hypot(*(a - b).T)

    def crossing(self):
        """Which edges leave which set, shape (rows, edges)."""
        return self.rows[:, self.edges[:, 0]] != self.rows[:, self.edges[:, 1]]

    def solve(self):
        """(value, edges' shares, prices of points, prices of rows)."""
        m = len(self.edges)
        at_points = csr_matrix((np.ones(2 * m), (self.edges.T.ravel(), np.tile(np.arange(m), 2))), (self.n, m))
        found = linprog(
            self.lengths(), -csr_matrix(self.crossing().astype(float)), np.full(len(self.rows), -2.0),
            at_points, np.full(self.n, 2.0), (0, 1), method="highs",
        )  # fmt: skip
        if found.x is None:
            raise RuntimeError(found.message)
        return found.fun, found.x, found.eqlin.marginals, -found.ineqlin.marginals

    def alone(self, share):
        """Sets of points that fewer than two edges leave."""
        sets = []
        for level in _LEVELS:
            a, b = self.edges[share > level].T
            count, part = connected_components(csr_matrix((np.ones(len(a)), (a, b)), (self.n, self.n)), directed=False)
            sets += [part == p for p in range(count)] if count > 1 else []
        sets = self.cut_off(sets, share)
        if sets:
            return sets
        flow = np.round(share * _WHOLE).astype(np.int32)
        (a, b), flow = self.edges[flow > 0].T, flow[flow > 0]
        graph = csr_matrix((np.tile(flow, 2), (np.concatenate([a, b]), np.concatenate([b, a]))), (self.n, self.n))
        for sink in range(1, self.n):
            most = maximum_flow(graph, 0, sink)
            if most.flow_value < 2 * _WHOLE - 2 * self.n:
                left = graph - most.flow
                left.data[left.data < 0] = 0
                left.eliminate_zeros()
                inside = np.zeros(self.n, dtype=bool)
                inside[breadth_first_order(left, 0, return_predecessors=False)] = True
                sets += self.cut_off([inside], share)
            if len(sets) >= _AT_ONCE:
                break
        return sets

    def cut_off(self, sets, share):
        known = {row.tobytes() for row in self.rows.astype(bool)}
        fresh = {}
        for inside in sets:
            one = ~inside if inside[0] else inside
            leaving = share[one[self.edges[:, 0]] != one[self.edges[:, 1]]].sum()
            if leaving < 2 - _TOLERANCE and one.tobytes() not in known:
                fresh[one.tobytes()] = one
        return list(fresh.values())

    def missing(self, points_price, rows_price):
        """Edges that are absent and would shorten the solution."""
        gap = np.hypot(*(self.points[:, None] - self.points[None]).transpose(2, 0, 1))
        priced = self.rows * rows_price[:, None]
        leaving = priced.sum(axis=0)
        value = gap - points_price[:, None] - points_price[None]
        value -= leaving[:, None] + leaving[None] - 2 * self.rows.T @ priced
        value[tuple(self.edges.T)] = 0.0
        return np.argwhere(np.triu(value, 1) < -_TOLERANCE)


def subtour_bound(points):
    """A length that no closed tour through these points undercuts, but for the solver's tolerance of 1e-6."""
    problem = _Relaxation(np.asarray(points, dtype=float))
    while True:
        value, share, points_price, rows_price = problem.solve()
        sets = problem.alone(share)
        if sets:
            problem.rows = np.vstack([problem.rows, *(s.astype(float) for s in sets)])
            continue
        more = problem.missing(points_price, rows_price)
        if not len(more):
            return float(value)
        problem.edges = np.vstack([problem.edges, more])
