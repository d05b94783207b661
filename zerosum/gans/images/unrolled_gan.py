"""Unrolled Generative Adversarial Networks (Metz et al. 2017), arXiv:1611.02163.

G plays against the D that some further steps of D would lead to (section 2.2), so that it gains nothing by running to one mode, from
which D would chase it. With `second_order` G's gradient also passes through those steps: how D reacts to G (section 2.3). Without, D
takes the steps, G moves, and D is put back.

Deviations: DCGAN's networks by default (the preset `toy` is for points); samples come from a moving average of the generator
(`--ema-half-life None`). Adam's square root is taken of v + eps^2, for it has no derivative at 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.func import functional_call

from zerosum.core.latents import Normal
from zerosum.data.spec import Batch
from zerosum.networks.families import DCGAN, MLP, Networks
from zerosum.objectives.adversarial import logistic_d, nonsaturating_g
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Config:
    """Settings of the unrolled GAN."""

    rounds: int = 100_000
    """Rounds, each one step of D and one of G."""
    batch_size: int = 64
    """Samples a batch."""
    latent: int = 256
    """Components of z, standard normal (the authors' program)."""
    steps: int = 5
    """Steps of D that G looks ahead, K (section 3 compares 0, 1, 5 and 10)."""
    second_order: bool = True
    """Whether G's gradient passes through these steps (section 2.3)."""
    inner_rate: float | None = None
    """Learning rate of plain gradient steps in the unrolling (section 2.2); None: D's own Adam, from where it is."""
    loss: Literal["minimax", "non-saturating"] = "minimax"
    """What G minimises against the unrolled D: minus D's loss (section 2.2), or -log D(G(z))."""
    networks: Networks = DCGAN()
    """Generator and discriminator."""
    discriminator_adam: Adam = Adam(1e-4, (0.5, 0.999))
    """D's optimizer (the authors' program)."""
    generator_adam: Adam = Adam(1e-3, (0.5, 0.999))
    """G's optimizer (the authors' program)."""
    ema_half_life: float | None = 10_000.0
    """Half-life of the generator's moving average, in samples; None: off, as in the paper."""


PRESETS = {
    "toy": Config(rounds=25_000, batch_size=512, networks=MLP(hidden=128, layers=2), ema_half_life=None),
}


class UnrolledGAN(Game):
    """D tells real from generated samples; G makes samples that a D some steps ahead takes for real."""

    Config = Config

    def build(self) -> None:
        """Networks and players."""
        config = self.config
        self.latent = Normal(config.latent)
        self.G = config.networks.generator(self.spec, config.latent)
        self.D = config.networks.discriminator(self.spec)
        self.discriminator = Player(self.D, optimizer=config.discriminator_adam)
        self.generator = Player(self.G, optimizer=config.generator_adam, ema_half_life=config.ema_half_life)

    def round(self, batches: Batches) -> None:
        """One step of D, one of G against D some steps ahead."""
        batch = next(batches)
        self.discriminator.step(self.discriminator_loss, batch)
        if self.config.second_order:
            with self.undisturbed(self.D):
                self.generator.step(self.unrolled_loss, batch)
        else:
            with self.discriminator.unroll():
                for _ in range(self.config.steps):
                    self.discriminator.step(self.discriminator_loss, batch)
                self.generator.step(self.generator_loss, batch)

    def discriminator_loss(self, batch: Batch) -> Losses:
        """-log D(x) - log(1 - D(G(z))), that is -f (section 2.1)."""
        return {"adversarial": logistic_d(self.D(batch["image"]), self.D(self.G(batch["z"])))}

    def generator_loss(self, batch: Batch) -> Losses:
        """f, or -log D(G(z)), of D as it is."""
        real, fake = self.D(batch["image"]), self.D(self.G(batch["z"]))
        return {"adversarial": self.objective(real, fake)}

    def unrolled_loss(self, batch: Batch) -> Losses:
        """f_K, or -log D_K(G(z)), of D after K steps that depend on G (section 2.2)."""
        fake = self.G(batch["z"])
        weights = {name: value.detach().requires_grad_(True) for name, value in self.D.named_parameters()}
        memory = self.memory()
        for step in range(1, self.config.steps + 1):
            loss = logistic_d(*self.judge(weights, batch["image"], fake)).float()
            gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
            weights = self.stepped(weights, gradients, memory, step)
        return {"adversarial": self.objective(*self.judge(weights, batch["image"], fake))}

    def objective(self, real: Tensor, fake: Tensor) -> Tensor:
        """What G minimises of D's logits."""
        return nonsaturating_g(fake) if self.config.loss == "non-saturating" else -logistic_d(real, fake)

    def judge(self, weights: Weights, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """D's logits with other weights than its own."""
        return functional_call(self.D, weights, (real,)), functional_call(self.D, weights, (fake,))

    def memory(self) -> dict[str, list[Tensor]]:
        """Copies of what D's Adam remembers: per weight the mean gradient, its square and the number of steps."""
        state = self.discriminator.optimizer.state if self.discriminator.optimizer else {}
        known = [state.get(weight, {}) for weight in self.D.parameters()]
        empty = [torch.zeros_like(weight) for weight in self.D.parameters()]
        return {
            "mean": [seen.get("exp_avg", zero).clone() for seen, zero in zip(known, empty, strict=True)],
            "square": [seen.get("exp_avg_sq", zero).clone() for seen, zero in zip(known, empty, strict=True)],
            "steps": [seen.get("step", zero.new_zeros(())).clone() for seen, zero in zip(known, empty, strict=True)],
        }

    def stepped(
        self, weights: Weights, gradients: tuple[Tensor, ...], memory: dict[str, list[Tensor]], step: int
    ) -> Weights:
        """The weights after one step, as a function of the gradients; `memory` is brought up to date."""
        adam, after = self.config.discriminator_adam, {}
        for i, (name, weight) in enumerate(weights.items()):
            if self.config.inner_rate is not None:
                after[name] = weight - self.config.inner_rate * gradients[i]
                continue
            (b1, b2), count = adam.betas, memory["steps"][i] + step
            memory["mean"][i] = b1 * memory["mean"][i] + (1 - b1) * gradients[i]
            memory["square"][i] = b2 * memory["square"][i] + (1 - b2) * gradients[i].square()
            mean, square = memory["mean"][i] / (1 - b1**count), memory["square"][i] / (1 - b2**count)
            rate = adam.lr * self.arena.rate
            after[name] = weight - rate * mean / ((square + adam.eps**2).sqrt() + adam.eps)
        return after
