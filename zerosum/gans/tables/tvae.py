"""Modeling Tabular Data using Conditional GAN (Xu et al. 2019), arXiv:1907.00503.

TVAE, the variational autoencoder beside CTGAN (section 4.5): no GAN, but what one has to be better than. Rows are
encoded as for CTGAN; a number is normal around what the decoder says, with a standard deviation that its column learns,
a choice is a softmax, and both maximise the evidence lower bound. Rows come as they are, shuffled: no training by
sampling.

Deviations: a number of a missing cell is not reconstructed. Standard deviations stay between .01 and 1, the weight of
the reconstruction is that of the authors' program (the paper states neither). The trained decoder's logits are moved
until every category and mode is as frequent as in the data (`--no-calibrate`). Cells of the target are drawn by a rule
that is learned from real rows (`--label-steps`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from zerosum.core.latents import Latent, Normal
from zerosum.data.spec import Batch
from zerosum.networks.tabular_vae import Decoder, Encoder
from zerosum.training.batches import Batches
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player
from zerosum.training.tabular import Tabular


@dataclass(frozen=True)
class Config:
    """Settings of TVAE."""

    epochs: int = 300
    """Epochs (section 5.1)."""
    batch_size: int = 500
    """Rows a batch (section 5.1)."""
    latent: int = 128
    """Components of z, standard normal (section 4.5)."""
    hidden: int = 128
    """Units of each of the two hidden layers of encoder and decoder (section 4.5)."""
    reconstruction: float = 2.0
    """Weight of the reconstruction; 1 is the evidence lower bound itself (the authors' program: 2)."""
    label_steps: int = 1_000
    """Steps in which a rule for the target is learned from real rows, by which labels are then drawn, given the rest of
    a row; 0: by G, as in the paper."""
    fair: str | None = None
    """Protected column, whose groups are to be favoured alike; None: off, as in the paper."""
    favourable: str | None = None
    """What is favourable: a value of the target, or column=value."""
    fairness: float = 1.5
    """Weight of the squared difference between the groups' shares of favourable rows."""
    adam: Adam = Adam(1e-3, (0.9, 0.999), decay=1e-5)
    """The optimizer (section 4.5: a learning rate of 1e-3)."""
    ema_half_life: float | None = None
    """Half-life of the decoder's moving average, in rows; None: off, as in the paper."""
    calibrate: bool = True
    """Whether the trained generator's categories and modes are made as frequent as in the data (not in the paper)."""


PRESETS = {
    "laptop": Config(epochs=60),
    "paper": Config(label_steps=0, calibrate=False),
}


class TVAE(Tabular):
    """The encoder says which z could have made a row, the decoder makes rows of z."""

    Config = Config
    by_sampling: ClassVar[bool] = False
    absent: Tensor

    def build(self) -> None:
        """Networks and the player."""
        config = self.config
        self.prepared("tvae")
        self.G = Decoder(config.latent, self.spec, hidden=config.hidden)
        self.E = Encoder(self.spec.shape[0], config.latent, hidden=config.hidden)
        self.latent = Normal(config.latent + self.blocks.scalars)
        self.coders = Player(self.G, self.E, optimizer=config.adam, ema_half_life=config.ema_half_life)
        self.calibrates = config.calibrate
        self.labelled()
        self.register_buffer("absent", self.layout.absent, persistent=False)

    def noise(self) -> dict[str, Latent]:
        """z, of which the artifact makes rows, and by which z is drawn from its posterior."""
        return {"z": self.latent, "posterior": Normal(self.config.latent)}

    def round(self, batches: Batches) -> None:
        """A step of both."""
        self.coders.step(self.loss, next(batches))

    def loss(self, batch: Batch) -> Losses:
        """-log p(x | z) + KL(q(z | x) || p(z)), z drawn from q (section 4.5)."""
        mean, log_variance = self.E(batch["row"])
        z = mean + (0.5 * log_variance).exp() * batch["posterior"]
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(1)
        numbers, choices = self.reconstruction(batch["row"], z)
        return {
            "numbers": self.config.reconstruction * numbers.mean(),
            "choices": self.config.reconstruction * choices.mean(),
            "divergence": divergence.mean(),
        }

    def reconstruction(self, rows: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """-log p of the numbers (n,), but for a constant, and of the choices (n,), of rows (n, d) given z."""
        means, logits = self.G.parts(z)
        x = rows.index_select(1, self.blocks.order)
        log = self.blocks.log_softmax(torch.cat([means, logits], 1).index_select(1, self.blocks.back))
        spread = self.G.spread
        far = ((x[:, : self.blocks.scalars] - means) / spread).square() / 2 + spread.log()
        # The last column of zeros is for numbers that are never missing.
        gone = torch.cat([rows, rows.new_zeros(len(rows), 1)], 1).index_select(1, self.absent)
        chosen = x[:, self.blocks.scalars :] * log.index_select(1, self.blocks.order)[:, self.blocks.scalars :]
        return (far * (1.0 - gone)).sum(1), -chosen.sum(1)
