"""Colours for classes that brought none.

Class c gets the colour of the Pascal VOC scheme: the bits of c + 1 are dealt out to the highest bits of red, green and
blue in turn, which keeps neighbouring classes far apart. Black stays free for what is ignored.
"""

from foglight.data.dataset import Colour

BITS_PER_CHANNEL = 8


def default_palette(num_classes: int) -> tuple[Colour, ...]:
    """One colour per class.

    >>> default_palette(3)
    ((128, 0, 0), (0, 128, 0), (128, 128, 0))
    """
    return tuple(_colour(index + 1) for index in range(num_classes))


def _colour(index: int) -> Colour:
    channels = [0, 0, 0]
    for shift in range(BITS_PER_CHANNEL):
        for channel in range(3):
            bit = (index >> (3 * shift + channel)) & 1
            channels[channel] |= bit << (BITS_PER_CHANNEL - 1 - shift)
    return channels[0], channels[1], channels[2]
