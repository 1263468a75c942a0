# SPDX-License-Identifier: AGPL-3.0-or-later
"""Bend figures: poses as directions of limbs, bones turned to them, points carried along (linear blend skinning).

A pose says where thighs, shins, upper arms and forearms point in the frame of the trunk (x right to left as seen from
the figure's front, y forward, z up), how the spine bends, and how the whole body lies. Each bone turns by the smallest
rotation that brings it from where it points at rest to where it should, after what its parent did.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from .figure_body import Figure
from .figure_store import BONES

Floats = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

#: Poses and how often they are drawn. Who is looked for lies or sits; who is seen from the air mostly stands or walks.
POSES: Final = {
    "standing": 0.22, "walking": 0.24, "running": 0.04, "waving": 0.07, "busy": 0.09, "bending": 0.04,
    "sitting": 0.08, "chair": 0.04, "crouching": 0.05, "lying": 0.10, "curled": 0.03,
}  # fmt: skip
#: Poses in which the trunk lies on the ground.
_LYING: Final = ("lying", "curled")


@dataclass(frozen=True, slots=True)
class Cloud:
    """A posed figure on the ground: points in metres (z up), normals, linear colours; names the pose."""

    points: Floats
    normals: Floats
    colours: Floats
    pose: str


@dataclass(slots=True)
class _Limbs:
    """Degrees; pairs are left, right. Pitch: forward from hanging; out: sideways; knee and elbow: bend."""

    thigh: Matrix
    spread: Matrix
    knee: Matrix
    arm: Matrix
    lift: Matrix
    elbow: Matrix
    inward: Matrix
    spine: float
    tilt: float
    side: float
    turn: float
    head: tuple[float, float]


def draw_pose(rng: np.random.Generator) -> str:
    """One of POSES by weight."""
    names = list(POSES)
    weights = np.array(list(POSES.values()))
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]


def _limbs(pose: str, rng: np.random.Generator) -> _Limbs:
    u = rng.uniform

    def pair(low: float, high: float) -> Matrix:
        return rng.uniform(low, high, 2)

    out = _Limbs(
        pair(-8, 10), pair(0, 10), pair(0, 12), pair(-18, 22), pair(4, 20), pair(5, 45), pair(-20, 50),
        u(-4, 8), u(-4, 7), u(-5, 5), u(-12, 12), (u(-15, 40), u(-45, 45)),
    )  # fmt: skip
    if rng.random() < 0.15:  # hands in pockets or on hips, arms folded
        out.lift, out.elbow, out.inward, out.arm = pair(20, 45), pair(60, 125), pair(40, 90), pair(-30, 10)
    if pose in ("walking", "running"):
        stride = (u(12, 34) if pose == "walking" else u(30, 55)) * (1 if rng.random() < 0.5 else -1)
        out.thigh, out.arm = np.array([stride, -stride * u(0.5, 0.9)]), np.array([-stride, stride]) * u(0.5, 1.2)
        out.knee = np.where(out.thigh < 0, pair(10, 60), pair(2, 30)) * (1.4 if pose == "running" else 1)
        out.elbow = pair(10, 40) if pose == "walking" else pair(60, 110)
        out.tilt = u(0, 8) if pose == "walking" else u(6, 20)
    elif pose == "waving":
        both = rng.random() < 0.5
        out.lift, out.elbow, out.arm = pair(100, 172), pair(0, 60), pair(-10, 50)
        if not both:
            out.lift[0], out.arm[0], out.elbow[0] = u(4, 25), u(-10, 20), u(5, 40)
    elif pose == "busy":  # a telephone, a camera, a controller, something carried before the body
        out.arm, out.lift, out.elbow, out.inward = pair(15, 75), pair(0, 25), pair(50, 125), pair(10, 60)
        out.head = (u(0, 45), u(-20, 20))
        if rng.random() < 0.4:
            out.arm[0], out.elbow[0] = u(-15, 15), u(5, 40)
    elif pose == "bending":
        out.spine, out.tilt, out.knee, out.thigh = u(15, 45), u(20, 55), pair(0, 50), pair(0, 45)
        out.arm, out.lift, out.elbow = pair(20, 90), pair(0, 25), pair(0, 50)
    elif pose in ("sitting", "chair"):
        out.thigh, out.spread = pair(65, 100), pair(2, 28)
        out.knee = pair(0, 115) if pose == "sitting" else pair(65, 105)
        out.spine, out.tilt = u(-5, 30), u(-22, 18)
        out.arm, out.lift, out.elbow = pair(-45, 65), pair(2, 35), pair(0, 90)
    elif pose == "crouching":
        out.thigh, out.spread, out.knee = pair(75, 120), pair(4, 30), pair(95, 140)
        out.spine, out.tilt, out.arm, out.elbow = u(5, 40), u(5, 45), pair(10, 85), pair(10, 100)
        if rng.random() < 0.35:  # on one knee
            out.thigh[0], out.knee[0] = u(-5, 15), u(85, 110)
    elif pose == "lying":
        out.thigh, out.spread, out.knee = pair(-5, 40), pair(1, 32), pair(0, 70)
        out.arm, out.lift, out.elbow = pair(-15, 35), pair(5, 165), pair(0, 110)
        out.spine, out.head = u(-5, 15), (u(-15, 20), u(-70, 70))
    elif pose == "curled":
        out.thigh, out.spread, out.knee = pair(70, 125), pair(0, 12), pair(75, 140)
        out.arm, out.elbow, out.spine, out.head = pair(20, 100), pair(50, 140), u(15, 50), (u(5, 40), u(-20, 20))
    return out


def turned(axis: int, degrees: float) -> Matrix:
    """Rotation about x, y or z (0, 1, 2)."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out = np.eye(3)
    out[i, i], out[i, j], out[j, i], out[j, j] = c, -s, s, c
    return out


def _towards(start: Matrix, end: Matrix) -> Matrix:
    """The smallest rotation from one direction to another (Rodrigues)."""
    a, b = start / np.linalg.norm(start), end / np.linalg.norm(end)
    axis, cosine = np.cross(a, b), float(a @ b)
    if cosine < -0.999:
        return turned(0, 180.0)
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + k + k @ k / (1 + cosine))


def _hanging(pitch: float, out: float, side: float) -> Matrix:
    """Direction of a limb that hangs down, raised forward by ``pitch`` and to its ``side`` by ``out`` degrees."""
    return np.asarray(turned(1, -side * out) @ turned(0, pitch) @ np.array([0.0, 0.0, -1.0]))


def bend(figure: Figure, pose: str, rng: np.random.Generator) -> Cloud:
    """Put a figure into a pose, turned to any heading, on the ground about the origin."""
    limbs, heads, tails = _limbs(pose, rng), figure.heads.astype(float), figure.tails.astype(float)
    laid = _laid(pose, rng)
    if pose == "lying" and laid[2, 1] < 0:  # face down: the ground keeps limbs from bending forward
        limbs.thigh, limbs.arm, limbs.knee = limbs.thigh * 0.15, limbs.arm * 0.3, limbs.knee * 0.4
    trunk = turned(2, rng.uniform(0, 360)) @ laid @ turned(0, -limbs.tilt) @ turned(1, limbs.side)
    if pose not in (*_LYING, "sitting", "chair"):  # who stands leans from the hips
        hips = trunk @ turned(0, limbs.tilt) @ turned(1, -limbs.side)
    else:
        hips = trunk
    number = {name: index for index, name in enumerate(BONES)}
    turn: dict[str, Matrix] = {"root": hips}
    place: dict[str, Matrix] = {"root": np.zeros(3)}

    def put(name: str, parent: str, rotation: Matrix) -> None:
        moved = turn[parent] @ (heads[number[name]] - heads[number[parent]])
        turn[name], place[name] = rotation, place[parent] + moved

    parent, spine = "root", trunk
    for name in ("spine05", "spine04", "spine03", "spine02", "spine01"):
        spine = spine @ turned(0, -limbs.spine / 5) @ turned(2, limbs.turn / 5)
        put(name, parent, spine)
        parent = name
    neck = spine @ turned(0, -limbs.head[0] / 2) @ turned(2, limbs.head[1] / 2)
    put("neck01", "spine01", neck)
    put("head", "neck01", neck @ turned(0, -limbs.head[0] / 2) @ turned(2, limbs.head[1] / 2))
    for which, (letter, side) in enumerate((("L", -1.0), ("R", 1.0))):
        rest = {
            name: tails[number[f"{name}.{letter}"]] - heads[number[f"{name}.{letter}"]]
            for name in ("upperarm01", "lowerarm01", "upperleg01", "lowerleg01")
        }
        rest["upperarm01"] = heads[number[f"lowerarm01.{letter}"]] - heads[number[f"upperarm01.{letter}"]]
        rest["lowerarm01"] = heads[number[f"wrist.{letter}"]] - heads[number[f"lowerarm01.{letter}"]]
        rest["upperleg01"] = heads[number[f"lowerleg01.{letter}"]] - heads[number[f"upperleg01.{letter}"]]
        rest["lowerleg01"] = heads[number[f"foot.{letter}"]] - heads[number[f"lowerleg01.{letter}"]]
        lift = min(float(limbs.lift[which]) / 130, 1.0) * 25
        put(f"clavicle.{letter}", "spine01", spine @ turned(1, -side * lift))
        upper = _hanging(float(limbs.arm[which]), float(limbs.lift[which]), side)
        arm = spine @ _towards(rest["upperarm01"], upper)
        put(f"upperarm01.{letter}", f"clavicle.{letter}", arm)
        hinge = np.cross(upper, turned(2, side * float(limbs.inward[which])) @ np.array([0.0, 1.0, 0.0]))
        fore = _about(hinge, float(limbs.elbow[which])) @ upper
        lower = arm @ _towards(rest["lowerarm01"], _towards(rest["upperarm01"], upper).T @ fore)
        put(f"lowerarm01.{letter}", f"upperarm01.{letter}", lower)
        put(f"wrist.{letter}", f"lowerarm01.{letter}", lower)
        down = _hanging(float(limbs.thigh[which]), float(limbs.spread[which]), side)
        thigh = hips @ _towards(rest["upperleg01"], down)
        put(f"upperleg01.{letter}", "root", thigh)
        shin = (
            turned(1, -side * float(limbs.spread[which]))
            @ turned(0, float(limbs.thigh[which]) - float(limbs.knee[which]))
            @ np.array([0.0, 0.0, -1.0])
        )
        calf = thigh @ _towards(rest["lowerleg01"], _towards(rest["upperleg01"], down).T @ shin)
        put(f"lowerleg01.{letter}", f"upperleg01.{letter}", calf)
        put(f"foot.{letter}", f"lowerleg01.{letter}", calf @ turned(0, -rng.uniform(0, 15)))
    return _carried(figure, turn, place, pose)


def _laid(pose: str, rng: np.random.Generator) -> Matrix:
    if pose not in _LYING:
        return np.eye(3)
    back = turned(0, -90 if rng.random() < 0.5 else 90) @ turned(0, rng.normal(0, 4))
    about = rng.normal(0, 18)
    if pose == "curled" or rng.random() < 0.25:
        about = rng.choice([-90.0, 90.0]) + rng.normal(0, 15)
    return np.asarray(back @ turned(2, float(about)))


def _about(axis: Matrix, degrees: float) -> Matrix:
    length = float(np.linalg.norm(axis))
    if length < 1e-6:
        return np.eye(3)
    x, y, z = axis / length
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    a = math.radians(degrees)
    return np.asarray(np.eye(3) + math.sin(a) * k + (1 - math.cos(a)) * (k @ k))


def _carried(figure: Figure, turn: dict[str, Matrix], place: dict[str, Matrix], pose: str) -> Cloud:
    """Blend the bones' motions over the points and set the figure down."""
    moves = np.zeros((len(BONES), 12), np.float32)
    for number, name in enumerate(BONES):
        shift = place[name] - turn[name] @ figure.heads[number].astype(float)
        moves[number] = np.concatenate([turn[name], shift[:, None]], axis=1).ravel()
    each = (figure.bones @ moves).reshape(-1, 3, 4)
    points = np.einsum("nij,nj->ni", each[:, :, :3], figure.points) + each[:, :, 3]
    normals = np.einsum("nij,nj->ni", each[:, :, :3], figure.normals)
    low = float(np.quantile(points[:, 2], 0.06 if pose in _LYING else 0.004))
    points[:, 2] = np.maximum(points[:, 2] - low, 0.0)
    points[:, :2] -= (points[:, :2].min(axis=0) + points[:, :2].max(axis=0)) / 2
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
    return Cloud(points.astype(np.float32), normals.astype(np.float32), figure.colours, pose)
