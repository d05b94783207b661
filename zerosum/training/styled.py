"""Generators with a mapping network: images are made, truncated and edited in w."""

from __future__ import annotations

from torch import Tensor

from zerosum.training.generator import Given, TrainedGenerator


class StyledGenerator(TrainedGenerator):
    """A generator of two parts: `network.mapping` (z, label, truncation -> w) and `network.synthesis` (w -> image).

    w has the shape (n, layers, size): equal in all layers as the mapping makes it, different where layers are mixed or
    an image is projected into W+.
    """

    def map(self, z: Tensor, given: Given | None = None, truncation: float = 1.0) -> Tensor:
        """w (n, layers, size); truncation draws it towards the mean w (Karras et al. 2019, appendix B)."""
        w: Tensor = self.network.get_submodule("mapping")(z, self.condition(given), truncation)
        return w

    def synthesise(self, w: Tensor, given: Given | None = None) -> Tensor:
        """Encoded samples (n, *spec.shape) from w (n, layers, size); the label has entered w already."""
        image: Tensor = self.network.get_submodule("synthesis")(w)
        return image
