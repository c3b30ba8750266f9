"""`python -m hand_pipeline photos`: choose the photos for pretraining."""

import hashlib
import json
import os
from pathlib import Path

import click

from hand_pipeline.data.photos.files import NoPhotosError, find_photos
from hand_pipeline.files import atomic_write_text

PHOTOS = Path("data/01_raw/photos")
"""The collect stage's input; the user's folders are linked into it."""

LISTING = PHOTOS / "linked.json"
"""Fingerprints of the linked folders. DVC does not follow links; this file shows it changes."""


@click.command("photos")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
def photos(folders: tuple[Path, ...]) -> None:
    """Use the photos in FOLDERS for pretraining; without FOLDERS, use synthetic photos.

    Links each folder into data/01_raw/photos and removes the former links; nothing is copied.
    Files you put there yourself stay.
    """
    try:
        if folders:
            find_photos(folders)
    except NoPhotosError as error:
        raise click.ClickException(str(error)) from error
    PHOTOS.mkdir(parents=True, exist_ok=True)
    LISTING.unlink(missing_ok=True)
    for entry in PHOTOS.iterdir():
        if entry.is_symlink():
            entry.unlink()
    for folder in folders:
        link = PHOTOS / folder.resolve().name
        if link.exists():
            raise click.ClickException(f"two folders are called {link.name}; rename one of them")
        os.symlink(folder.resolve(), link, target_is_directory=True)
        click.echo(f"{link} -> {folder.resolve()}")
    if folders:
        listing = {str(folder.resolve()): _fingerprint(folder) for folder in folders}
        atomic_write_text(LISTING, json.dumps(listing, indent=1, sort_keys=True) + "\n")
    else:
        click.echo("no folder of photos given: the collect stage will use synthetic ones")


def _fingerprint(folder: Path) -> str:
    """Hash of the names, sizes and times of all files below `folder`."""
    digest = hashlib.sha256()
    for path, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(names):
            file = Path(path) / name
            status = file.stat() if file.exists() else None
            known = (status.st_size, status.st_mtime_ns) if status else "broken link"
            digest.update(f"{file.relative_to(folder)}\0{known}\n".encode())
    return digest.hexdigest()
