"""High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs (Wang et al. 2018), arXiv:1711.11585.

Two generators, coarse to fine: the global one learns first, on images of half the size; then the enhancer is put around
it, which adds its own layers of the full size to the global one's last ones, and both learn on (section 3.1). D judges
source and image together at three scales, and G's images are to have the features that true ones have in all layers of
D (section 3.2).

Deviations: no instance maps, neither their edges as an input nor the encoder of features for each object (sections 3.3
and 3.4); one enhancer; it learns together with the global generator from the start, as the authors' code has it, where
section 3.1 gives it a while alone; no perceptual term; both players step at once, from the same weights; images are
enlarged, cropped and mirrored as in pix2pix.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadOption
from zerosum.core.latents import Latent, Normal, Uniform
from zerosum.data.spec import Batch
from zerosum.networks.patch import MultiScale
from zerosum.networks.shapes import image_size
from zerosum.networks.translator import Block, Double, InstanceNorm, Mirror, channels_of, initialise, to_multiple
from zerosum.objectives.adversarial import least_squares_d, least_squares_g
from zerosum.objectives.jitter import DRAWS, jitter
from zerosum.training.batches import Batches
from zerosum.training.game import Phase
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player, simultaneously
from zerosum.training.translation import Translation, source_of
from zerosum.training.translator import Translator


@dataclass(frozen=True)
class Config:
    """Settings of pix2pixHD."""

    coarse_rounds: int = 595_000
    """Rounds of the global generator alone, at half the size (200 epochs of the 2,975 photos of Cityscapes); 0: none.
    """
    rounds: int = 595_000
    """Rounds of both generators after them, at the full size (as many)."""
    batch_size: int = 1
    """Samples a batch (the authors' code)."""
    width: int = 64
    """Channels of the global generator's first layer, and half of them in the enhancer's (appendix 7)."""
    halvings: int = 4
    """Halvings of the global generator (appendix 7)."""
    blocks: int = 9
    """Residual blocks of the global generator (appendix 7)."""
    enhancer_blocks: int = 3
    """Residual blocks of the enhancer (appendix 7)."""
    discriminator_width: int = 64
    """Channels of the discriminators' first layers (appendix 7)."""
    discriminator_layers: int = 3
    """Halvings of each discriminator (appendix 7)."""
    scales: int = 3
    """Scales that images are judged at, one less at half the size (section 3.2)."""
    feature_matching: float = 10.0
    """Weight of the difference of D's features, lambda (equation 6, section 4)."""
    jitter: float = 286 / 256
    """Enlargement before the random crop; 1: none."""
    mirror: bool = True
    """Mirror half of the pairs (the authors' code)."""
    constant: float = 0.5
    """Share of each phase after which the learning rate begins to fall to 0, in a straight line (section 4)."""
    adam: Adam = Adam(2e-4, (0.5, 0.999))
    """Both players' optimizer (section 4); its memory is cleared when the enhancer joins."""


PRESETS = {
    #                 coarse   rounds  batch  width  halvings  blocks  enhancer  discriminator
    "laptop": Config( 5_000,  15_000,     4,    24,        3,      4,        2,           24),
}  # fmt: skip


def halved(x: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, c, h / 2, w / 2), as the discriminators see the next scale."""
    return F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)


def half(before: int, after: int) -> nn.Sequential:
    """A convolution that halves the image."""
    return nn.Sequential(nn.Conv2d(before, after, 3, 2, 1), InstanceNorm(after), nn.ReLU(inplace=True))


def twice(before: int, after: int) -> nn.Sequential:
    """A transposed convolution that doubles the image."""
    conv = nn.ConvTranspose2d(before, after, 3, 2, 1, output_padding=1)
    return nn.Sequential(conv, InstanceNorm(after), nn.ReLU(inplace=True))


def outer(before: int, after: int) -> list[nn.Module]:
    """The first or the last convolution, of 7 x 7 pixels."""
    return [Mirror(3), nn.Conv2d(before, after, 7)]


class Global(nn.Module):
    """Sources (n, given, h, w) to features (n, width, h, w), by `image` to images (n, made, h, w) in [-1, 1]."""

    def __init__(self, given: int, made: int, width: int, halvings: int, blocks: int):
        super().__init__()
        widths = [width * 2**level for level in range(halvings + 1)]
        self.layers = nn.Sequential(
            *outer(given, width), InstanceNorm(width), nn.ReLU(inplace=True),
            *(half(a, b) for a, b in pairwise(widths)),
            *(Block(widths[-1], InstanceNorm, True, False) for _ in range(blocks)),
            *(twice(a, b) for a, b in pairwise(widths[::-1])),
        )  # fmt: skip
        self.image = nn.Sequential(*outer(width, made), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        """Features; h and w are multiples of 2^halvings."""
        return self.layers(x)


class CoarseToFine(nn.Module):
    """Sources (n, c, h, w) to images (n, c', h, w) in [-1, 1], of any size (figure 3).

    Args:
        source, shape: (c, h, w) of the images given and made; h and w may change from call to call.
        width, halvings, blocks: of the global generator.
        enhancer_blocks: residual blocks of the enhancer.

    Attributes:
        fine: whether the enhancer has joined; before that images are the global generator's, doubled. A buffer.
    """

    fine: Tensor

    def __init__(
        self, source: tuple[int, int, int], shape: tuple[int, int, int], *, width: int = 64, halvings: int = 4,
        blocks: int = 9, enhancer_blocks: int = 3,
    ):  # fmt: skip
        super().__init__()
        given, made = channels_of(source, shape)
        narrow, self.multiple = max(width // 2, 1), 2 ** (halvings + 1)
        self.coarse = Global(given, made, width, halvings, blocks)
        self.first = nn.Sequential(
            *outer(given, narrow), InstanceNorm(narrow), nn.ReLU(inplace=True), half(narrow, width)
        )
        self.rest = nn.Sequential(
            *(Block(width, InstanceNorm, True, False) for _ in range(enhancer_blocks)), twice(width, narrow),
            *outer(narrow, made), nn.Tanh(),
        )  # fmt: skip
        self.enlarge = Double()
        self.register_buffer("fine", torch.tensor(False))
        self.apply(initialise)

    def small(self, x: Tensor) -> Tensor:
        """Images (n, c', h, w) of half the size, of sources of that size: the global generator's."""
        whole = to_multiple(x, self.multiple // 2)
        return self.coarse.image(self.coarse(whole))[:, :, : x.shape[2], : x.shape[3]]

    def forward(self, x: Tensor) -> Tensor:
        """(n, c', h, w)."""
        whole = to_multiple(x, self.multiple)
        made = self.rest(self.first(whole) + self.coarse(halved(whole))) if self.fine else self.doubled(whole)
        return made[:, :, : x.shape[2], : x.shape[3]]

    def doubled(self, x: Tensor) -> Tensor:
        """The global generator's images, at the full size."""
        return self.enlarge(self.small(halved(x)))


class Pix2PixHD(Translation):
    """D tells true pairs from those of a source and G's image; G makes what has the features of a true image."""

    Config = Config
    undecided = 0.5

    def build(self) -> None:
        """Networks and players.

        Raises:
            BadOption: the images are too small to be halved as often.
        """
        config, shape = self.config, image_size(self.spec)
        self.latent = Normal(0)
        self.source = source_of(self.spec, "pix2pixhd", paired=True)
        if min(shape[1:]) <= 2 ** (config.halvings + 1):
            raise BadOption(
                f"--halvings {config.halvings} of half the image leave a single pixel of {shape[1]} x {shape[2]}, "
                "which cannot be normalised: lower it, or raise --data.resolution."
            )
        self.G = CoarseToFine(
            self.source, shape, width=config.width, halvings=config.halvings, blocks=config.blocks,
            enhancer_blocks=config.enhancer_blocks,
        )  # fmt: skip
        self.D, self.D_coarse = (
            MultiScale(
                self.source[0] + shape[0], scales=scales, width=config.discriminator_width,
                layers=config.discriminator_layers, norm=InstanceNorm,
            )
            for scales in (config.scales, max(config.scales - 1, 1))
        )  # fmt: skip
        self.generator = Player(self.G, optimizer=config.adam, rate=self.rate)
        self.discriminator = Player(self.D, self.D_coarse, optimizer=config.adam, rate=self.rate)

    def rate(self, progress: float) -> float:
        """Factor on the learning rate, which falls in each phase."""
        phase, played = self.phase()
        return min((1.0 - played / phase.rounds) / (1.0 - self.config.constant), 1.0)

    def phases(self) -> list[Phase]:
        """The global generator alone at half the size, then both."""
        config = self.config
        coarse = [Phase("coarse", config.coarse_rounds, self.round)] if config.coarse_rounds else []
        return [*coarse, Phase("fine", config.rounds, self.round, enter=self.join)]

    def join(self) -> None:
        """The enhancer is put around the global generator; discriminators of the sizes known begin as they were, unless
        layers are frozen, which know more.
        """
        self.G.fine.fill_(True)
        if not self.discriminator.frozen:
            for D, known in zip(self.D.scales[-len(self.D_coarse.scales) :], self.D_coarse.scales, strict=True):
                D.load_state_dict(known.state_dict())
        for player in self.players.values():
            player.reset()

    def noise(self) -> dict[str, Latent]:
        """Where a sample is cropped."""
        return {"jitter": Uniform(DRAWS, 0.0, 1.0)}

    def round(self, batches: Batches) -> None:
        """One step of both at once, on cropped and mirrored pairs, of half the size before the enhancer has joined."""
        batch, config = next(batches), self.config
        pair = jitter((batch["source"], batch["image"]), batch["jitter"], config.jitter, config.mirror)
        batch |= dict(zip(("source", "image"), pair if self.G.fine else map(halved, pair), strict=True))
        simultaneously(self.losses, batch, self.generator, self.discriminator)

    def losses(self, batch: Batch) -> tuple[Losses, Losses]:
        """G: the sum over scales k of (D_k(x, G(x)) - 1)^2 + lambda |D_k_i(x, y) - D_k_i(x, G(x))|, of all layers i but
        the last. D: half of (D_k(x, y) - 1)^2 + D_k(x, G(x))^2 (equations 3 to 6, with squares as in section 4).
        """
        source, image = batch["source"], batch["image"]
        made, D = (self.G(source), self.D) if self.G.fine else (self.G.small(source), self.D_coarse)
        pairs = torch.cat([torch.cat([source, made.float()], 1), torch.cat([source, image], 1)])
        maps = [[layer.chunk(2) for layer in scale] for scale in D.features(self.augment(pairs))]
        logits = [scale[-1] for scale in maps]
        g = {
            "adversarial": 2 * total([least_squares_g(fake) for fake, _ in logits]),
            "features": self.config.feature_matching * total([distance(scale[:-1]) for scale in maps]),
        }
        return g, {"adversarial": total([least_squares_d(real, fake) for fake, real in logits])}

    def judged(self, batch: Batch) -> Tensor:
        """The source and the image."""
        return torch.cat([batch["source"], batch["image"]], 1)

    def critique(self, batch: Batch) -> Tensor | None:
        """Logits (n,): the mean over patches and scales, of images of half the size before the enhancer has joined."""
        if self.G.fine:
            return super().critique(batch)
        with torch.no_grad(), self.arena.autocast():
            maps = self.D_coarse(self.augment(halved(self.judged(batch))))
            return torch.stack([logits.float().flatten(1).mean(1) for logits in maps]).mean(0)

    def trained(self) -> Translator:
        """G as it is: the paper keeps no average."""
        return Translator(self.G, self.latent, self.spec, source=self.source, multiple=2 * self.G.multiple)


def distance(layers: list[tuple[Tensor, ...]]) -> Tensor:
    """The sum over layers of the mean absolute difference of features: made, and of the true image, which stay."""
    return total([(fake - real.detach()).float().abs().mean() for fake, real in layers])


def total(terms: list[Tensor]) -> Tensor:
    """The sum of 0-d tensors."""
    return torch.stack(terms).sum()
