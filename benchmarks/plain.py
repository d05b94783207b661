"""The loops that a user would write without this library, to be measured against: fp32, a DataLoader over decoded
images, default
(unfused) Adam, losses read with `.item()` in every step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from zerosum.core import vision

Step = Callable[[Tensor], None]


class TutorialGenerator(nn.Module):
    """The generator of the usual DCGAN tutorial at 32 px: 4 x 4 transposed convolutions of 256, 128 and 64 channels."""

    def __init__(self, channels: int, size: int):
        super().__init__()
        self.size = size
        self.body = nn.Sequential(
            nn.ConvTranspose2d(100, 256, 4, 1, 0, bias=False), nn.BatchNorm2d(256), nn.ReLU(True),
            nn.ConvTranspose2d(256, 128, 4, 2, 1, bias=False), nn.BatchNorm2d(128), nn.ReLU(True),
            nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(True),
            nn.ConvTranspose2d(64, channels, 4, 2, 1, bias=False), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: Tensor) -> Tensor:
        """z (n, 100) -> (n, channels, size, size)."""
        edge = (32 - self.size) // 2
        return self.body(z[:, :, None, None])[:, :, edge : edge + self.size, edge : edge + self.size]


class TutorialDiscriminator(nn.Module):
    """The discriminator of the usual DCGAN tutorial at 32 px; smaller images are padded with black."""

    def __init__(self, channels: int, size: int):
        super().__init__()
        self.edge = (32 - size) // 2
        self.body = nn.Sequential(
            nn.Conv2d(channels, 64, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True),
            nn.Conv2d(64, 128, 4, 2, 1, bias=False), nn.BatchNorm2d(128), nn.LeakyReLU(0.2, True),
            nn.Conv2d(128, 256, 4, 2, 1, bias=False), nn.BatchNorm2d(256), nn.LeakyReLU(0.2, True),
            nn.Conv2d(256, 1, 4, 1, 0, bias=False),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, size, size) -> logits (n,)."""
        return self.body(nn.functional.pad(x, [self.edge] * 4, value=-1.0)).flatten()


def tutorial_initialise(module: nn.Module) -> None:
    """N(0, 0.02) weights, N(1, 0.02) batch-norm gains."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


class Decoded(Dataset[Tensor]):
    """Decoded images (n, h, w, c) uint8 in memory; ToTensor and Normalize one by one, as torchvision does it."""

    def __init__(self, images: np.ndarray):
        transforms = vision.load("torchvision.transforms")
        half = [0.5] * images.shape[3]
        self.images = images
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(half, half)])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        """(c, h, w) float32 in [-1, 1]."""
        return self.transform(Image.fromarray(self.images[index].squeeze()))


def loader(images: np.ndarray, batch: int, workers: int = 0) -> Iterator[Tensor]:
    """Endless shuffled batches of images. No workers: on two cores they take from the training what they give
    (measured).
    """
    data = DataLoader(Decoded(images), batch_size=batch, shuffle=True, drop_last=True, num_workers=workers)
    while True:
        yield from data


def dcgan_step(G: nn.Module, D: nn.Module, latent: int, lr: float = 2e-4) -> Step:
    """One step of D and one of G as the tutorial writes them: the fake batch is made once and shared."""
    loss = nn.BCEWithLogitsLoss()
    opt_d = torch.optim.Adam(D.parameters(), lr=lr, betas=(0.5, 0.999))
    opt_g = torch.optim.Adam(G.parameters(), lr=lr, betas=(0.5, 0.999))
    history: list[tuple[float, float]] = []

    def step(real: Tensor) -> None:
        ones, zeros = torch.ones(len(real)), torch.zeros(len(real))
        D.zero_grad()
        error_real = loss(D(real), ones)
        error_real.backward()
        fake = G(torch.randn(len(real), latent))
        error_fake = loss(D(fake.detach()), zeros)
        error_fake.backward()
        opt_d.step()
        G.zero_grad()
        error = loss(D(fake), ones)
        error.backward()
        opt_g.step()
        history.append(((error_real + error_fake).item(), error.item()))

    return step


def wgan_gp_step(G: nn.Module, D: nn.Module, latent: int, data: Iterator[Tensor], critic_steps: int = 5) -> Step:
    """Five critic steps with a gradient penalty and one of G, as tutorials write them."""
    opt_d = torch.optim.Adam(D.parameters(), lr=2e-4, betas=(0.0, 0.9))
    opt_g = torch.optim.Adam(G.parameters(), lr=2e-4, betas=(0.0, 0.9))
    history: list[float] = []

    def penalty(real: Tensor, fake: Tensor) -> Tensor:
        mix = torch.rand(len(real), 1, 1, 1)
        between = (mix * real + (1 - mix) * fake).requires_grad_(True)
        (gradient,) = torch.autograd.grad(D(between).sum(), between, create_graph=True)
        return 10.0 * ((gradient.flatten(1).norm(2, dim=1) - 1) ** 2).mean()

    def step(real: Tensor) -> None:
        for i in range(critic_steps):
            real = real if i == 0 else next(data)
            opt_d.zero_grad()
            fake = G(torch.randn(len(real), latent)).detach()
            error = D(fake).mean() - D(real).mean() + penalty(real, fake)
            error.backward()
            opt_d.step()
            history.append(error.item())
        opt_g.zero_grad()
        error = -D(G(torch.randn(len(real), latent))).mean()
        error.backward()
        opt_g.step()
        history.append(error.item())

    return step


def train_tutorial(images: np.ndarray, seconds: float, seed: int, batch: int = 128) -> tuple[nn.Module, int]:
    """The tutorial's networks and loop for so many seconds; returns G and the images shown."""
    torch.manual_seed(seed)
    channels, size = images.shape[3], images.shape[1]
    G, D = TutorialGenerator(channels, size), TutorialDiscriminator(channels, size)
    G.apply(tutorial_initialise)
    D.apply(tutorial_initialise)
    data, step, shown = loader(images, batch), dcgan_step(G, D, 100), 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        step(next(data))
        shown += batch
    return G, shown
