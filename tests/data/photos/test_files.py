import contextlib
import io
import struct
import zlib

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from hand_pipeline.data.photos.files import (
    BadPhoto,
    NoPhotosError,
    decode_photo,
    find_photos,
    load_photo,
    named_folders,
)


def encoded(image: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def corner_image(mode: str = "RGB", size: tuple[int, int] = (60, 40)) -> Image.Image:
    """Bright upper left corner on a dark ground."""
    image = Image.new("L", size, 20)
    image.paste(230, (0, 0, size[0] // 2, size[1] // 2))
    return image.convert(mode)


def touch(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_out_upright(orientation):
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    upright = corner_image()
    stored = upright.transpose(turns[orientation]) if orientation in turns else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode_photo(encoded(stored, "JPEG", exif=exif, quality=95))
    assert pixels.shape == (40, 60, 3)
    assert pixels[5, 5].min() > 200
    assert pixels[35, 55].max() < 60
    assert pixels[5, 55].max() < 60


@pytest.mark.parametrize(
    ("mode", "form"),
    [
        ("L", "JPEG"), ("CMYK", "JPEG"), ("RGBA", "PNG"), ("LA", "PNG"), ("P", "PNG"),
        ("1", "PNG"), ("RGBA", "WEBP"), ("RGB", "WEBP"),
    ],
)  # fmt: skip
def test_every_colour_mode_becomes_rgb(mode, form):
    pixels = decode_photo(encoded(corner_image(mode), form))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (40, 60, 3)
    assert pixels[5, 5].min() > pixels[35, 55].max() + 100


@pytest.mark.parametrize(
    ("kind", "most", "form"),
    [
        (np.uint16, 4095, "PNG"),
        (np.uint16, 65535, "TIFF"),
        (np.int32, 70000, "TIFF"),
        (np.float32, 0.5, "TIFF"),
    ],
)
def test_deep_grey_is_stretched_over_its_own_range(kind, most, form):
    """A ramp comes out as a ramp from black to white, whatever range a sensor uses of its bits."""
    ramp = np.tile(np.linspace(most / 4, most, 64).astype(kind), (40, 1))
    pixels = decode_photo(encoded(Image.fromarray(ramp), form))
    expected = np.tile(np.linspace(0, 255, 64), (40, 1))
    assert pixels.shape == (40, 64, 3)
    np.testing.assert_allclose(pixels[..., 1], expected, atol=1.5)


@pytest.mark.parametrize("value", [0, 700])
def test_deep_grey_of_one_value_is_no_error(value):
    flat = Image.fromarray(np.full((40, 40), value, dtype=np.uint16))
    assert decode_photo(encoded(flat, "PNG")).shape == (40, 40, 3)


@pytest.mark.parametrize("form", ["TIFF", "BMP", "GIF", "AVIF", "HEIF", "MPO"])
def test_every_kind_of_file_is_read(form):
    pillow_heif.register_heif_opener()
    pixels = decode_photo(encoded(corner_image(), form))
    assert pixels.shape == (40, 60, 3)
    assert pixels[5, 5].min() > 200
    assert pixels[35, 55].max() < 60


@pytest.mark.parametrize("form", ["GIF", "TIFF", "MPO"])
def test_of_several_pictures_the_first_counts(form):
    others = [Image.new("RGB", (60, 40), "white")]
    pixels = decode_photo(encoded(corner_image(), form, save_all=True, append_images=others))
    assert pixels[35, 55].max() < 60


def test_a_photo_turned_by_its_container_comes_out_upright():
    """AVIF and HEIF say themselves how a picture is turned; their EXIF must not turn it again."""
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = corner_image().transpose(Image.Transpose.ROTATE_90)
    pixels = decode_photo(encoded(stored, "AVIF", exif=exif, quality=95))
    assert pixels.shape == (40, 60, 3)
    assert pixels[5, 5].min() > 200
    assert pixels[5, 55].max() < 60


@pytest.mark.parametrize("form", ["TIFF", "BMP", "GIF", "AVIF", "HEIF"])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_file_cut_short_is_bad_or_read_never_a_crash(form, kept):
    pillow_heif.register_heif_opener()
    content = encoded(NOISE, form)
    with contextlib.suppress(BadPhoto):
        assert decode_photo(content[: int(kept * len(content))]).shape[2] == 3


def test_transparent_pixels_are_white():
    image = Image.new("RGBA", (40, 40), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 20, 40))
    pixels = decode_photo(encoded(image, "PNG"))
    assert tuple(pixels[0, 0]) == (255, 255, 255)
    assert tuple(pixels[0, 39]) == (255, 0, 0)


def test_a_transparent_palette_is_white_too():
    image = Image.new("P", (40, 40), 0)
    image.putpalette([0, 0, 0, 200, 10, 10])
    image.paste(1, (0, 0, 20, 40))
    pixels = decode_photo(encoded(image, "PNG", transparency=0))
    assert tuple(pixels[0, 39]) == (255, 255, 255)
    assert tuple(pixels[0, 0]) == (200, 10, 10)


def bomb() -> bytes:
    """A PNG of a few hundred bytes whose header promises 100,000 x 100,000 pixels."""
    content = bytearray(encoded(Image.new("L", (64, 64)), "PNG"))
    content[16:24] = struct.pack(">II", 100_000, 100_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
BAD = {
    "not_an_image": b"Dear reader, this is no picture.",
    "truncated": encoded(NOISE, "JPEG")[:-900],
    "too_small": encoded(Image.new("RGB", (20, 400)), "PNG"),
    "too_large": bomb(),
    "unreadable": b"\xff\xd8\xff\xe0" + bytes(100),
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_file_says_why(reason):
    with pytest.raises(BadPhoto) as caught:
        decode_photo(BAD[reason])
    assert caught.value.reason == reason
    assert caught.value.detail


def test_a_png_cut_short_is_bad():
    with pytest.raises(BadPhoto) as caught:
        decode_photo(encoded(NOISE, "PNG")[:-2000])
    assert caught.value.reason in ("truncated", "unreadable")


def test_an_image_of_another_format_is_not_read():
    with pytest.raises(BadPhoto) as caught:
        decode_photo(encoded(NOISE, "PPM"))
    assert caught.value.reason == "not_an_image"


def test_an_empty_and_a_missing_file_say_why(tmp_path):
    with pytest.raises(BadPhoto) as empty:
        load_photo(touch(tmp_path / "a.jpg", b""))
    assert empty.value.reason == "empty"
    with pytest.raises(BadPhoto) as missing:
        load_photo(tmp_path / "b.jpg")
    assert missing.value.reason == "unreadable"


def test_photos_are_found_below_and_in_order(tmp_path):
    for name in (
        "b/2.PNG",
        "b/deep/er/1.webp",
        "a.jpeg",
        "notes.txt",
        ".hidden/x.jpg",
        "b/._1.jpg",
    ):
        touch(tmp_path / "photos" / name)
    found = find_photos([tmp_path / "photos"])
    assert [(photo.name, photo.set_name, photo.group) for photo in found] == [
        ("a.jpeg", "photos", "."),
        ("b/2.PNG", "b", "b"),
        ("b/deep/er/1.webp", "b", "b/deep/er"),
    ]


def test_linked_folders_are_followed_once(tmp_path):
    touch(tmp_path / "elsewhere" / "1.jpg")
    root = tmp_path / "photos"
    root.mkdir()
    (root / "mine").symlink_to(tmp_path / "elsewhere")
    (root / "mine_again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(root)
    assert [(photo.name, photo.set_name) for photo in find_photos([root])] == [
        ("mine/1.jpg", "mine")
    ]


def test_a_manifest_gives_set_and_group_wherever_it_lies(tmp_path):
    data = tmp_path / "linked" / "data"
    for name in ("x/1.jpg", "x/2.jpg", "3.jpg"):
        touch(data / name)
    touch(
        data / "manifest.csv", b"file,set,group,label\nx/1.jpg,ti1k,block1,5\n3.jpg,digits,anna,0\n"
    )
    labels = {
        photo.name: (photo.set_name, photo.group) for photo in find_photos([tmp_path / "linked"])
    }
    assert labels == {
        "data/x/1.jpg": ("ti1k", "block1"),
        "data/x/2.jpg": ("data", "data/x"),
        "data/3.jpg": ("digits", "anna"),
    }


def test_a_manifest_without_a_column_is_refused(tmp_path):
    touch(tmp_path / "1.jpg")
    touch(tmp_path / "manifest.csv", b"file,set\n1.jpg,a\n")
    with pytest.raises(ValueError, match=r"manifest.csv lacks the column\(s\) group"):
        find_photos([tmp_path])


def test_missing_and_photoless_folders_are_named(tmp_path):
    with pytest.raises(NoPhotosError, match="nowhere does not exist"):
        find_photos([tmp_path / "nowhere"])
    with pytest.raises(NoPhotosError, match="is not a folder"):
        find_photos([touch(tmp_path / "a.jpg")])
    (tmp_path / "void").mkdir()
    with pytest.raises(NoPhotosError, match="void holds no photo"):
        find_photos([tmp_path / "void"])


def test_sources_name_their_photos_sets_whatever_folders_are_below(tmp_path):
    touch(tmp_path / "frei/rgb/0.jpg")
    touch(tmp_path / "frei/1.jpg")
    touch(tmp_path / "coco/2.jpg")
    (tmp_path / "coco/manifest.csv").write_text("file,set,group\n2.jpg,other,take 5\n")
    found = find_photos({"freihand": tmp_path / "frei", "coco": tmp_path / "coco"})
    assert [(p.set_name, p.name, p.group) for p in found] == [
        ("freihand", "freihand/1.jpg", "freihand/."),
        ("freihand", "freihand/rgb/0.jpg", "freihand/rgb"),
        ("coco", "coco/2.jpg", "coco/take 5"),
    ]


def test_every_missing_source_is_named_with_its_key(tmp_path):
    sources = {"here": tmp_path, "one": tmp_path / "x", "two": tmp_path / "y"}
    with pytest.raises(
        NoPhotosError, match=r"x \(collect_sources\.one\), no folder .*y \(.*\.two\)"
    ):
        named_folders(sources, "collect_sources")
    assert named_folders({"here": str(tmp_path)}, "collect_sources") == {"here": tmp_path}
