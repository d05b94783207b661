"""Measuring a generator: each score with that of real samples beside it, and the protocol that it rests on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zerosum.core.errors import BadFile
from zerosum.data.spec import Dataset
from zerosum.metrics import translation
from zerosum.metrics.reference import compare, generated, reference
from zerosum.training.translator import Translator

if TYPE_CHECKING:
    from rich.table import Table

    from zerosum.training.generator import TrainedGenerator

__all__ = ["MEANINGS", "Scores", "compare", "evaluate"]

MEANINGS: dict[str, tuple[str, str, str]] = {
    "fd": ("FD", "lower", "distance between feature distributions"),
    "kid": ("KID", "lower", "the same by a kernel: unbiased, for few samples"),
    "kid_std": ("KID deviation", "", "over subsets of the samples"),
    "is": ("Inception score", "higher", "sharp and varied predictions; knows nothing of the data"),
    "is_std": ("Inception score deviation", "", "over 10 splits"),
    "class_score": ("Class score", "higher", "sharp and varied predictions of the data's classifier"),
    "class_score_std": ("Class score deviation", "", "over 10 splits"),
    "precision": ("Precision", "higher", "share of samples that look real"),
    "recall": ("Recall", "higher", "share of the real images that could be made"),
    "density": ("Density", "higher", "as precision, but outliers do not help; about 1"),
    "coverage": ("Coverage", "higher", "share of the real images with a sample near them"),
    "spread": ("Distance between samples", "near 1", "relative to that between real ones; 0 = collapsed"),
    "class_kl": ("Class histogram KL", "lower", "0 = classes as frequent as in the data (nats)"),
    "missing_classes": ("Missing classes", "lower", "classes hardly ever made"),
    "class_fd": ("FD per class, mean", "lower", "quality within the classes"),
    "conditional_accuracy": ("Label accuracy", "higher", "classifier sees the class that was asked for"),
    "copies": ("Near copies", "near 0.01", "share nearer to training samples than 99 % of held-out ones"),
    "copy_distance": ("Distance to training data", "near 1", "relative to that of held-out samples; 0 = copies"),
    "psnr": ("PSNR", "higher", "dB from the one right answer, on held-out pairs"),
    "psnr_source": ("PSNR of the source", "", "the same of the source itself, enlarged where it is smaller"),
    "psnr_nearest": ("PSNR of the nearest", "", "the same of the answer to the most similar training source"),
    "ssim": ("SSIM", "higher", "structure in common with the right answer; 1 = equal"),
    "ssim_source": ("SSIM of the source", "", "as above"),
    "ssim_nearest": ("SSIM of the nearest", "", "as above"),
    "l1": ("L1", "lower", "mean difference from the right answer, as part of the range"),
    "l1_source": ("L1 of the source", "", "as above"),
    "l1_nearest": ("L1 of the nearest", "", "as above"),
    "sharpness": ("Sharpness", "near 1", "strength of edges relative to the right answer's; less = blurred"),
    "diversity": ("Diversity", "higher", "of answers to one source, relative to real images; 0 = noise is ignored"),
    "modes": ("Modes", "higher", "modes that samples land in"),
    "high_quality": ("High quality", "higher", "share of samples within 3 standard deviations of a mode"),
    "mode_kl": ("Mode KL", "lower", "0 = modes as frequent as in the data (nats)"),
}
"""Key of a value: its name in print, its good direction, a few words on what it says."""


@dataclass(frozen=True)
class Scores:
    """Scores of one generator on one data set, as they are stored in scores.json."""

    values: dict[str, float]
    """By the keys of `MEANINGS`. "fd" is FID only where the protocol's extractor is "inception"."""
    floor: dict[str, float]
    """The same scores of held-out real samples in the place of generated ones: what a perfect generator would get."""
    protocol: dict[str, Any]
    """What has to be equal for two scores to be comparable, and all that is needed to repeat them."""
    details: dict[str, Any] = field(default_factory=dict)
    """Per class: "class_counts", "class_fds", "missing"; "suspects" and "sources": samples like training samples."""

    def table(self) -> Table:
        """The scores as a rich table, with floor, direction and meaning."""
        from rich.table import Table

        table = Table(title=self.title(), caption=self.caption(), title_justify="left", caption_justify="left")
        for heading in ("Score", "Value", "Floor (real)", "Good", "Meaning"):
            table.add_column(heading, justify="right" if heading in ("Value", "Floor (real)") else "left")
        arrows = {"lower": "↓", "higher": "↑"}
        for key, value in self.values.items():
            _, direction, meaning = MEANINGS[key]
            floor = self.floor.get(key)
            shown = "" if floor is None else written(floor)
            table.add_row(self.printed(key), written(value), shown, arrows.get(direction, direction), meaning)
        return table

    def printed(self, key: str) -> str:
        """The name of a score in print: FID with Inception-v3 features, else FD with the features named."""
        extractor = self.protocol["extractor"]
        if key == "fd" and extractor == "inception":
            return "FID"
        return f"{MEANINGS[key][0]} ({extractor})" if key in ("fd", "kid", "class_fd") else MEANINGS[key][0]

    def title(self) -> str:
        """Data and numbers of samples."""
        p = self.protocol
        return f"{p['data']}: {p['n_fake']:,} generated against {p['n_real']:,} real ({p['split']})"

    def caption(self) -> str:
        """The protocol in a line or two."""
        p = self.protocol
        accuracy = f", {p['classifier_accuracy']:.1%} accurate" if p.get("classifier_accuracy") is not None else ""
        weights = f" {p['weights_sha256'][:8]}" if p.get("weights_sha256") else ""
        floor = f"floor: {p['floor']}" if p.get("floor") else "no floor"
        pairs = f"; compared on {p['pairs']:,} {p['pairs_split']} pairs" if p.get("pairs") else ""
        return f"features: {p['extractor']}{weights}{accuracy} ({p['reason']}); {floor}{pairs}; seed {p['seed']}"

    def to_json(self) -> str:
        """JSON text of all fields; infinite values become text, which `from_json` reads back."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """What `to_json` writes."""
        return json_safe(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Scores:
        """The scores that `to_json` wrote. Raises BadFile for anything else."""
        try:
            content = json.loads(text)
            values, floor = ({key: float(v) for key, v in content[part].items()} for part in ("values", "floor"))
            unknown = set(values) - set(MEANINGS)
            if unknown:
                raise ValueError(f"unknown scores {sorted(unknown)}")
            return cls(values, floor, dict(content["protocol"]), dict(content.get("details", {})))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadFile(f"these are no scores of zerosum ({error}); make them anew: zerosum evaluate.") from error


def written(value: float) -> str:
    """Four significant digits."""
    return f"{value:.4g}"


def json_safe(content: Any) -> Any:
    """`content` with numbers that JSON does not have (infinite, not a number) as text."""
    if isinstance(content, dict):
        return {key: json_safe(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [json_safe(value) for value in content]
    return str(content) if isinstance(content, float) and not math.isfinite(content) else content


def evaluate(
    generator: TrainedGenerator,
    dataset: Dataset,
    *,
    features: str = "auto",
    n: int = 10_000,
    seed: int = 0,
    weights: Path | None = None,
    per_class: bool = False,
) -> Scores:
    """Measure a generator on a data set.

    Args:
        generator: what is measured; n samples are drawn from it with `seed`.
        dataset: the data it was trained on. Training samples are the reference, held-out samples make the floor.
        features: auto, inception, dinov2, classifier or pixels; points are measured as they are.
        n: generated samples, and real samples as far as there are so many.
        seed: of the generated samples and of the choice of real ones.
        weights: a local weights file for inception or dinov2.
        per_class: also the Fréchet distance within each class.

    Raises:
        BadOption: features that cannot be had, or data that do not fit the generator.
        BadData: too few samples, or a generator that makes values that are not finite.

    Example:
        >>> scores = evaluate(generator, zerosum.data.load("digits"), n=2_000)
        >>> scores.values["coverage"], scores.floor["coverage"]
    """
    if isinstance(generator, Translator):
        translation.asked(generator, dataset)
    real = reference(dataset, features, n, seed, weights)
    fake = generated(generator, real, n)
    asked = generator.labels(len(fake), seed=seed)
    values = real.compare(real.train, fake)
    floor = dict(real.floor)
    class_values, details = real.class_values(fake, asked)
    values |= class_values | real.mode_values(fake)
    floor |= real.class_values(real.held_out)[0] | real.mode_values(real.held_out)
    if "conditional_accuracy" in values and real.extractor.accuracy is not None:
        floor["conditional_accuracy"] = real.extractor.accuracy
    if per_class:
        details["class_fds"] = real.class_distances(fake, asked)
        values["class_fd"] = mean(details["class_fds"].values())
    found = real.copies(fake)
    values |= {"copies": found.share, "copy_distance": found.ratio}
    floor |= {"copies": 0.01, "copy_distance": 1.0}
    details |= {"suspects": found.suspects, "sources": found.sources}
    protocol = real.protocol(len(fake))
    if isinstance(generator, Translator):
        more, perfect, how = translation.measure(generator, dataset, real.extractor, real.train, seed)
        values, floor, protocol = values | more, floor | perfect, protocol | how
    return Scores(values, floor, protocol, details)


def mean(values: Iterable[float]) -> float:
    """Arithmetic mean; NaN of nothing."""
    found = list(values)
    return sum(found) / len(found) if found else math.nan
