"""What editing reaches with a generator of faces: projection of held-out photos, and a direction of age.

    python -m benchmarks.editing runs/faces

Reads faces/utkface_96.parquet (columns image, age, gender, split) in the folder that ZEROSUM_DATA names. Projection is
compared with the nearest of 10,000 random samples; it should come below half of its error. Age is read by a regressor
that was trained on real faces alone; who it is by a network that was trained to tell one real face from all others.
Both are measured on held-out real faces first. Pictures go to --out and are not to be published: they show real people.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors
from torch import Tensor
from torch.nn import functional as F

import zerosum
from benchmarks.common import keep
from zerosum.core import randomness
from zerosum.core.errors import BadOption
from zerosum.core.files import write_bytes
from zerosum.data import Data, Dataset, load
from zerosum.data.spec import Store
from zerosum.editing import attributes, directions, distance, points, projection, strips
from zerosum.metrics.classifier import Network, cached, shift
from zerosum.training.generator import TrainedGenerator
from zerosum.training.pictures import save

STRENGTHS = [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]


def main() -> None:
    """Measure, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--photos", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--scored", type=int, default=4_000)
    parser.add_argument("--moved", type=int, default=64)
    parser.add_argument("--passes", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/editing"))
    given = parser.parse_args()
    generator = zerosum.load(given.run, "cuda" if torch.cuda.is_available() else "cpu")
    faces = Faces.read(generator)
    fitted, rows = project_all(generator, faces, given)
    rows += age_all(generator, faces, fitted, given)
    print(f"kept in {keep('editing', [{**row, **common(generator, given)} for row in rows])}; pictures in {given.out}")


def common(generator: TrainedGenerator, given: argparse.Namespace) -> dict[str, Any]:
    """What all rows share."""
    facts, told = generator.facts, ("steps", "samples", "scored", "passes", "seed")
    options = " ".join(f"--{name} {vars(given)[name]}" for name in told)
    return {
        "data": "editing faces",
        "command": f"python -m benchmarks.editing RUN {options}",
        "protocol": {
            "generator": f"{facts.get('system')}, {facts.get('samples', 0):,} samples shown",
            "shape": list(generator.spec.shape), "fingerprint": points.fingerprint(generator)[:12],
        },
    }  # fmt: skip


@dataclass(frozen=True)
class Faces:
    """Real faces with their ages, as the generator's encoding makes them, and the same with their genders."""

    by_age: Dataset
    by_gender: Dataset

    @classmethod
    def read(cls, generator: TrainedGenerator) -> Faces:
        folder = os.environ.get("ZEROSUM_DATA")
        if not folder:
            raise BadOption("set ZEROSUM_DATA to the folder that holds faces/utkface_96.parquet.")
        channels, height, width = generator.spec.shape
        options = Data(f"{height}x{width}", channels=channels)  # type: ignore[arg-type]
        path = Path(folder) / "faces" / "utkface_96.parquet"
        return cls(load(path, replace(options, labels="age")), load(path, replace(options, labels="gender")))

    def ages(self, store: Store) -> Tensor:
        """(n,) in years."""
        years = torch.tensor([float(name) for name in self.by_age.class_names])
        assert store.labels is not None
        return years[store.labels]

    @property
    def test(self) -> Store:
        """Held-out faces."""
        assert self.by_age.test is not None
        return self.by_age.test


# -- projection -------------------------------------------------------------------------------------------------------


def project_all(
    generator: TrainedGenerator, faces: Faces, given: argparse.Namespace
) -> tuple[points.Points, list[dict[str, Any]]]:
    """Held-out faces against the nearest random samples, in every space that the generator has."""
    chosen = randomness.permutation(len(faces.test), given.seed, "editing", "photos")[: given.photos]
    targets = faces.test.fetch(chosen)["image"].cpu()
    nearest, errors = nearest_samples(generator, targets, given.samples, given.seed)
    rows = [row(f"nearest of {given.samples:,} samples", errors, errors)]
    pictures = {"photo": targets, "nearest sample": nearest}
    layered = points.layers_of(generator) is not None
    noisy = bool(points.noise_buffers(generator))
    kinds = [("w" if layered else "z", "w", None)] + ([("w+", "w+", None)] if layered else [])
    kinds += [("w+, noise fitted", "w+", 1e5)] if noisy else []
    for name, space, noise in kinds:
        settings = projection.Settings(space, given.steps, noise=noise)  # type: ignore[arg-type]
        bar = iter(track(range(given.steps), description=f"Projecting into {name}"))
        found = projection.project(
            generator, targets, settings=settings, seed=given.seed, progress=lambda bar=bar: next(bar, None)
        )
        if space == "w":
            start = found.points
        rows.append(row(f"projection into {name}", measured(found.images, targets), errors))
        pictures[name] = found.images
    drawn = [points.pictures(generator, images) for images in pictures.values()]
    save(strips.strip(drawn, (), list(pictures)), given.out / "projection.png")
    return start, rows


def measured(images: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Mean squared error and the distance that projection descends, (n,) each."""
    return {"mse": projection.errors(images, targets)["mse"], "pyramid": distance.pyramid(targets)(images)}


def row(system: str, errors: dict[str, Tensor], nearest: dict[str, Tensor]) -> dict[str, Any]:
    """Means over the photos, and relative to the nearest samples."""
    values = {name: float(value.mean()) for name, value in errors.items()}
    values |= {f"{name} / nearest": values[name] / float(nearest[name].mean()) for name in errors}
    print(system, {name: round(value, 4) for name, value in values.items()}, flush=True)
    return {"system": system, "values": values}


@torch.no_grad()
def nearest_samples(
    generator: TrainedGenerator, targets: Tensor, n: int, seed: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """Of n random samples the nearest to each target, by each measure; images by the mean squared error."""
    best = {name: torch.full((len(targets),), math.inf) for name in ("mse", "pyramid")}
    nearest = torch.zeros_like(targets)
    for batch in generator.tensors(n, seed=seed):
        images = batch.cpu()
        for index, target in enumerate(targets):
            for name, values in measured(images, target.expand_as(images)).items():
                least, place = values.min(0)
                if least < best[name][index]:
                    best[name][index] = least
                    if name == "mse":
                        nearest[index] = images[place]
    return nearest, best


# -- age --------------------------------------------------------------------------------------------------------------


def age_all(
    generator: TrainedGenerator, faces: Faces, fitted: points.Points, given: argparse.Namespace
) -> list[dict[str, Any]]:
    """A direction of age, as it is and independent of gender, on random samples and on the projected photos."""
    age, quality = age_reader(faces, given.passes, given.seed)
    same, recognised = identity_reader(faces, given.passes, given.seed, given.out)
    network, facts = cached(faces.by_gender)
    gender: attributes.Score = lambda images: network(images).diff(dim=1)[:, 0]  # noqa: E731
    print(f"age: {quality}; recognises {recognised:.1%}; gender accuracy {facts.accuracy}", flush=True)
    where = points.population(generator, given.scored, given.seed)
    scores = {
        "age": attributes.scored(generator, where, age),
        "gender": attributes.scored(generator, where, lambda images: (gender(images) > 0).float()),
    }
    rows = []
    for name, kept in (("age", ()), ("age, gender kept", ("gender",))):
        found = attributes.attribute(where.w, scores, "age", keep=kept, seed=given.seed)
        random = points.drawn(generator, range(given.seed + 1, given.seed + 1 + given.moved))
        for what, start in (("random samples", random), ("projected photos", fitted)):
            values, images = followed(generator, start, found, age, gender, same)
            values |= {"R2 of age in w": found.facts["quality"]["age"]["R2"]}
            values |= {f"regressor's {key}": value for key, value in quality.items()}
            values["views recognised"] = recognised
            rows.append({"system": f"{name}: {what}", "values": values})
            print(rows[-1]["system"], {key: round(value, 3) for key, value in values.items()}, flush=True)
            pictures = strips.table(points.pictures(generator, images[: 8 * len(STRENGTHS)]), len(STRENGTHS))
            file = "-".join([name, what]).replace(",", "").replace(" ", "-")
            save(strips.strip(pictures, [strips.signed(s) for s in STRENGTHS]), given.out / f"{file}.png")
    return rows


@torch.no_grad()
def followed(
    generator: TrainedGenerator, start: points.Points, found: directions.Directions, age: attributes.Score,
    gender: attributes.Score, same: Callable[[Tensor], Tensor],
) -> tuple[dict[str, float], Tensor]:  # fmt: skip
    """What changes along a direction, and the images (n * strengths, c, h, w)."""
    images = points.images_of(generator, directions.moved(start, found, 0, STRENGTHS))
    shape, middle = (len(start), len(STRENGTHS)), STRENGTHS.index(0.0)
    years, sexes = age(images).view(shape), gender(images).view(shape) > 0
    vectors = same(images).view(*shape, -1)
    own = (vectors * vectors[:, middle : middle + 1]).sum(2)
    across = vectors[:, middle] @ vectors[:, middle].T
    strangers = across[~torch.eye(len(start), dtype=torch.bool)].mean()
    values = {f"years at {strips.signed(s)}": float(value) for s, value in zip(STRENGTHS, years.mean(0), strict=True)}
    values["steps that age"] = float((years.diff(dim=1) > 0).float().mean())
    values["faces that age throughout"] = float((years.diff(dim=1) > 0).all(1).float().mean())
    for s in (-2.0, 2.0):
        column = STRENGTHS.index(s)
        nearest = (vectors[:, column] @ vectors[:, middle].T).argmax(1)
        values[f"identity at {s:+g}"] = float(own[:, column].mean())
        values[f"recognised at {s:+g}"] = float((nearest == torch.arange(len(start))).float().mean())
        values[f"gender kept at {s:+g}"] = float((sexes[:, column] == sexes[:, middle]).float().mean())
    values["identity of strangers"] = float(strangers)
    return values, images


def age_reader(faces: Faces, passes: int, seed: int) -> tuple[attributes.Score, dict[str, float]]:
    """A regressor of years trained on real faces; its error and R2 on held-out ones."""
    years = faces.ages(faces.by_age.train)
    mean, deviation = years.mean(), years.std()
    draw = randomness.generator("cpu", seed, "age reader")
    network = trained(
        faces, 1, passes, seed, lambda network, images, chosen: F.mse_loss(
            network(jittered(images, draw)).squeeze(1), (years[chosen] - mean) / deviation
        ),
    )  # fmt: skip
    reader: attributes.Score = lambda images: network(images).squeeze(1) * deviation + mean  # noqa: E731
    truth = faces.ages(faces.test)
    read = torch.cat([reader(faces.test.fetch(part)["image"].cpu()) for part in torch.arange(len(truth)).split(256)])
    left = (read - truth).square().mean() / truth.var(unbiased=False)
    return reader, {"MAE in years": float((read - truth).abs().mean()), "R2": float(1 - left)}


def identity_reader(faces: Faces, passes: int, seed: int, folder: Path) -> tuple[Callable[[Tensor], Tensor], float]:
    """Vectors (n, 128) of length 1 that are near for two views of one face and far for two faces (instance
    discrimination, Wu et al. 2018), and the share of held-out faces whose second view is found by the first. Its
    weights are kept in `folder`, and read from there next time.
    """
    draw, views = (randomness.generator("cpu", seed, name) for name in ("identity reader", "identity views"))

    def loss(network: Network, images: Tensor, chosen: Tensor) -> Tensor:
        a, b = (F.normalize(network.vectors(jittered(images, draw)), dim=1) for _ in range(2))
        return F.cross_entropy(a @ b.T / 0.1, torch.arange(len(a)))

    kept = folder / f"identity-{faces.by_age.spec.shape[-1]}-{passes}-{seed}.safetensors"
    if kept.exists():
        network = Network(faces.by_age.spec.shape, 1).eval().requires_grad_(False)
        network.load_state_dict(load_file(kept))
    else:
        network = trained(faces, 1, passes, seed, loss)
        write_bytes(kept, save_tensors({name: value.contiguous() for name, value in network.state_dict().items()}))
    images = faces.test.fetch(torch.arange(min(512, len(faces.test))))["image"].cpu()
    a, b = (F.normalize(network.vectors(jittered(images, views)), dim=1) for _ in range(2))
    found = float(((a @ b.T).argmax(1) == torch.arange(len(a))).float().mean())
    return lambda images: F.normalize(network.vectors(images), dim=1), found


def trained(
    faces: Faces, outputs: int, passes: int, seed: int, loss: Callable[[Network, Tensor, Tensor], Tensor]
) -> Network:
    """The classifier's network, trained on the real training faces with a loss of one's own."""
    store = faces.by_age.train
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Network(faces.by_age.spec.shape, outputs).train()
        steps = passes * (len(store) // 128)
        adam = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=5e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(adam, max_lr=3e-3, total_steps=steps, pct_start=0.25)
        for _ in track(range(steps), description="Training on real faces"):
            chosen = torch.randint(len(store), (128,))
            value = loss(network, store.fetch(chosen)["image"].cpu(), chosen)
            adam.zero_grad()
            value.backward()
            adam.step()
            schedule.step()
    return network.eval().requires_grad_(False)


def jittered(images: Tensor, draw: torch.Generator) -> Tensor:
    """Images moved by up to an eighth, half of them mirrored, with another brightness and contrast."""
    moved = shift(images, draw)
    mirrored, gain, bias = torch.rand(3, len(moved), 1, 1, 1, generator=draw)
    moved = torch.where(mirrored < 0.5, moved.flip(3), moved)
    return moved * (0.7 + 0.6 * gain) + (0.6 * bias - 0.3)


if __name__ == "__main__":
    main()
