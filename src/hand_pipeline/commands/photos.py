"""`python -m hand_pipeline photos`: say which photos the collect stage reads."""

import os
from pathlib import Path

import click

from hand_pipeline.data.photos import NoPhotosError, find_photos

PHOTOS = Path("data/01_raw/photos")
"""The collect stage's input. Folders of the user's stand in it as links."""


@click.command("photos")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
def photos(folders: tuple[Path, ...]) -> None:
    """Use the photos in FOLDERS for pretraining; without FOLDERS, use synthetic photos.

    Links each folder into data/01_raw/photos in place of the links made before; nothing is copied.
    Files you put there yourself stay.
    """
    try:
        if folders:
            find_photos(folders)
    except NoPhotosError as error:
        raise click.ClickException(str(error)) from error
    PHOTOS.mkdir(parents=True, exist_ok=True)
    for entry in PHOTOS.iterdir():
        if entry.is_symlink():
            entry.unlink()
    for folder in folders:
        link = PHOTOS / folder.resolve().name
        if link.exists():
            raise click.ClickException(f"two folders are called {link.name}; rename one of them")
        os.symlink(folder.resolve(), link, target_is_directory=True)
        click.echo(f"{link} -> {folder.resolve()}")
    if not folders:
        click.echo("no folder of photos given: the collect stage will draw synthetic ones")
