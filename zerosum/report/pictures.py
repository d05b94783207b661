"""Pictures as data: addresses, made smaller where they are larger than a page shows them."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image


def embed(path: Path, largest: int) -> tuple[str, int]:
    """The picture as a data: address, and its width in pixels; OSError or SyntaxError when it cannot be read.

    A picture wider or higher than `largest` pixels is shrunk and written as JPEG; any other is kept as it is.
    """
    content = path.read_bytes()
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()  # a half-written file fails here
        width = picture.width
        if max(picture.size) <= largest:
            return _address("png", content), width
        small = picture.convert("RGB")
        small.thumbnail((largest, largest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=88)
    return _address("jpeg", buffer.getvalue()), small.width


def _address(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
