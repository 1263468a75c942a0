# SPDX-License-Identifier: AGPL-3.0-or-later
"""A last improvement of one vehicle's route under its full cost, which knows turns, climbs and holds.

The split counts moves and services alone, because it weighs thousands of routes; here a few dozen are weighed well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from missions.routing.minmax import Item, Route, Stop


def polish(route: Route, items: tuple[Item, ...], cost: Callable[[Route], float], trials: int = 80) -> Route:
    """Return the route or a better neighbour's neighbour: reversed, one stop turned round, or one moved elsewhere."""
    best, best_cost = route, cost(route)
    spent = 1
    improved = True
    while improved:
        improved = False
        for other in _neighbours(best, items):
            if spent >= trials:
                return best
            spent += 1
            found = cost(other)
            if found < best_cost - 1e-6:
                best, best_cost, improved = other, found, True
                break
    return best


def _neighbours(route: Route, items: tuple[Item, ...]) -> Iterator[Route]:
    yield tuple(_turned(stop, items) for stop in reversed(route))
    for index, stop in enumerate(route):
        turned = _turned(stop, items)
        if turned != stop:
            yield (*route[:index], turned, *route[index + 1 :])
    for index, stop in enumerate(route):
        rest = route[:index] + route[index + 1 :]
        for position in range(len(route)):
            if position != index:
                yield (*rest[:position], stop, *rest[position:])


def _turned(stop: Stop, items: tuple[Item, ...]) -> Stop:
    return Stop(stop.item, not stop.flip) if items[stop.item].reversible else stop
