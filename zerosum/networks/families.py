"""Families of generator and discriminator that fit together, as settings: any loss composes with any of them.

A system's Config holds one (`networks: Networks = DCGAN()`); on the command line `networks:mlp` chooses another, and
`--networks.hidden 512` sets it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro
from torch import nn

from zerosum.data.spec import Spec
from zerosum.networks import dcgan, mlp, resnet
from zerosum.networks.shapes import image_size


@dataclass(frozen=True)
class MLP:
    """Fully connected networks; the only ones for points."""

    hidden: int = 256
    """Units of each hidden layer of the generator."""
    discriminator_hidden: int | None = None
    """Units of each hidden layer of the discriminator; None: as many as the generator's."""
    layers: int = 3
    """Hidden layers."""
    pieces: int = 1
    """Linear pieces of the discriminator's maxout units; 1: leaky ReLU."""
    dropout: float = 0.0
    """Share of the discriminator's hidden units dropped."""
    batch_norm: bool = False
    """Batch normalisation in the generator."""

    def generator(self, spec: Spec, latent: int, classes: int = 0) -> nn.Module:
        """z (n, latent) -> (n, *spec.shape)."""
        return mlp.Generator(
            latent, spec.shape, hidden=self.hidden, layers=self.layers, classes=classes, bounded=spec.kind == "image",
            batch_norm=self.batch_norm,
        )  # fmt: skip

    def discriminator(self, spec: Spec, classes: int = 0) -> nn.Module:
        """(n, *spec.shape) -> (n,)."""
        return mlp.Discriminator(
            spec.shape,
            hidden=self.discriminator_hidden or self.hidden,
            layers=self.layers,
            classes=classes,
            pieces=self.pieces,
            dropout=self.dropout,
        )


@dataclass(frozen=True)
class DCGAN:
    """DCGAN's strided convolutions."""

    width: int = 64
    """Channels of the finest stage; doubled at each coarser one (the paper: 128)."""
    batch_norm: bool = True
    """Batch normalisation in the generator."""
    discriminator_norm: bool = True
    """Batch normalisation in the discriminator; must be off under a gradient penalty."""
    dropout: float = 0.0
    """Share of the discriminator's channels dropped."""

    def generator(self, spec: Spec, latent: int, classes: int = 0) -> nn.Module:
        """z (n, latent) -> (n, *spec.shape)."""
        return dcgan.Generator(latent, image_size(spec), width=self.width, classes=classes, batch_norm=self.batch_norm)

    def discriminator(self, spec: Spec, classes: int = 0) -> nn.Module:
        """(n, *spec.shape) -> (n,)."""
        return dcgan.Discriminator(
            image_size(spec),
            width=self.width,
            classes=classes,
            batch_norm=self.discriminator_norm,
            dropout=self.dropout,
        )


@dataclass(frozen=True)
class ResNet:
    """Residual networks of WGAN-GP, SNGAN and SAGAN."""

    generator_width: int = 128
    """Channels of the generator's finest stage (SNGAN: 256 at 32 px)."""
    discriminator_width: int = 128
    """Channels of the discriminator's finest stage."""
    batch_norm: bool = True
    """Batch normalisation in the generator (class-conditional where there are classes)."""
    layer_norm: bool = False
    """Layer normalisation in the discriminator."""
    attention: int = 0
    """Self-attention on the stage of about so many pixels; 0: none."""
    sum_pool: bool = False
    """The discriminator's head sees the sum over the grid (SNGAN, SAGAN) rather than the mean (WGAN-GP)."""

    def generator(self, spec: Spec, latent: int, classes: int = 0) -> nn.Module:
        """z (n, latent) -> (n, *spec.shape)."""
        return resnet.Generator(
            latent,
            image_size(spec),
            width=self.generator_width,
            classes=classes,
            batch_norm=self.batch_norm,
            attention=self.attention,
        )

    def discriminator(self, spec: Spec, classes: int = 0) -> nn.Module:
        """(n, *spec.shape) -> (n,)."""
        return resnet.Discriminator(
            image_size(spec),
            width=self.discriminator_width,
            classes=classes,
            layer_norm=self.layer_norm,
            attention=self.attention,
            sum_pool=self.sum_pool,
        )


Networks = (
    Annotated[MLP, tyro.conf.subcommand("mlp")]
    | Annotated[DCGAN, tyro.conf.subcommand("dcgan")]
    | Annotated[ResNet, tyro.conf.subcommand("resnet")]
)
