"""Train a system on data, with scores, health and pictures, into a run folder."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from zerosum.core import discovery
from zerosum.core.errors import BadOption

USAGE = """usage: zerosum train SYSTEM [--data SOURCE] [options]

Train a system on data, with scores, health and pictures, into a run folder.
`zerosum train SYSTEM --help` shows every setting of that system with its meaning and where in the paper it stands.

examples:
  zerosum train dcgan --run.minutes 5                       the digits that come along
  zerosum train wgan_gp --data photos/ --data.resolution 64 --critic-steps 3 --adam.lr 3e-4
  zerosum train rpgan --data faces.zip networks:mlp --networks.hidden 512
  zerosum train stylegan2 --data cats/ --from runs/faces --freeze-discriminator 3
  zerosum train ctgan --data customers.csv --target churn --epochs 100
"""

SOURCE = (
    "Folder, archive, npz, parquet, hf://name, or a built-in set: digits, mnist, fashion_mnist, cifar10, "
    "stacked_mnist, ring, grid."
)

FROM = (
    "Run folder, or folder of a generator, of the same system: training starts from its weights, and from its settings "
    "where no preset is given."
)
FREEZE = "Layers of the discriminator, from the image on, that stay as they are (FreezeD, Mo et al. 2020); None: none."


AUGMENT = (
    "Augment the images that the discriminator sees, for few images: ada adapts to how sure the discriminator is "
    "(Karras et al. 2020), diffaugment is always there (Zhao et al. 2020), fixed has a set strength; auto: ada below "
    "100,000 images. `--augment ada --help` shows its settings, --augment.target and others."
)


def main(arguments: list[str]) -> int:
    """`zerosum train`."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"{USAGE}\nsystems: {', '.join(discovery.systems())}")
        return 0
    if arguments[0].startswith("-"):
        raise BadOption(
            f"the system comes first: `zerosum train dcgan {' '.join(arguments)}`; `zerosum list` shows all of them."
        )
    system = discovery.find(arguments[0])
    rest = arguments[1:]
    if system.kind == "tables":  # what tables are for most often, for short
        rest = [re.sub(r"^--target(?=$|=)", "--data.target", word) for word in rest]
    parsed = _parse(system, rest)

    from zerosum import api

    command = api.Command(
        system.name,
        parsed.config,
        parsed.source,
        parsed.data,
        parsed.run,
        parsed.features,
        parsed.weights,
        parsed.wandb,
        start_from=parsed.start_from,
        freeze_discriminator=parsed.freeze_discriminator,
        augment=getattr(parsed, "augmentation", "auto" if parsed.augment == "auto" else None),
    )
    if parsed.dry_run:
        resolved, said = api.dry_run(command)
        print(json.dumps(resolved, indent=2, default=str))
        print(said, file=sys.stderr)
        return 0
    api.start(command)
    return 0


def _parse(system: discovery.System, arguments: list[str]) -> Any:
    """The command line of one system: its own settings, --data..., --run... and a few more."""
    from zerosum.api import Features
    from zerosum.data.options import Data
    from zerosum.training.augmentation import WORDS
    from zerosum.training.loop import Run

    module = discovery.load(system.name)
    config: Any = module.Config()
    presets = getattr(module, "PRESETS", {})
    name = _option(arguments, "--preset")
    if name is not None:
        if name not in presets:
            raise BadOption(f"{system.name} has no preset {name!r}; it has: {', '.join(presets) or 'none'}.")
        config = presets[name]
    elif (start := _option(arguments, "--from")) is not None:
        from zerosum.training import transfer

        config = transfer.read(start, system.name).config
    fields: list[Any] = [
        _field("config", module.Config, config, flag=""),
        _field("source", str, "digits", SOURCE, flag="data"),
        _field("data", Data, Data()),
        _field("run", Run, Run()),
        _field("features", Features, "auto", "What scores are measured on; none: no scores, keep the last generator."),
        _field("weights", Path | None, None, "Weights file for the features, where they cannot be downloaded."),
        _field("wandb", str | None, None, "Also log to this project on Weights & Biases."),
        _field("start_from", Path | None, None, FROM, flag="from"),
        _field("freeze_discriminator", int | None, None, FREEZE),
        _field("augment", Literal[("none", "auto", *WORDS)], "none", AUGMENT),
        _field("preset", Literal[tuple(presets) or ("none",)] | None, None, "Settings to start from."),
        _field("dry_run", bool, False, "Print the resolved command and stop."),
    ]
    if (augment := WORDS.get(_option(arguments, "--augment") or "none")) is not None:
        fields.append(_field("augmentation", type(augment), augment, flag="augment"))
    example = f"zerosum train {system.name} --data photos/ --data.resolution 64 --run.minutes 30"
    if system.kind == "tables":
        example = f"zerosum train {system.name} --data customers.csv --target churn"
    options = dataclasses.make_dataclass("Options", fields, frozen=True)
    return tyro.cli(
        options,
        args=arguments,
        prog=f"zerosum train {system.name}",
        description=f"{system.docstring}\n\nExample: {example}",
        config=(tyro.conf.CascadeSubcommandArgs,),
    )


def _field(
    name: str, kind: Any, default: Any, help: str | None = None, flag: str | None = None
) -> tuple[str, Any, Any]:
    """One field of the command line's options, described to tyro."""
    return name, Annotated[kind, tyro.conf.arg(help=help, name=flag)], dataclasses.field(default=default)


def _option(arguments: list[str], name: str) -> str | None:
    """The value of `--name value` or `--name=value`."""
    for i, argument in enumerate(arguments):
        if argument == name and i + 1 < len(arguments):
            return arguments[i + 1]
        if argument.startswith(f"{name}="):
            return argument.partition("=")[2]
    return None
