"""Loops over PIL and PyAV, as one would write them without a library of tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import av
import PIL
import PIL.Image
from pictures import SIDE, brightness
from serve import Work, serve

if TYPE_CHECKING:
    from pathlib import Path

    from pictures import Pictures


class Bare:
    """One file after the other; PyAV decodes on all cores."""

    library = "pillow"

    def __init__(self, home: Path, pictures: Pictures) -> None:
        self.folder, self.pictures = home / "thumbnails", pictures
        self.folder.mkdir()

    def close(self) -> None:
        """There is nothing to close."""

    def warm(self) -> Work:
        """Load what is loaded on first use."""
        return lambda: PIL.Image.open(self.pictures.pngs[0]).load(), lambda _: None

    def insert(self) -> Work:
        """Decode each, which is how PIL shows that it is whole."""

        def work() -> None:
            for path in self.pictures.pngs:
                with PIL.Image.open(path) as image:
                    image.load()

        return work, lambda _: len(self.pictures.pngs)

    def thumbnails(self) -> Work:
        """Make each small, and save it."""

        def work() -> None:
            for number, path in enumerate(self.pictures.pngs):
                with PIL.Image.open(path) as image:
                    image.thumbnail((SIDE, SIDE))
                    image.save(self.folder / f"{number}.png")

        return work, lambda _: len(list(self.folder.iterdir()))

    def headers(self) -> Work:
        """Open each without decoding it."""

        def work() -> list[tuple[int, int, Any]]:
            found = []
            for path in self.pictures.jpegs:
                with PIL.Image.open(path) as image:
                    found.append((image.width, image.height, image.format))
            return found

        return work, lambda found: [len(found), *found[0][:2]]

    def frames(self) -> Work:
        """Decode the video once and call the function with a frame a second."""

        def work() -> list[float]:
            found, due = [], 0.0
            with av.open(self.pictures.video) as container:
                stream = container.streams.video[0]
                stream.thread_type = "AUTO"
                for frame in container.decode(stream):
                    if frame.time + 1e-6 >= due:
                        found.append(brightness(frame.to_image()))
                        due += 1
            return found

        return work, list


if __name__ == "__main__":
    serve(Bare)
