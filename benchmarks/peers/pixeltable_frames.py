"""The function of frames in Pixeltable, which wants it in a module of its own."""

import pictures
import pixeltable as pxt


@pxt.udf
def brightness_of(image: pxt.Image) -> float:
    return pictures.brightness(image)
