"""Awkward files through `predict`: none may crash it, none may vanish.

    python -m scripts.awkward_files PHOTO OUT

Makes some fifty files of a photo that shows a hand (kinds, colours, depths, orientations, sizes,
names, damage, and what is no photo), runs `predict` on the folder, and prints what came of each.
Ends with an error if a file is neither reconstructed nor named, or if the eight orientations of the
same photo give joints more than 2 px apart.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pillow_heif
from PIL import Image

from hand_pipeline.data.photos.videos import write_video

MOST_APART = 2.0  # px, of the joints of one photo in eight orientations
TURNS = {
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
}  # fmt: skip
"""How a photo is stored for each value of EXIF's orientation."""


def write_photos(photo: Image.Image, folder: Path) -> None:
    """The photo in every kind, colour and orientation."""
    for suffix in ("jpg", "jpeg", "png", "webp", "heic", "avif", "tif", "tiff", "bmp", "gif"):
        photo.save(folder / f"kind_{suffix}.{suffix}")
    photo.save(folder / "kind_burst.mpo", save_all=True, append_images=[photo])
    photo.save(folder / "pages.tiff", save_all=True, append_images=[Image.new("RGB", (64, 64))])
    photo.save(folder / "moving.gif", save_all=True, append_images=[photo], duration=40)
    photo.save(folder / "progressive.jpg", progressive=True)
    photo.convert("CMYK").save(folder / "colour_cmyk.jpg")
    photo.convert("L").save(folder / "colour_grey.jpg")
    photo.convert("P").save(folder / "colour_palette.png")
    photo.convert("1").save(folder / "colour_two.png")
    photo.convert("LAB").save(folder / "colour_lab.tif")
    seen = photo.convert("RGBA")
    seen.putalpha(255)
    seen.save(folder / "alpha_opaque.png")
    photo.convert("LA").save(folder / "alpha_grey.png")
    grey = np.asarray(photo.convert("L")).astype(np.uint16)
    for name, values in {
        "deep_16": grey * 257,
        "deep_12_in_16": grey * 16,
        "deep_dim": grey * 4 + 9000,
    }.items():
        Image.fromarray(values.astype(np.uint16)).save(folder / f"{name}.png")
    Image.fromarray(grey.astype(np.float32) / 255).save(folder / "deep_float.tif")
    for orientation, turn in TURNS.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = photo if turn is None else photo.transpose(turn)
        stored.save(folder / f"orientation_{orientation}.png", exif=exif)
    odd = Image.Exif()
    odd[0x0112] = 99
    photo.save(folder / "orientation_odd.jpg", exif=odd)
    photo.save(folder / "name with spaces.jpg")
    photo.save(folder / "Ünïcödé.jpg")
    photo.save(folder / "手.jpg")
    photo.save(folder / "SHOUTING.JPG")
    (folder / "in" / "ein Ordner").mkdir(parents=True)
    photo.save(folder / "in" / "ein Ordner" / "手 below.jpg")
    wide = Image.new("RGB", (4 * photo.width, photo.height), "white")
    wide.paste(photo)
    wide.save(folder / "panorama.jpg")
    photo.resize((photo.width * 6, photo.height * 6)).save(folder / "large.jpg")


def write_others(photo: Image.Image, folder: Path) -> None:
    """Damage, tiny and empty photos, videos, and what is neither."""
    whole = (folder / "kind_jpg.jpg").read_bytes()
    (folder / "cut_half.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "cut_head.jpg").write_bytes(whole[:30])
    (folder / "cut_heic.heic").write_bytes((folder / "kind_heic.heic").read_bytes()[:900])
    (folder / "cut_png.png").write_bytes((folder / "kind_png.png").read_bytes()[:5000])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("Dear reader, this is no picture.")
    (folder / "wrong_ending.png").write_bytes(whole)
    Image.new("RGB", (12, 12)).save(folder / "tiny.png")
    Image.new("RGB", (300, 300), "white").save(folder / "blank.png")
    for name in ("notes.txt", "model.pdf", "raw.CR2", "no_ending"):
        (folder / name).write_text("no photo")
    frame = np.asarray(photo.resize((160, 160)))
    with write_video(folder / "clip.mp4", Fraction(10)) as video:
        for time in (0.0, 0.1, 0.4, 0.5):
            video.add(frame, time)
    clip = (folder / "clip.mp4").read_bytes()
    (folder / "clip_cut.mp4").write_bytes(clip[: len(clip) // 2])
    (folder / "clip_empty.mov").write_bytes(b"")
    with av.open(str(folder / "sound_only.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())


def outcomes(summary: dict[str, Any], folder: Path) -> Iterator[tuple[str, str]]:
    """What came of each file that the summary names."""
    for row in [*summary["photos"], *summary["videos"]]:
        what = f"{row['hands']} hands" if "frames" not in row else f"{row['frames']} frames"
        yield Path(row["file"]).relative_to(folder).as_posix(), what
    for row in summary["quarantine"]:
        name = Path(row["file"]).relative_to(folder).as_posix()
        yield name, f"named: {row['reason']} ({row['detail'][:50]})"


def furthest(out: Path) -> float:
    """Largest distance between joints of the photo in its eight orientations, px."""
    joints = []
    for orientation in TURNS:
        record = json.loads((out / f"orientation_{orientation}.json").read_text())
        joints.append(record["hands"][0]["joints_2d_px"])
    points = np.array(joints)
    return float(np.linalg.norm(points - points[0], axis=-1).max())


def main() -> int:
    """Make the files, run, print; 1 if something crashed, vanished or turned."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=Path, help="a photo of a hand")
    parser.add_argument("out", type=Path, help="an empty or new folder")
    given = parser.parse_args()
    pillow_heif.register_heif_opener()
    folder, out = given.out / "files", given.out / "results"
    folder.mkdir(parents=True)
    with Image.open(given.photo) as image:
        photo = image.convert("RGB")
    write_photos(photo, folder)
    write_others(photo, folder)
    command = [sys.executable, "-m", "hand_pipeline", "predict", str(folder), "--out", str(out)]
    run = subprocess.run([*command, "--no-obj"], check=False, capture_output=True, text=True)
    if run.returncode:
        print(run.stderr[-3000:])
        return 1
    found = dict(outcomes(json.loads((out / "summary.json").read_text()), folder))
    files = sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())
    for name in files:
        print(f"{name:32} {found.get(name, 'VANISHED')}")
    apart, vanished = furthest(out), [name for name in files if name not in found]
    print(
        f"{len(files)} files, {len(vanished)} vanished; orientations at most {apart:.2f} px apart"
    )
    return int(bool(vanished) or apart > MOST_APART)


if __name__ == "__main__":
    sys.exit(main())
