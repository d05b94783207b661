"""The command line: one module per command, found by its file name and described by the first line of its docstring.

Nothing here imports torch; a command imports what it needs when it runs.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import keyword
import os
import sys
from pathlib import Path

from zerosum.core.errors import ZerosumError

ORDER = [
    "list",
    "train",
    "resume",
    "sample",
    "impute",
    "translate",
    "evaluate",
    "health",
    "check-data",
    "edit",
    "lab",
    "import",
]
"""The commands that come first in the help, in the order one uses them."""

EXAMPLE = """examples:
  zerosum train dcgan                              learn to draw digits, from images inside a dependency
  zerosum train wgan_gp --data photos/ --data.resolution 64
  zerosum sample runs/dcgan-digits-20260101-1 -n 64 --out samples/
"""


def commands() -> dict[str, str]:
    """Command -> what it does."""
    found = {}
    for path in Path(__file__).parent.glob("*.py"):
        if not path.stem.startswith("_"):
            docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            found[path.stem.rstrip("_").replace("_", "-")] = docstring.splitlines()[0] if docstring else ""
    return dict(
        sorted(found.items(), key=lambda item: (ORDER.index(item[0]) if item[0] in ORDER else len(ORDER), item[0]))
    )


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0 fine, 1 a finding, 2 a wrong input, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0
    if arguments[0] in ("-V", "--version"):
        from zerosum import __version__

        print(f"zerosum {__version__}")
        return 0
    known = commands()
    if arguments[0] not in known:
        near = difflib.get_close_matches(arguments[0], known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        return _fail(f"there is no command {arguments[0]!r}.{hint} `zerosum --help` lists them.")
    return _run(arguments[0], arguments[1:])


def _run(command: str, arguments: list[str]) -> int:
    """One command, its errors turned into messages."""
    try:
        name = command.replace("-", "_")
        module = importlib.import_module(f"zerosum.cli.{name}_" if keyword.iskeyword(name) else f"zerosum.cli.{name}")
        return module.main(arguments)
    except ZerosumError as error:
        if os.environ.get("ZEROSUM_DEBUG"):
            raise
        return _fail(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    except MemoryError:
        return _fail("out of memory: set --run.micro-batch auto, lower --run.batch-size, or lower --data.resolution.")
    except OSError as error:
        if os.environ.get("ZEROSUM_DEBUG"):
            raise
        return _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
    except RuntimeError as error:
        if "out of memory" not in str(error) and "can't allocate memory" not in str(error):
            raise
        return _fail(
            f"out of memory: set --run.micro-batch auto or lower --run.batch-size ({str(error).splitlines()[0]})"
        )


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


def _help() -> str:
    known = commands()
    width = max(map(len, known))
    listed = "\n".join(f"  {name:{width}}  {text}" for name, text in known.items())
    head = "usage: zerosum COMMAND [options]\n\nTrain, measure, explore and ship generative adversarial networks.\n"
    return f"{head}\ncommands:\n{listed}\n\n`zerosum COMMAND --help` explains one.\n\n{EXAMPLE}"
