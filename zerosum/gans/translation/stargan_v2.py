"""StarGAN v2: Diverse Image Synthesis for Multiple Domains (Choi et al. 2020), arXiv:1912.01865.

One generator between all domains, which are the classes of the data. A style, made of z or read off a reference image
of the domain asked for, tells how the image is to look there: how old a face is to be, and in which manner. D judges
images for each domain; what E reads off the answer is to be the style asked for, other styles are to give other
answers, and the style of the image itself is to bring it back (section 3.2).

Deviations: D and G step at once, from the same weights, on the images of z and those of references together, where the
authors take two steps each; the answer of a reference is to differ from that of a second z, rather than from that of a
second reference; sources and references are as frequent as in the data; no random crops, no weight decay, and none of
the masks that faces have in appendix A.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from zerosum.core.latents import Normal
from zerosum.data.spec import Batch
from zerosum.networks import stargan
from zerosum.networks.shapes import classes_of, image_size
from zerosum.objectives.adversarial import logistic_d, nonsaturating_g
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player, fixed, simultaneously
from zerosum.training.translator import Translator


@dataclass(frozen=True)
class Config:
    """Settings of StarGAN v2."""

    rounds: int = 100_000
    """Rounds, each one step of all networks (appendix B)."""
    batch_size: int = 8
    """Sources a round, and as many references (appendix B)."""
    latent: int = 16
    """Components of z (appendix A)."""
    style: int = 64
    """Components of a style (appendix A)."""
    width: int = 64
    """Channels of the finest layers (appendix A, at 256 px), doubled at each halving ..."""
    channel_max: int = 512
    """... but never more than this."""
    hidden: int = 512
    """Width of the mapping network (appendix A)."""
    mapping_layers: int = 4
    """Layers of the mapping network that all domains share, and layers of each domain after them (appendix A)."""
    mapping_rate: float = 0.01
    """The mapping network's learning rate, in that of the others (appendix B: 10^-6 and 10^-4)."""
    residual: bool = False
    """Whether G adds to the image, at first nothing, where the paper's makes it anew: whoever it shows stays the same."""
    references: bool = True
    """Whether G is to make the styles of references, too, as in the paper; otherwise, in half the time, those of z alone,
    and references are more real images to D."""
    style_weight: float = 1.0
    """Weight of the style that E reads off the answer, lambda_sty (equation 2; appendix B)."""
    diversity: float = 1.0
    """Weight of the difference between two answers, lambda_ds, falling to 0 in a straight line (equation 3; 2 for
    animals)."""
    cycle: float = 1.0
    """Weight of the way back, lambda_cyc (equation 4; appendix B)."""
    gamma: float = 1.0
    """Weight of R1 (appendix B, at 256 px; it should fall as the number of pixels does)."""
    r1_every: int = 1
    """Rounds between two on R1, which then weighs so much more."""
    adam: Adam = Adam(1e-4, (0.0, 0.99))
    """Both players' optimizer (appendix B)."""
    ema_half_life: float | None = 5_545.0
    """Half-life of the moving average of G and E, in samples (a decay of 0.999 a batch of 8); None: off."""


PRESETS = {
    #                 rounds  batch  z  style  width  max  hidden
    "laptop": Config(
                      30_000,     4, 16, 64,    16,   128,  64, residual=True, references=False, diversity=0.0,
        gamma=0.1, r1_every=4, adam=Adam(4e-4, (0.0, 0.99)),
    ),
    "animals": Config(diversity=2.0),
}  # fmt: skip


class StarGANv2(Game):
    """D tells real images of a domain from G's; G makes of an image and a style one of a domain; E reads styles."""

    Config = Config
    conditional = True

    def build(self) -> None:
        """Networks and players."""
        config, shape = self.config, image_size(self.spec)
        domains, sizes = classes_of(self.spec, "stargan_v2"), {"width": config.width, "most": config.channel_max}
        self.latent = Normal(config.latent)
        self.G = stargan.Generator(
            config.latent, shape, domains, style=config.style, residual=config.residual, hidden=config.hidden,
            layers=config.mapping_layers, rate=config.mapping_rate, **sizes,
        )  # fmt: skip
        self.E = stargan.Reader(shape, domains, outputs=config.style, **sizes)
        self.D = stargan.Reader(shape, domains, **sizes)
        self.generator = Player(self.G, self.E, optimizer=config.adam, ema_half_life=config.ema_half_life)
        self.discriminator = Player(self.D, optimizer=config.adam)

    def round(self, batches: Batches) -> None:
        """One step of all at once: a batch of sources, and one of references, whose domains are those asked for."""
        batch, other, config = next(batches), next(batches), self.config
        batch |= {"reference": other["image"], "target": other["label"], "other": other["z"]}
        diversity = config.diversity * (1.0 - self.arena.progress)
        gamma = config.gamma * config.r1_every if self.rounds % config.r1_every == 0 else 0.0
        losses = partial(self.losses, diversity=diversity, gamma=gamma)
        simultaneously(losses, batch, self.generator, self.discriminator)

    def losses(self, batch: Batch, diversity: float, gamma: float) -> tuple[Losses, Losses]:
        """G, its mapping network and E: -log D(G(x, s)) + |s - E(G(x, s))| - |G(x, s) - G(x, s')| + |x - G(G(x, s),
        E(x))|, weighted, with s of z and of the reference; of the latter G alone learns. D: -log D(x) - log(1 - D(G(x,
        s))) + gamma/2 ||grad D(x)||^2 (equations 1 to 5).
        """
        config, image, target = self.config, batch["image"], batch["target"]
        references = [batch["reference"]] if config.references else []
        times = 1 + len(references)
        styles = [self.G.mapping(batch["z"], target), *(self.E(one, target).detach() for one in references)]
        images, wanted, own = image.repeat(times, 1, 1, 1), torch.cat(styles), self.E(image, batch["label"])
        made = self.G.synthesis(images, wanted)
        back = self.G.synthesis(made, torch.cat([own, own.detach()][:times]))
        of_z, *of_reference = made.chunk(times)
        read = torch.cat([self.E(of_z, target), *(fixed(self.E)(one, target) for one in of_reference)])
        judged = self.D(made, target.repeat(times))
        g = {
            "adversarial": nonsaturating_g(judged),
            "style": config.style_weight * (wanted - read).abs().mean(),
            "cycle": config.cycle * (images - back).float().abs().mean(),
        }
        if config.diversity:
            with torch.no_grad():
                differing = self.G.synthesis(image, self.G.mapping(batch["other"], target)).repeat(times, 1, 1, 1)
            g["diversity"] = -diversity * (made - differing).float().abs().mean()
        if config.references:
            seen, label = image, batch["label"]
        else:
            seen, label = torch.cat([image, batch["reference"]]), torch.cat([batch["label"], target])
        real, penalty = self.judge(seen, label, gamma)
        return g, {"adversarial": logistic_d(real, judged), **penalty}

    def judge(self, image: Tensor, label: Tensor, gamma: float) -> tuple[Tensor, Losses]:
        """D's logits (n,) of real images, and, where it weighs anything, R1."""
        if not gamma:
            return self.D(image, label), {}
        image = image.detach().requires_grad_(True)
        logits = self.D(image, label)
        (gradient,) = torch.autograd.grad(logits.sum(), image, create_graph=True)
        return logits, {"r1": gamma * 0.5 * gradient.float().flatten(1).square().sum(1).mean()}

    def trained(self) -> Translator:
        """The moving average of G; its sources are images such as those that it makes."""
        return Translator(
            self.averaged(self.G), self.latent, self.spec, source=image_size(self.spec), conditional=True, pose=same
        )


def same(images: Tensor, draws: Tensor) -> Tensor:
    """The images themselves."""
    return images
