"""One synthetic hand with its forearm and what hides it, drawn as a layer of an image."""

from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Float64
from numpy import ndarray

from hand_pipeline.data.synthetic import things
from hand_pipeline.data.synthetic.camera import Placement, random_orientation
from hand_pipeline.data.synthetic.config import Turns
from hand_pipeline.data.synthetic.light import Light, cast_shadow
from hand_pipeline.data.synthetic.poses import REAL_POSES, Hands, sample_hands, skeleton_of
from hand_pipeline.data.synthetic.shade import Drawn, View, shade, slopes_of
from hand_pipeline.data.synthetic.skin import Skin, random_skin
from hand_pipeline.data.synthetic.surface import (
    RINGS,
    ROUNDNESS,
    SPLITS,
    Arm,
    Surface,
    build_surface,
    extend,
    normals_of,
    random_arm,
    tessellate,
)
from hand_pipeline.data.synthetic.texture import Anatomy, Canvas, paint, prepare
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import axis_angle_to_matrix
from hand_pipeline.geometry.visibility import MIN_AREA, NEAR
from hand_pipeline.geometry.zbuffer import fill_zbuffer

TEXTURES = 8


class Extras(NamedTuple):
    """What is there besides a hand: something in or before it, a ring or bracelet."""

    occluder: bool
    jewellery: bool


class HandPainter:
    """Draws hands; keeps what all images share. One for each process."""

    def __init__(self, mano: ManoHand) -> None:
        self.mano = mano
        self.skeleton = skeleton_of(mano)
        joints, tips = np.split(self.skeleton.joints, [16])
        self._anatomy = Anatomy(
            joints, tips[[1, 2, 4, 3, 0]], mano.nails.numpy().astype(np.float64)
        )
        self.surface = build_surface(mano.template.numpy(), mano.faces.long().numpy())
        self._textures: dict[int, Float32[ndarray, "faces t t 6"]] = {}

    @cached_property
    def _canvas(self) -> Canvas:
        return prepare(self.surface, self._anatomy)

    def texture(self, index: int) -> Float32[ndarray, "faces t t 6"]:
        """One of the skins' textures, painted when first asked for."""
        if index not in self._textures:
            self._textures[index] = paint(self._canvas, index)
        return self._textures[index]

    def pose(
        self,
        generators: list[np.random.Generator],
        beta_std: float,
        beta_limit: float,
        turns: Turns,
        real: float = REAL_POSES,
    ) -> tuple[Hands, Float64[ndarray, "b 3 3"], Float64[ndarray, "b 778 3"], ndarray]:
        """Hands at the origin: angles and shapes, orientations, vertices, joints (OpenPose)."""
        hands = sample_hands(generators, self.skeleton, beta_std, beta_limit, real)
        orientation = np.stack([random_orientation(rng, turns) for rng in generators])
        rotations = axis_angle_to_matrix(torch.from_numpy(hands.fingers).float())
        first = torch.from_numpy(orientation).float()[:, None]
        with torch.no_grad():
            mesh = self.mano(
                torch.cat([first, rotations], 1), torch.from_numpy(hands.betas).float()
            )
        return hands, orientation, mesh.vertices.double().numpy(), mesh.joints.double().numpy()

    def draw(
        self,
        placement: Placement,
        rng: np.random.Generator,
        image_size: tuple[int, int],
        supersampling: int,
        extras: Extras,
        light: Light,
        skin: Skin | None = None,
    ) -> tuple[Float32[ndarray, "h w 4"], Float32[ndarray, "h w"]]:
        """Premultiplied linear image of hand, forearm and things, and the hand's visible share.

        Args:
            image_size: height, width; the placement's camera looks at this image.
            extras: what else is there.
            light: in the camera's frame.
            skin: as given, else random.
        """
        arm = random_arm(rng)
        skin = skin or random_skin(rng)
        texture = self.texture(int(rng.integers(TEXTURES)))
        vertices, tube = extend(self.surface, placement.vertices, placement.orientation, arm)
        others = self._things(rng, placement, arm, tube, extras)
        scene = _Geometry(self.surface, vertices, others)
        return scene.render(placement, image_size, supersampling, texture, skin, light)

    def _things(
        self,
        rng: np.random.Generator,
        placement: Placement,
        arm: Arm,
        tube: ndarray,
        extras: Extras,
    ) -> things.Thing:
        found = []
        if arm.sleeve < len(RINGS):
            faces = self.surface.sleeve_faces[32 * arm.sleeve :]
            normals = normals_of(tube, self.surface.sleeve_faces)
            found.append(things.sleeve(rng, tube, faces, normals))
        if extras.jewellery and rng.random() < 0.6:
            band = things.ring(rng, placement.joints, placement.vertices)
            found += [] if band is None else [band]
        elif extras.jewellery and arm.sleeve == len(RINGS):
            first = int(rng.integers(3, 6))  # a bracelet
            faces = self.surface.sleeve_faces[32 * first : 32 * first + 32]
            normals = normals_of(tube, self.surface.sleeve_faces)
            found.append(things.sleeve(rng, tube, faces, normals))
        if extras.occluder:
            skin = placement.vertices
            middles = skin[self.surface.faces[: self.surface.hand_faces]].mean(1)
            found.append(_occluder(rng, placement, np.concatenate([skin, middles])))
        return things.join(found)


def _occluder(
    rng: np.random.Generator, placement: Placement, skin: Float64[ndarray, "points 3"]
) -> things.Thing:
    joints = placement.joints
    out = placement.orientation @ np.array([0.0, -1.0, 0.0])
    knuckles, tips = joints[[5, 9, 13, 17]], joints[[8, 12, 16, 20]]
    across = knuckles[0] - knuckles[3]
    across -= (across @ out) * out
    across /= np.linalg.norm(across)
    reach = float(((tips - knuckles) @ out).mean()) / 2
    if reach > 0.012 and rng.random() < 0.6:
        palm = 0.75 * knuckles.mean(0) + 0.25 * joints[0]
        held = things.held_thing(rng, palm, across, out, min(reach, 0.04), skin)
        if held is not None:
            return held
    target = joints[rng.integers(21)] + rng.normal(0, 0.01, 3)
    size = float(np.ptp(joints[:, :2], axis=0).max()) * rng.uniform(0.08, 0.2)
    return things.thing_in_front(rng, target, size)


class _Geometry:
    """Everything in one image, ready to be drawn."""

    def __init__(self, surface: Surface, vertices: ndarray, others: things.Thing) -> None:
        self._surface = surface
        self._vertices = vertices
        self._normals = normals_of(vertices, surface.faces)
        smooth = tessellate(vertices, self._normals, surface.faces, surface.corners, ROUNDNESS)
        self._things = others
        self._all = np.concatenate([smooth, others.vertices])
        self._faces = np.concatenate([surface.split_faces, others.faces + len(smooth)])
        coarse = np.concatenate([surface.faces, others.faces + len(vertices)])
        self._coarse = np.concatenate([vertices, others.vertices]), coarse

    def render(
        self, placement: Placement, image_size: tuple[int, int], supersampling: int,
        texture: ndarray, skin: Skin, light: Light,
    ) -> tuple[Float32[ndarray, "h w 4"], Float32[ndarray, "h w"]]:  # fmt: skip
        height, width = image_size
        focal = placement.focal * supersampling
        cx, cy = placement.centre[0] * supersampling, placement.centre[1] * supersampling
        depths = np.ascontiguousarray(self._all[:, 2])
        points = self._all[:, :2] * focal / np.maximum(depths, NEAR)[:, None] + (cx, cy)
        large = (height * supersampling, width * supersampling)
        face_index = np.full(large, -1, np.int32)
        zbuffer = np.full(large, np.inf, np.float32)
        fill_zbuffer(points, depths, self._faces, NEAR, MIN_AREA, face_index, zbuffer)
        surface, split = self._surface, SPLITS * SPLITS
        drawn = Drawn(
            points, depths, self._faces, split * len(surface.faces), split * surface.hand_faces,
            surface.faces, self._normals, slopes_of(self._vertices, surface.faces),
            surface.corners, self._things.normals, self._things.colors, self._things.gloss,
        )  # fmt: skip
        shadow = cast_shadow(*self._coarse, light)
        picture = np.zeros((height, width, 4), np.float32)
        mask = np.zeros((height, width), np.float32)
        shade(
            drawn, View(face_index, zbuffer, focal, cx, cy, supersampling), texture, skin, light,
            shadow, (picture, mask),
        )  # fmt: skip
        return picture, mask


@lru_cache(maxsize=1)
def painter(mano_model: Path | None) -> HandPainter:
    """This process's painter, with FreiHAND's fingertips; made when first asked for."""
    return HandPainter(ManoHand(mano_model, tips="freihand"))
