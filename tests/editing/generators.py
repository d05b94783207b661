"""Small untrained generators to edit with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tests.gans.games import shrunk
from zerosum.core import discovery
from zerosum.core.settings import to_json
from zerosum.data import load
from zerosum.training.arena import Arena
from zerosum.training.generator import TrainedGenerator


def make(
    system: str = "stylegan2", seed: int = 0, channels: int = 3, side: int = 16, **settings: Any
) -> TrainedGenerator:
    """A generator of small images with random weights and all that training gives it; the same for the same seed."""
    game_class: Any = discovery.game_class(system)
    images = np.random.default_rng(0).integers(0, 256, (40, side, side, 3), dtype=np.uint8)
    data = load((images, np.arange(40) % 4))
    torch.manual_seed(seed)
    config = shrunk(game_class.Config(**settings))
    game = game_class(config, data.spec).seat(Arena())
    generator = game.trained()
    generator.encoding = data.encoding
    generator.facts = {
        "system": system,
        "config": to_json(game.config),
        "data": {"name": "x", "class_names": list("abcd")},
    }
    return lively(generator)


@torch.no_grad()
def lively(generator: TrainedGenerator) -> TrainedGenerator:
    """Noise counts for something and images differ, as with a trained network."""
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.1)
    generator.network.train()
    for module in generator.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = None  # running statistics are those of all batches so far
    for seed in range(4):
        draw = torch.Generator().manual_seed(seed)
        label = {"label": torch.arange(64) % 4} if generator.conditional else None
        generator(generator.latent.draw(64, draw), label)
    generator.network.eval()
    return generator


PLAIN = ("dcgan", "wgan_gp", "r3gan", "gan")
STYLED = ("stylegan2", "stylegan3")
