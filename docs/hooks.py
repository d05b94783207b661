"""Adds the page of every system to the navigation, so that a new system needs no line in mkdocs.yml."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from zerosum.core.discovery import systems


def on_config(config: Any) -> Any:
    """MkDocs calls this once the settings are read."""
    for entry in config["nav"]:
        if isinstance(entry, dict) and "Systems" in entry:
            entry["Systems"] = ["systems/index.md", *({s.name: f"systems/{s.name}.md"} for s in systems().values())]
    return config
