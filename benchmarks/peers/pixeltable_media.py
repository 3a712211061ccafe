"""Pixeltable: files stay where they are, what is computed is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pixeltable as pxt
from pictures import SIDE
from pixeltable.functions.video import frame_iterator
from pixeltable_frames import brightness_of
from pixeltable_tables import Pixeltable
from serve import Work, serve

if TYPE_CHECKING:
    from pathlib import Path

    from pictures import Pictures


class PixeltableMedia(Pixeltable):
    """One home with its server."""

    def __init__(self, home: Path, pictures: Pictures) -> None:
        super().__init__(home, None)
        self.pictures = pictures

    def table(self, name: str, paths: list[str]) -> Any:
        """Return a table of files."""
        table = pxt.create_table(name, {"img": pxt.Image | None}, if_exists="replace_force")
        if paths:
            table.insert([{"img": path} for path in paths])
        return table

    def warm(self) -> Work:
        """Load what is loaded on first use."""
        table = self.table("warm", self.pictures.pngs[:1])
        return lambda: table.add_computed_column(x=table.img.rotate(90)), lambda _: None

    def insert(self) -> Work:
        """Each file is checked."""
        table, rows = self.table("photos", []), [{"img": path} for path in self.pictures.pngs]
        return lambda: table.insert(rows), lambda _: table.count()

    def thumbnails(self) -> Work:
        """A column of images, kept in the media store."""
        table = self.table("photos", self.pictures.pngs)
        small = table.img.thumbnail((SIDE, SIDE))
        return lambda: table.add_computed_column(small=small, stored=True), lambda _: table.count()

    def headers(self) -> Work:
        """Ask for what the header tells."""
        if not hasattr(self, "_headers"):
            self._headers = self.table("headers", self.pictures.jpegs)
        img = self._headers.img
        query = self._headers.select(w=img.width, h=img.height, m=img.mode)
        return query.collect, lambda rows: [len(rows), rows[0]["w"], rows[0]["h"]]

    def frames(self) -> Work:
        """A view of frames, and a column computed of each."""
        table = pxt.create_table("videos", {"video": pxt.Video | None}, if_exists="replace_force")
        table.insert([{"video": self.pictures.video}])

        def work() -> list[float]:
            view = pxt.create_view("frames", table, iterator=frame_iterator(table.video, fps=1))
            view.add_computed_column(brightness=brightness_of(view.frame))
            return list(view.order_by(view.pos).select(view.brightness).collect()["brightness"])

        return work, list


if __name__ == "__main__":
    serve(PixeltableMedia)
