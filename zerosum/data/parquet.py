"""Parquet files with a column of encoded images."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zerosum.core.errors import BadData
from zerosum.data.found import Files, Item, Label, split_name
from zerosum.data.options import Data

IMAGE_COLUMNS = ("image", "img", "images", "picture", "photo", "png", "jpg", "jpeg")
LABEL_COLUMNS = ("label", "labels", "class", "category", "target", "fine_label", "y")


def read_parquet(paths: list[Path], options: Data, name: str | None = None) -> Files:
    """The rows of one or several parquet files with the same columns. Their encoded bytes are held in memory.

    The image column holds bytes or {"bytes": ...}. A column `split` tells the split, else the beginning of the
    file's name does (train-00000-of-00002.parquet). Class names come from Hugging Face's metadata, or from metadata
    under "classes" or the label column's name, separated by commas.
    """
    schemas = {path: _schema(path) for path in paths}
    first = schemas[paths[0]]
    for path, schema in schemas.items():
        if schema.names != first.names:
            raise BadData(
                f"{paths[0]} and {path} have different columns, so they are different data sets; name one of them."
            )
    image = image_column(first, str(paths[0]), options)
    label = label_column(first, image, str(paths[0]), options)
    files = Files(name or paths[0].stem, [], class_names(first, label))
    others = [column for column in first.names if column not in (image, "split")]
    if label is None and others:
        files.notes.append(f"no column is used as label; --data.labels takes one of: {', '.join(others)}")
    columns = [image, *([label] if label else []), *(["split"] if "split" in first.names else [])]
    for path in paths:
        try:
            table = pq.read_table(path, columns=columns)
        except (OSError, pa.ArrowException) as error:
            raise BadData(f"{path} cannot be read as parquet: {error}.") from error
        mark = split_name(re.split(r"[-_.]", path.stem)[0]) if len(paths) > 1 else None
        prefix = f"{path.name} " if len(paths) > 1 else ""
        files.items += table_items(table, image, label, mark, prefix)
    if not files.items:
        raise BadData(f"{paths[0]} has no rows.")
    return files


def without_images(path: Path) -> bool:
    """Whether a parquet file can be read, and has no column that may hold encoded images."""
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException):
        return False
    return not any(_is_image(field.type) for field in schema)


def _schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise BadData(f"{path} cannot be read as parquet: {error}.") from error


def table_items(
    table: pa.Table, image: str, label: str | None, split: str | None = None, prefix: str = ""
) -> list[Item]:
    """The rows of an Arrow table as items, called "row 0", "row 1" ..."""
    column = table[image]
    if pa.types.is_struct(column.type):
        column = pc.struct_field(column, "bytes")
    content = pa.chunked_array(
        [chunk.cast(pa.large_binary()) for chunk in column.chunks], pa.large_binary()
    ).combine_chunks()
    labels: list[Label | None] = table[label].to_pylist() if label else [None] * len(table)
    splits = (
        [split_name(str(text)) for text in table["split"].to_pylist()]
        if "split" in table.column_names
        else [split] * len(table)
    )
    return [
        Item(f"{prefix}row {index}", partial(_value, content, index), labels[index], splits[index])
        for index in range(len(table))
    ]


def _value(content: pa.LargeBinaryArray, index: int) -> bytes:
    return content[index].as_py() or b""


def image_column(schema: pa.Schema, place: str, options: Data) -> str:
    """The name of the column with the encoded images."""
    possible = [field.name for field in schema if _is_image(field.type)]
    if options.column is not None:
        if options.column not in possible:
            raise BadData(
                f"{place} has no column of encoded images called {options.column!r} (--data.column); "
                f"it has {', '.join(possible) or 'none at all'}."
            )
        return options.column
    known = [name for name in IMAGE_COLUMNS if name in possible]
    if known:
        return known[0]
    if len(possible) != 1:
        raise BadData(
            f"{place} has the columns {', '.join(schema.names)}; "
            + (f"which of {', '.join(possible)} holds the images? Say so with --data.column." if possible else
               'none holds encoded images (bytes, or {"bytes": ...}).')
        )  # fmt: skip
    return possible[0]


def _is_image(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        names = [kind.field(index).name for index in range(kind.num_fields)]
        return "bytes" in names and _is_image(kind.field(names.index("bytes")).type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def label_column(schema: pa.Schema, image: str, place: str, options: Data) -> str | None:
    """The name of the column with the labels, or None."""
    if options.unlabelled:
        return None
    name = options.labels
    if name is None:
        name = next((name for name in LABEL_COLUMNS if name in schema.names and name != image), None)
    elif name not in schema.names:
        others = ", ".join(column for column in schema.names if column != image)
        raise BadData(f"{place} has no column called {name!r} (--data.labels); it has {others}.")
    if name is None:
        return None
    kind = schema.field(name).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if not (
        pa.types.is_integer(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_boolean(kind)
    ):
        raise BadData(f"the label column {name!r} of {place} holds {kind}; expected whole numbers or names.")
    return name


def class_names(schema: pa.Schema, label: str | None) -> list[str] | None:
    """The names of the labels 0, 1, 2 ... that the metadata tells, or None."""
    metadata = schema.metadata or {}
    if label is None:
        return None
    if b"huggingface" in metadata:
        try:
            names = json.loads(metadata[b"huggingface"])["info"]["features"][label].get("names")
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
        ):  # other libraries' metadata: the labels go without names
            names = None
        return [str(name) for name in names] if names else None
    text = metadata.get(label.encode()) or metadata.get(b"classes")
    if not text:
        return None
    names = text.decode("utf-8", "replace").split(",")
    return [re.sub(rf"^{index} ", "", name.strip()) for index, name in enumerate(names)]
