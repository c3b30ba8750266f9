"""Fewer vertices by half-edge collapses; every vertex that stays keeps its place and its number."""

import heapq
from collections import Counter
from collections.abc import Callable, Collection

import numpy as np
from jaxtyping import Float, Int

from scripts.build_open_hand.cut import boundary_edges

LENGTH_WEIGHT = 2e-3
"""Weight of an edge's length to the fourth (m^4) against the quadric error, so that flat regions
(where the error is 0) thin out evenly."""
MIN_NORMAL_COSINE = 0.45
MIN_SHAPE = 0.12
"""Least allowed 2 * area / longest edge^2 of a triangle; an equilateral one has 0.87."""


class EdgeCollapse:
    """A triangle mesh that shrinks by moving a vertex onto its neighbour, cheapest first.

    The cost is Garland and Heckbert's quadric error (1997) at the vertex that stays ("subset
    placement"), so skinning weights, morph targets and texture coordinates carry over by number.
    """

    def __init__(
        self,
        vertices: Float[np.ndarray, "vertices 3"],
        triangles: Int[np.ndarray, "triangles 3"],
        triangle_weights: Float[np.ndarray, " triangles"],
        keep: Collection[int],
    ) -> None:
        """Start from a mesh.

        Args:
            triangle_weights: importance of each triangle's plane.
            keep: vertices that must stay.
        """
        self.vertices = vertices
        self.triangles = [tuple(triangle) for triangle in triangles.tolist()]
        self.removed = [False] * len(triangles)
        self.triangles_of: list[set[int]] = [set() for _ in vertices]
        self.live = set(range(len(vertices)))
        self.boundary = {vertex for edge in boundary_edges(self.triangles) for vertex in edge}
        self._keep = frozenset(keep)
        self._quadrics = np.zeros((len(vertices), 4, 4))
        self._version: Counter[int] = Counter()  # tells the queue's outdated entries
        self._queue: list[tuple[float, int, int, int, int]] = []
        for index, triangle in enumerate(self.triangles):
            quadric = triangle_weights[index] * self._plane_quadric(triangle)
            for vertex in triangle:
                self.triangles_of[vertex].add(index)
                self._quadrics[vertex] += quadric

    def shrink_boundary(self, num_vertices: int) -> None:
        """Collapse boundary edges until `num_vertices` are left on the boundary."""
        self._shrink(
            lambda: len(self.boundary) <= num_vertices,
            lambda gone, kept: gone in self.boundary and kept in self.boundary,
        )

    def shrink_interior(self, num_vertices: int) -> None:
        """Collapse vertices off the boundary until `num_vertices` are left in all."""
        self._shrink(
            lambda: len(self.live) <= num_vertices, lambda gone, kept: gone not in self.boundary
        )

    def result(self) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, "triangles 3"]]:
        """The vertices that stayed, ascending, and the triangles in their new numbers."""
        kept = np.array(sorted(self.live))
        triangles = [t for t, removed in zip(self.triangles, self.removed) if not removed]
        return kept, np.searchsorted(kept, np.array(triangles))

    def _shrink(self, done: Callable[[], bool], allowed: Callable[[int, int], bool]) -> None:
        self._queue = []
        for vertex in sorted(self.live):
            self._push(vertex)
        while self._queue and not done():
            _, gone, kept, gone_version, kept_version = heapq.heappop(self._queue)
            current = (self._version[gone], self._version[kept]) == (gone_version, kept_version)
            if gone not in self.live or kept not in self.live or not current:
                continue
            if (
                allowed(gone, kept)
                and self._keeps_disk(gone, kept)
                and self._keeps_form(gone, kept)
            ):
                self._collapse(gone, kept)
        if not done():
            raise ValueError(f"no allowed collapse is left at {len(self.live)} vertices")

    def _push(self, vertex: int) -> None:
        for neighbour in self._neighbours(vertex):
            for gone, kept in ((neighbour, vertex), (vertex, neighbour)):
                if gone not in self._keep:
                    versions = self._version[gone], self._version[kept]
                    heapq.heappush(self._queue, (self._cost(gone, kept), gone, kept, *versions))

    def _cost(self, gone: int, kept: int) -> float:
        place = np.append(self.vertices[kept], 1)
        length = np.linalg.norm(self.vertices[gone] - self.vertices[kept])
        quadric = self._quadrics[gone] + self._quadrics[kept]
        return float(place @ quadric @ place + LENGTH_WEIGHT * length**4)

    def _neighbours(self, vertex: int) -> set[int]:
        around = {other for index in self.triangles_of[vertex] for other in self.triangles[index]}
        return around - {vertex}

    def _keeps_disk(self, gone: int, kept: int) -> bool:
        """Whether the mesh stays a manifold disk (the link condition), without valence below 4."""
        common = self._neighbours(gone) & self._neighbours(kept)
        shared = self.triangles_of[gone] & self.triangles_of[kept]
        if len(common) != len(shared):
            return False
        if gone in self.boundary and kept in self.boundary and len(shared) != 1:
            return False
        inner = common - self.boundary
        return len(shared) != 2 or all(len(self._neighbours(vertex)) > 4 for vertex in inner)

    def _keeps_form(self, gone: int, kept: int) -> bool:
        """Whether no moved triangle folds over or becomes a sliver."""
        for index in self.triangles_of[gone] - self.triangles_of[kept]:
            before = self._normal(self.triangles[index])
            moved = tuple(kept if v == gone else v for v in self.triangles[index])
            after = self._normal(moved)
            areas = np.linalg.norm(before), np.linalg.norm(after)
            if areas[1] < 1e-10 or before @ after < MIN_NORMAL_COSINE * areas[0] * areas[1]:
                return False
            corners = self.vertices[list(moved)]
            longest = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1).max()
            if areas[1] < MIN_SHAPE * longest**2:
                return False
        return True

    def _collapse(self, gone: int, kept: int) -> None:
        for index in list(self.triangles_of[gone]):
            if kept in self.triangles[index]:
                self.removed[index] = True
                for vertex in self.triangles[index]:
                    self.triangles_of[vertex].discard(index)
            else:
                self.triangles[index] = tuple(
                    kept if v == gone else v for v in self.triangles[index]
                )
                self.triangles_of[kept].add(index)
        self.triangles_of[gone].clear()
        self.live.discard(gone)
        self.boundary.discard(gone)
        self._quadrics[kept] += self._quadrics[gone]
        changed = [*self._neighbours(kept), kept]
        for vertex in changed:
            self._version[vertex] += 1
        for vertex in changed:
            self._push(vertex)

    def _normal(self, triangle: tuple[int, ...]) -> Float[np.ndarray, " 3"]:
        """Normal of twice the triangle's area."""
        a, b, c = self.vertices[list(triangle)]
        return np.cross(b - a, c - a)

    def _plane_quadric(self, triangle: tuple[int, ...]) -> Float[np.ndarray, "4 4"]:
        """Squared distance to the triangle's plane, times its area, as a quadratic form."""
        normal = self._normal(triangle)
        length = np.linalg.norm(normal)
        normal = normal / max(length, 1e-12)
        plane = np.append(normal, -normal @ self.vertices[triangle[0]])
        return length / 2 * np.outer(plane, plane)
