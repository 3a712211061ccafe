"""barbule: files stay where they are, what is computed is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pictures as files
from memory import peak_mb
from serve import Work, serve

import barbule as bb

if TYPE_CHECKING:
    from pathlib import Path

    from pictures import Pictures


@bb.udf
def brightness(image: bb.Image) -> float:
    """Return how bright an image is in its middle."""
    return files.brightness(image)


class Barbule:
    """One session on one home."""

    library = "barbule"

    def __init__(self, home: Path, pictures: Pictures) -> None:
        self.pictures = pictures
        self.session = bb.connect(home=str(home), vectors="exact:")

    def close(self) -> None:
        """End the session."""
        self.session.close()

    def table(self, name: str, paths: list[str]) -> Any:
        """Return a table of files."""
        table = bb.create_table(name, {"img": bb.Image}, if_exists="replace_force")
        if paths:
            table.insert([{"img": path} for path in paths])
        return table

    def warm(self) -> Work:
        """Load what is loaded on first use."""
        table = self.table("warm", self.pictures.pngs[:1])
        small = table.img.rotate(90)
        return lambda: table.add_computed_column(x=small), lambda _: table.collect() and None

    def insert(self) -> Work:
        """Each file is checked."""
        table, rows = self.table("photos", []), [{"img": path} for path in self.pictures.pngs]
        return lambda: table.insert(rows), lambda done: done.rows

    def thumbnails(self) -> Work:
        """A column of images, kept in the media store."""
        table = self.table("photos", self.pictures.pngs)
        small = table.img.thumbnail((files.SIDE, files.SIDE))
        return lambda: table.add_computed_column(small=small), lambda done: done.rows

    def headers(self) -> Work:
        """Nothing is known of the files: a table of its own knows its headers already."""
        if not hasattr(self, "_headers"):
            self._headers = self.table("headers", self.pictures.jpegs)
        self._headers._find_backend().library._headers.clear()
        img = self._headers.img
        query = self._headers.select(w=img.width(), h=img.height(), f=img.format())
        return query.collect, lambda rows: [len(rows), rows[0, "w"], rows[0, "h"]]

    def frames(self) -> Work:
        """A view of frames, and a column computed of each."""
        return self._through(self.pictures.video)

    def hours(self) -> Work:
        """Go through hours, a frame a second; answers how much memory that took."""
        work, answer = self._through(self.pictures.long_video)
        return work, lambda found: [len(answer(found)), peak_mb()]

    def _through(self, path: str) -> Work:
        table = bb.create_table("videos", {"video": bb.Video}, if_exists="replace_force")
        table.insert(video=path)
        iterator = bb.functions.FrameIterator.create(video=table.video, fps=1)

        def work() -> list[float]:
            view = bb.create_view("frames", table, iterator=iterator)
            view.add_computed_column(brightness=brightness(view.frame))
            return view.order_by("pos").collect()["brightness"]

        return work, list

    def memory(self) -> Work:
        """Insert the pictures and make them small; answers how much memory that took."""
        table = self.table("photos", [])
        small = table.img.thumbnail((files.SIDE, files.SIDE))
        rows = [{"img": path} for path in self.pictures.pngs]

        def work() -> None:
            table.insert(rows)
            table.add_computed_column(small=small)

        return work, lambda _: peak_mb()


if __name__ == "__main__":
    serve(Barbule)
