"""The artifact that leaves training: all that is needed to make samples, and nothing that was needed to train."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zerosum.core import discovery, files, layout, randomness
from zerosum.core.errors import BadFile, BadOption
from zerosum.core.latents import Latent, Normal
from zerosum.core.settings import from_json, to_json
from zerosum.data.spec import Encoding, Spec

Given = dict[str, Any]


class TrainedGenerator(nn.Module):
    """Networks, latent distribution, encoding and facts of a trained system.

    Args:
        network: maps z (n, latent.size), and labels (n,) where `conditional`, to encoded samples (n, *spec.shape).
        latent: the distribution of z.
        spec: what one encoded sample looks like.
        conditional: whether the network takes labels.

    Attributes:
        encoding: turns encoded samples into what the user knows; set by the training that made this.
        facts: where it comes from: system, config, data, samples shown, seed, versions.
        example: how it is used, in the README of its folder.
    """

    example = 'import zerosum\n\nimages = zerosum.load("this/folder").sample(16, seed=1)'

    def __init__(self, network: nn.Module, latent: Latent, spec: Spec, *, conditional: bool = False):
        super().__init__()
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        layout.arrange(self.network)  # as in training: the same kernels
        self.latent, self.spec, self.conditional = latent, spec, conditional
        self.encoding: Encoding | None = None
        self.facts: dict[str, Any] = {}

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @property
    def at_once(self) -> int:
        """Samples made at once where nobody says how many: 256, and fewer where images are larger than 64 x 64."""
        return max(min(256, 256 * 64**2 // math.prod(self.spec.shape[1:])), 1)

    @property
    def class_names(self) -> list[str]:
        """Names of the classes it was trained on; empty without labels."""
        return list(self.facts.get("data", {}).get("class_names", []))

    def forward(self, z: Tensor, given: Given | None = None, truncation: float = 1.0) -> Tensor:
        """Encoded samples (n, *spec.shape), images in [-1, 1].

        Args:
            z: (n, latent.size).
            given: {"label": int64 (n,)} for a conditional generator.
            truncation: factor on a normal z; below 1 trades variety for typicality.
        """
        return self.synthesise(self.map(z, given, truncation), given)

    def map(self, z: Tensor, given: Given | None = None, truncation: float = 1.0) -> Tensor:
        """z (n, latent.size) as the point w (n, ...) of the space that images are edited in: here z itself, truncated.

        Raises:
            BadOption: truncation of a latent that is not normal.
        """
        if truncation == 1.0:
            return z
        if not isinstance(self.latent, Normal):
            kind = type(self.latent).__name__
            raise BadOption(f"truncation {truncation:g} needs a normal latent; this generator's is {kind}.")
        return z * truncation

    def synthesise(self, w: Tensor, given: Given | None = None) -> Tensor:
        """Encoded samples (n, *spec.shape) from w (n, ...), differentiable. `given` as in `forward`."""
        label = self.condition(given)
        return self.network(w) if label is None else self.network(w, label)

    def condition(self, given: Given | None) -> Tensor | None:
        """The labels in `given`; None for an unconditional generator. Raises BadOption where they are missing."""
        if not self.conditional:
            return None
        if not given or given.get("label") is None:
            raise BadOption("this generator is class-conditional: give {'label': int64 tensor (n,)}.")
        label: Tensor = given["label"]
        return label

    @torch.no_grad()
    def settle(self, passes: int = 8, batch: int = 64) -> None:
        """Estimate the statistics of batch norms anew, from `passes` batches of samples; always the same ones.

        Averaged weights have other activations than the weights of any one moment, whose running statistics are all
        that training leaves ("standing statistics", Brock et al. 2019, appendix D).
        """
        norms = [m for m in self.network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
        norms = [norm for norm in norms if norm.track_running_stats]
        if not norms:
            return
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all batches since
            norm.train()
        draw = randomness.generator("cpu", "standing statistics")
        for number in range(passes):
            z = self.latent.draw(batch, draw).to(self.device)
            self(z, self.conditions(number * batch, batch, draw))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()

    def conditions(self, start: int, count: int, draw: torch.Generator) -> Given:
        """What the samples number `start` and following, `count` of them, may be made from besides z: random labels."""
        return {"label": torch.randint(max(self.spec.classes, 1), (count,), generator=draw).to(self.device)}

    def labels(self, n: int, *, seed: int = 0) -> Tensor | None:
        """The labels (n,) that `tensors` uses where none are given: all classes equally often, shuffled. None if
        unconditional.
        """
        if not self.conditional:
            return None
        order = randomness.permutation(n, seed, "labels")
        return torch.arange(n).remainder(self.spec.classes)[order]

    @torch.no_grad()
    def tensors(
        self, n: int, *, given: Given | None = None, seed: int = 0, truncation: float = 1.0, batch: int | None = None
    ) -> Iterator[Tensor]:
        """Encoded samples in batches, on the generator's device; the same for the same seed, n and batch.

        Args:
            batch: samples made at once; None: `at_once`.

        Raises:
            BadOption: `given` asks for something the generator does not know.
        """
        batch = batch or self.at_once
        label = self._label(n, given, seed)
        z = self.latent.draw(n, randomness.generator("cpu", seed, "z"))
        for start in range(0, n, batch):
            piece = z[start : start + batch].to(self.device)
            conditions = {"label": label[start : start + batch].to(self.device)} if label is not None else None
            yield self(piece, conditions, truncation).float()

    def sample(self, n: int, *, given: Given | None = None, seed: int = 0, truncation: float = 1.0) -> Any:
        """n samples as the user knows them (a list of PIL images, an array of points); the same for the same seed and
        n.

        Example:
            >>> generator.sample(16, given={"label": 3}, seed=1)[0].save("three.png")
        """
        if n < 1:
            raise BadOption(f"cannot sample {n} images; ask for 1 or more.")
        encoded = torch.cat([piece.cpu() for piece in self.tensors(n, given=given, seed=seed, truncation=truncation)])
        if self.encoding is None:
            return encoded
        return self.encoding.decode({"image": encoded})

    def save(self, folder: Path | str) -> None:
        """Write config.json, model.safetensors and README.md (the Hugging Face layout), whole or not at all."""
        from safetensors.torch import save as to_bytes

        folder = Path(folder)
        with files.new_folder(folder) as new:
            config = {
                "library": "zerosum",
                "system": self.facts.get("system"),
                "config": self.facts.get("config"),
                "spec": to_json(self.spec),
                "encoding": self.encoding.to_json() if self.encoding else None,
                "facts": self.facts,
            }
            (new / "config.json").write_text(json.dumps(config, indent=2, default=str) + "\n")
            tensors = {name: value.detach().cpu().contiguous() for name, value in self.network.state_dict().items()}
            (new / "model.safetensors").write_bytes(to_bytes(tensors))
            (new / "README.md").write_text(model_card(self))

    @staticmethod
    def load(folder: Path | str, device: torch.device | str = "cpu") -> TrainedGenerator:
        """Read what `save` wrote. Nothing in it can execute code.

        Raises:
            BadFile: something is missing, broken, or made by another library.
        """
        from safetensors.torch import load_file

        from zerosum.data import encoding_from_json

        folder = Path(folder)
        described = files.read_json(folder / "config.json")
        if not isinstance(described, dict) or described.get("library") != "zerosum":
            raise BadFile(f"{folder / 'config.json'} does not describe a zerosum generator.")
        try:
            game_class: Any = discovery.game_class(described["system"])
            game = game_class(from_json(game_class.Config, described["config"]), from_json(Spec, described["spec"]))
            generator = game.trained()
            weights = load_file(folder / "model.safetensors")
            generator.network.load_state_dict(weights)
            generator.encoding = encoding_from_json(described["encoding"]) if described["encoding"] else None
            generator.facts = dict(described["facts"])
        except FileNotFoundError as error:
            raise BadFile(f"{folder} has no model.safetensors; it is not a whole generator.") from error
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, OSError, BadOption) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise BadFile(f"{folder} is not a generator that this version of zerosum can read ({reason}).") from error
        except Exception as error:  # safetensors raises its own type
            if type(error).__name__ != "SafetensorError":
                raise
            raise BadFile(f"{folder / 'model.safetensors'} is broken ({error}); copy it anew.") from error
        return generator.to(device)

    def _label(self, n: int, given: Given | None, seed: int) -> Tensor | None:
        unknown = set(given or {}) - {"label"}
        if unknown:
            raise BadOption(f"this generator knows the condition 'label' only, not {', '.join(sorted(unknown))}.")
        if not given or given.get("label") is None:
            return self.labels(n, seed=seed)
        if not self.conditional:
            raise BadOption(
                "this generator is not class-conditional: it cannot be asked for a class. "
                "Train cgan, sagan or sngan --conditional."
            )
        label = given["label"]
        label = (
            torch.full((n,), int(label))
            if isinstance(label, Integral)
            else torch.as_tensor(_sequence(label), dtype=torch.int64)
        )
        if label.shape != (n,):
            raise BadOption(f"{n} samples need {n} labels (or a single one); {tuple(label.shape)} were given.")
        if label.min() < 0 or label.max() >= self.spec.classes:
            names = f" ({', '.join(self.class_names[:20])})" if self.class_names else ""
            odd = int(label.max() if label.max() >= self.spec.classes else label.min())
            raise BadOption(f"class {odd} does not exist: there are classes 0 to {self.spec.classes - 1}{names}.")
        return label


def _sequence(label: Sequence[int] | Tensor) -> Any:
    return label if isinstance(label, Tensor) else list(label)


def privacy_section(spent: dict[str, Any]) -> str:
    """The section on privacy of a model card, of what `Game.trained` tells under "privacy"."""
    return f"""
## Privacy
({spent["epsilon"]:.4g}, {spent["delta"]:.3g})-differentially private by the accountant {spent["accountant"]}, after
{spent["steps"]:,} steps with noise {spent["noise"]:.4g} and rate {spent["rate"]:.4g}.
Neighbours: {spent["neighbours"]}.
"""


def model_card(generator: TrainedGenerator) -> str:
    """README.md of a saved generator: what it is, what it was trained on, how to use it, what it is not for."""
    facts, data = generator.facts, generator.facts.get("data", {})
    scores = "\n".join(f"- {name}: {value:.4g}" for name, value in facts.get("scores", {}).items()) or "- none recorded"
    classes = f", {generator.spec.classes} classes" if generator.conditional else ""
    fingerprint = str(data.get("fingerprint", ""))[:16]
    title = f"trained on {data.get('name', 'unknown data')}"
    origin = f"Trained on {facts.get('samples', 0):,} samples shown, seed {facts.get('seed')}"
    origin += f", data fingerprint `{fingerprint}`" if fingerprint else ""
    if source := facts.get("source"):  # somebody else's weights
        title = f"imported from {source['file']}"
        origin = f"Weights: {source['layout']}, from `{source['file']}` (sha256 `{source['sha256']}`)"
    origin += f"\n- Labels: {facts['labels']}" if "labels" in facts else ""
    privacy = privacy_section(facts["privacy"]) if "privacy" in facts else ""
    licence = f"\n## Licence\n{facts['licence']}\n" if facts.get("licence") else ""
    tag = "\nlicense: other" if licence else ""
    return f"""---
library_name: zerosum
tags: [gan, {facts.get("system")}]{tag}
---
# {facts.get("system")} {title}

{facts.get("paper", "")}

- Output: {generator.spec.kind} of shape {tuple(generator.spec.shape)}{classes}
- {origin}
- zerosum {facts.get("versions", {}).get("zerosum")}, torch {facts.get("versions", {}).get("torch")}

```python
{generator.example}
```

## Scores while training
{scores}
{privacy}{licence}
## Limits
Samples repeat the biases of the data they were learned from, and can resemble single training samples: see the
memorisation
score before publishing them. State that they are generated where people could take them for real.
"""
