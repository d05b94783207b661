"""InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial Nets (Chen et al. 2016), arXiv:1606.03657.

Part of z is a code: a category and some numbers. Q, which shares D's body, reads the code back from the generated sample; a lower bound
of the mutual information between code and sample joins the game (equation 6), so that the code comes to mean something (on MNIST: the
digit, its slant and its width) without any label.

Deviations: DCGAN's networks, which fit any size, instead of the paper's for MNIST (table 1); the numbers' variance is fixed at 1, as in
the authors' MNIST settings; samples come from a moving average of the generator (`--ema-half-life None`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core import randomness
from zerosum.core.errors import BadOption
from zerosum.core.latents import Categorical, Joined, Uniform
from zerosum.data.spec import Batch
from zerosum.networks.families import DCGAN, Networks
from zerosum.objectives.adversarial import logistic_d, nonsaturating_g
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.generator import Given, TrainedGenerator
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player


@dataclass(frozen=True)
class Config:
    """Settings of InfoGAN."""

    rounds: int = 50_000
    """Rounds, each one step of D and Q and one of G."""
    batch_size: int = 128
    """Samples a batch (the authors' MNIST settings)."""
    latent: int = 62
    """Components of z that are no code, uniform in [-1, 1] (appendix C.1)."""
    categories: int = 10
    """Values of the categorical code (section 7.2: 10 on MNIST)."""
    continuous: int = 2
    """Continuous codes, uniform in [-1, 1] (section 7.2: 2 on MNIST)."""
    information: float = 1.0
    """Weight of the mutual information, lambda (equation 6; section 6: 1)."""
    networks: Networks = DCGAN()
    """Generator and discriminator."""
    discriminator_adam: Adam = Adam(2e-4, (0.5, 0.999))
    """D's and Q's optimizer (appendix C: 2e-4)."""
    generator_adam: Adam = Adam(1e-3, (0.5, 0.999))
    """G's optimizer (appendix C: 1e-3)."""
    ema_half_life: float | None = 10_000.0
    """Half-life of the generator's moving average, in samples; None: off, as in the paper."""


class Reader(nn.Module):
    """Q's own layers: D's features (n, width) to what it believes the code to be (n, codes): logits, then means (table 1)."""

    def __init__(self, width: int, codes: int):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(width, 128), nn.LeakyReLU(0.1), nn.Linear(128, codes))

    def forward(self, features: Tensor) -> Tensor:
        """(n, codes)."""
        return self.body(features)


class InfoGAN(Game):
    """D tells real from generated samples; G makes samples that D takes for real and Q can read the code from."""

    Config = Config

    def build(self) -> None:
        """Networks and players."""
        config = self.config
        if config.categories < 2:
            raise BadOption(f"--categories {config.categories}: the categorical code needs 2 values or more.")
        parts = (Uniform(config.latent), Categorical(config.categories), Uniform(config.continuous))
        self.latent = Joined(parts if config.continuous else parts[:2])
        self.G = config.networks.generator(self.spec, self.latent.size)
        self.D = config.networks.discriminator(self.spec)
        self.Q = Reader(self.D.width, config.categories + config.continuous)
        self.discriminator = Player(self.D, self.Q, optimizer=config.discriminator_adam)
        self.generator = Player(self.G, optimizer=config.generator_adam, ema_half_life=config.ema_half_life)

    def round(self, batches: Batches) -> None:
        """One step of D and Q, one of G."""
        batch = next(batches)
        self.discriminator.step(self.discriminator_loss, batch)
        self.generator.step(self.generator_loss, batch)

    def judge(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """D's logits (n,) and Q's belief (n, codes) for x (n, ...), from one pass through the body they share."""
        features = self.D.features(self.augment(x))
        return self.D.head(features).squeeze(1), self.Q(features)

    def surprise(self, belief: Tensor, z: Tensor) -> Tensor:
        """-log Q(c | x) less constants: minus the mutual information's lower bound (equation 5)."""
        code, belief, k = z[:, self.config.latent :], belief.float(), self.config.categories
        # The normal density of variance 1, less its constant.
        numbers = 0.5 * (belief[:, k:] - code[:, k:]).square().sum(1).mean()
        return F.cross_entropy(belief[:, :k], code[:, :k]) + numbers

    def discriminator_loss(self, batch: Batch) -> Losses:
        """-log D(x) - log(1 - D(G(z, c))) - lambda L_I (equation 6)."""
        fake, belief = self.judge(self.G(batch["z"]))
        return {
            "adversarial": logistic_d(self.D(batch["image"]), fake),
            "information": self.config.information * self.surprise(belief, batch["z"]),
        }

    def generator_loss(self, batch: Batch) -> Losses:
        """-log D(G(z, c)) - lambda L_I."""
        fake, belief = self.judge(self.G(batch["z"]))
        information = self.config.information * self.surprise(belief, batch["z"])
        return {"adversarial": nonsaturating_g(fake), "information": information}

    def trained(self) -> TrainedGenerator:
        """A generator whose code can be chosen."""
        return Coded(self.averaged(self.G), self.latent, self.spec)


class Coded(TrainedGenerator):
    """A generator whose code can be chosen: given={"code": 3} asks for the category 3, {"code": tensor (n, codes)} sets all codes."""

    latent: Joined

    @torch.no_grad()
    def tensors(
        self, n: int, *, given: Given | None = None, seed: int = 0, truncation: float = 1.0, batch: int | None = None
    ) -> Iterator[Tensor]:
        """Encoded samples in batches; as `TrainedGenerator.tensors`, with the code chosen.

        Raises:
            BadOption: `given` holds anything but a code of the right shape.
        """
        z = self.latent.draw(n, randomness.generator("cpu", seed, "z"))
        if unknown := set(given or {}) - {"code"}:
            raise BadOption(f"this generator knows the condition 'code' only, not {', '.join(sorted(unknown))}.")
        if given and given.get("code") is not None:
            code = self.code(torch.as_tensor(given["code"]), n)
            start = self.latent.parts[0].size
            z[:, start : start + code.shape[1]] = code
        batch = batch or self.at_once
        for start in range(0, n, batch):
            yield self(z[start : start + batch].to(self.device)).float()

    def code(self, code: Tensor, n: int) -> Tensor:
        """The code as (n, categories), for one category or n, or (n, codes), given whole."""
        categories = self.latent.parts[1].size
        if code.dim() < 2 and not code.is_floating_point():
            code = code.expand(n) if code.dim() == 0 else code
            if code.shape == (n,) and int(code.min()) >= 0 and int(code.max()) < categories:
                return F.one_hot(code.long(), categories).float()
        elif code.shape == (n, self.latent.size - self.latent.parts[0].size):
            return code.float()
        raise BadOption(
            f"a code is a category from 0 to {categories - 1}, {n} of them, or all "
            f"{self.latent.size - self.latent.parts[0].size} numbers for each of the {n} samples; given: shape {tuple(code.shape)}."
        )
