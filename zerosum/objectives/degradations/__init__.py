"""Degradations: from a good image the bad one that a restoring network is given.

Images are (n, c, h, w) in [-1, 1]. What happens to each of them is a row of `draws`: numbers uniform in [0, 1), as many
as `REAL_WORLD_DRAWS`, `BLUR_DRAWS` or `HOLE_DRAWS` say, best taken from the batch's own noise as
`Uniform(BLUR_DRAWS, 0.0, 1.0)`. So an image is treated the same whatever batch it is in. The draws are read by the
host, once a call. Gradients pass through `resized`, `bicubic`, `enlarge`, `grey` and `filtered`.
"""

from zerosum.objectives.degradations.blurring import BLUR_DRAWS, blurred, filtered
from zerosum.objectives.degradations.colours import grey
from zerosum.objectives.degradations.compression import jpeg
from zerosum.objectives.degradations.holes import HOLE_DRAWS, holed
from zerosum.objectives.degradations.resizing import bicubic, enlarge, resized
from zerosum.objectives.degradations.second_order import REAL_WORLD_DRAWS, Degradation, Round, real_world

__all__ = [
    "BLUR_DRAWS",
    "HOLE_DRAWS",
    "REAL_WORLD_DRAWS",
    "Degradation",
    "Round",
    "bicubic",
    "blurred",
    "enlarge",
    "filtered",
    "grey",
    "holed",
    "jpeg",
    "real_world",
    "resized",
]
