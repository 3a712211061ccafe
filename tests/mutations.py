"""Damage to file content, as caused by disks, networks and faulty programs."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

__all__ = ["mutated", "mutated_archive"]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Change, remove or repeat bytes."""
    broken = bytearray(data)
    # Half of the damage is in the first bytes, which hold the structure.
    reach = len(broken) if chance.random() < 0.5 else min(len(broken), 256)
    kind = chance.choice(("cut", "flip", "flip", "flip many", "fill", "drop", "repeat", "number"))
    at = chance.randrange(reach)
    if kind == "cut":
        del broken[at:]
    elif kind == "flip":
        broken[at] ^= 1 << chance.randrange(8)
    elif kind == "flip many":
        for _ in range(chance.randint(2, 40)):
            broken[chance.randrange(reach)] = chance.randrange(256)
    elif kind == "fill":
        end = min(len(broken), at + chance.randint(1, 64))
        broken[at:end] = bytes([chance.choice((0, 255))]) * (end - at)
    elif kind == "drop":
        del broken[at : at + chance.randint(1, 64)]
    elif kind == "repeat":
        broken[at:at] = broken[at : at + chance.randint(1, 64)]
    else:
        broken[at : at + 4] = chance.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0"))
    return bytes(broken)


def mutated_archive(data: bytes, chance: random.Random) -> bytes:
    """Damage a part of a zip archive and repack it, so that the damage reaches the reader."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        names = [name for name in source.namelist() if source.getinfo(name).file_size]
        broken = chance.choice(names)
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                part = source.read(name)
                if name != broken:
                    archive.writestr(name, part)
                elif chance.random() < 0.9:  # otherwise it is removed
                    archive.writestr(name, mutated(part, chance))
    return target.getvalue()
