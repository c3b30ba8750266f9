"""What happens to copies of data sets, tried on every set: one rule, one clear error.

A part that is absent is counted, named, and left out only on request; strange files are passed
over; labels that label nothing, NaN, archives and folders of another level are told.
"""

import logging
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.fixtures.damage import DAMAGES, write_sidecar
from tests.fixtures.hamer_tars import add_file
from tests.fixtures.write import write_fixture

from hand_pipeline.data.manifest import DataSetError, HandManifest
from hand_pipeline.data.readers.accounting import AbsentError
from hand_pipeline.data.readers.check import check_split
from hand_pipeline.data.readers.folders import TRACES
from hand_pipeline.data.readers.hand_sets import HAND_SETS, read_hands
from hand_pipeline.data.shards.tar_members import is_member
from hand_pipeline.geometry.mano import ManoHand

NAMES = [name for name in HAND_SETS if name != "ho3d_v2"]  # but for its suffix, ho3d_v3
Tree = tuple[str, Path, str]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def original(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            write_fixture(name, made[name], DAMAGES[HAND_SETS[name].module].split, 4)
        return made[name]

    return original


@pytest.fixture(params=NAMES)
def tree(request: pytest.FixtureRequest, originals: Callable[[str], Path], tmp_path: Path) -> Tree:
    """A set's name, a copy of its fixture that may be damaged, and the split that it has."""
    name = str(request.param)
    root = tmp_path / "above" / "copy"
    shutil.copytree(originals(name), root, copy_function=_copy)
    return name, root, DAMAGES[HAND_SETS[name].module].split


def _copy(source: str, target: str) -> None:
    """DexYCB's thousand meta.yml, which no test changes, are linked."""
    (os.link if source.endswith("meta.yml") else shutil.copy)(source, target)


def read(tree: Tree, partial: bool = False, root: Path | None = None) -> HandManifest:
    name, copy, split = tree
    return read_hands(name, root or copy, split, ManoHand(tips=HAND_SETS[name].tips), partial)


def remove_photo(tree: Tree, photo: str) -> str:
    """Take a photo away; what it is called in messages."""
    name, root, _ = tree
    if name == "asl_alphabet":  # lists nothing itself; our labels beside it do
        write_sidecar(root)
    if not is_member(photo):
        (root / photo).unlink()
        return Path(photo).stem if name == "asl_alphabet" else Path(photo).name
    tar, member = root / photo.partition("::")[0], photo.partition("::")[2].partition("@")[0]
    with tarfile.open(tar) as archive:
        files = {m.name: archive.extractfile(m) for m in archive if m.name != member}
        kept = {key: file.read() for key, file in files.items() if file is not None}
    with tarfile.open(tar, "w") as archive:
        for key, content in kept.items():
            add_file(archive, key, content)
    return member


def test_a_photo_less_is_named_and_left_out_on_request(
    tree: Tree, caplog: pytest.LogCaptureFixture
) -> None:
    name, root, split = tree
    whole = read(tree)
    gone = whole.images[-1]
    called = remove_photo(tree, gone)
    with pytest.raises(AbsentError, match=r"lacks 1 of the .*the first is .*--partial") as error:
        read(tree)
    assert called in str(error.value)
    rest = read(tree, partial=True)
    assert 0 < len(rest) < len(whole)
    assert any("lacks 1 of the" in text and called in text for text in caplog.messages)
    if name != "hamer_tars":  # whose photos' names tell their place in the tar
        kept = [row for row, image in enumerate(whole.images) if image != gone]
        assert rest.ids == tuple(whole.ids[row] for row in kept)
        assert all((root / image).is_file() for image in rest.images)
    check = check_split(name, root, split, ManoHand(tips=HAND_SETS[name].tips), extent="none")
    assert [called in names[0] for names in check.absent.values()] == [True]
    assert check.manifest is not None
    assert len(check.manifest) == len(rest)


def test_stray_files_are_passed_over(tree: Tree, caplog: pytest.LogCaptureFixture) -> None:
    name, root, _ = tree
    before = read(tree)
    photo = root / before.images[0].partition("::")[0]
    files = [path for path in root.rglob("*") if path.is_file() and "subject" not in str(path)]
    for folder in {photo.parent, *(path.parent for path in files)}:
        for path in [p for p in files if p.parent == folder]:
            path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7 Mac OS X")
        for strange in (".DS_Store", "Thumbs.db", "holiday.jpg", "photo (1).jpg"):
            (folder / strange).write_bytes(b"something else")
    with caplog.at_level(logging.INFO):
        assert read(tree).fingerprint == before.fingerprint
    if name in ("freihand", "hint", "asl_alphabet"):
        assert any("passed over: Thumbs.db, holiday.jpg" in text for text in caplog.messages)


def test_labels_that_label_nothing_are_an_error(tree: Tree) -> None:
    name, root, _ = tree
    DAMAGES[HAND_SETS[name].module].nothing(root)
    with pytest.raises(DataSetError) as error:
        read(tree)
    assert str(root) in str(error.value)


def test_a_nan_in_a_label_is_an_error(tree: Tree) -> None:
    name, root, _ = tree
    DAMAGES[HAND_SETS[name].module].nan(root)
    with pytest.raises(DataSetError, match=r"not finite|NaN|nan"):
        read(tree)


def test_an_archive_is_to_be_unpacked(tree: Tree) -> None:
    _, root, _ = tree
    archive = root.parent.parent / "elsewhere" / "copy.zip"
    archive.parent.mkdir()
    archive.write_bytes(b"PK\3\4")
    for given in (archive, archive.with_suffix(""), archive.parent):
        with pytest.raises(DataSetError, match=r"[Uu]npack"):
            read(tree, root=given)


def test_a_folder_of_another_level_is_told_which_one_is_meant(tree: Tree) -> None:
    name, root, _ = tree
    photo = root / read(tree).images[0]
    if name == "hamer_tars":  # tars are looked for below, a folder of them is a set of its own
        assert len(read(tree)) == len(read(tree, root=root.parent)) == 4
        return
    inner = photo.parent if name == "hint" else root / photo.relative_to(root).parts[0]
    for given in (root.parent, inner):
        with pytest.raises(DataSetError, match=rf"{root} (meant|is)|Is {root}\S* meant"):
            read(tree, root=given)


def test_every_set_says_what_shows_its_splits() -> None:
    assert {known.module for known in HAND_SETS.values()} == set(TRACES) == set(DAMAGES)
