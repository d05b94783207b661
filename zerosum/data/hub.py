"""Hugging Face data sets: hf://owner/name?config=...&split=...&streaming=1 (needs the extra `hub`)."""

from __future__ import annotations

import hashlib
import os
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from zerosum.core.errors import BadData
from zerosum.core.extras import require
from zerosum.data.builtin import cache_folder
from zerosum.data.found import Files, split_name
from zerosum.data.options import Data
from zerosum.data.parquet import class_names, image_column, label_column, read_parquet, table_items

SHARD = 500
"""Streamed rows in each cached file."""
SETTINGS = ("config", "split", "streaming", "revision")


def read_hub(source: str, options: Data) -> Files:
    """A data set of the hub: all of its splits, or the one that is named. Streamed rows are kept in the cache as they
    arrive.
    """
    name, settings = parse_source(source)
    datasets = require("datasets", "hub")
    split, streaming = settings.get("split"), settings.get("streaming") in ("1", "true", "yes")
    if streaming and options.limit is None:
        raise BadData(f"{source}: streaming needs a --data.limit, the number of rows to fetch.")
    try:
        loaded = datasets.load_dataset(
            name, settings.get("config"), split=split, streaming=streaming, revision=settings.get("revision")
        )
    except Exception as error:  # of any kind: network, name, builder script ...
        raise BadData(
            f"{source} could not be loaded ({type(error).__name__}: {error}). Check the name, ?config= and the "
            "network; a data set that was fetched before loads without network when HF_HUB_OFFLINE=1 is set."
        ) from error
    parts = loaded if isinstance(loaded, dict) else {split or "train": loaded}
    title = name.split("/")[-1]
    if streaming:
        return _streamed(source, title, parts, options)
    files = Files(title, [])
    for mark, part in parts.items():
        part = _undecoded(part, datasets)
        table = part.data.table if part._indices is None else part.flatten_indices().data.table
        image = image_column(table.schema, source, options)
        label = label_column(table.schema, image, source, options)
        files.class_names = _names(part, label) or class_names(table.schema, label)
        files.items += table_items(table, image, label, split_name(mark), f"{mark} ")
    return files


def parse_source(source: str) -> tuple[str, dict[str, str]]:
    """The name and the settings in hf://owner/name?config=...&split=..."""
    parts = urlsplit(source)
    name = f"{parts.netloc}{parts.path}".strip("/")
    settings = dict(parse_qsl(parts.query))
    unknown = [key for key in settings if key not in SETTINGS]
    if not name or unknown:
        raise BadData(
            f"{source!r} is not understood{f' ({unknown[0]})' if unknown else ''}; "
            f"expected hf://owner/name with ?config=, &split=, &revision= or &streaming=1."
        )
    return name, settings


def _undecoded(part: Any, datasets: Any) -> Any:
    """The data set with images as encoded bytes."""
    for column, feature in (part.features or {}).items():
        if isinstance(feature, datasets.Image):
            part = part.cast_column(column, datasets.Image(decode=False))
    return part


def _names(part: Any, label: str | None) -> list[str] | None:
    feature = (part.features or {}).get(label) if label else None
    names = getattr(feature, "names", None)
    return list(names) if names else None


def _streamed(source: str, title: str, parts: dict[str, Any], options: Data) -> Files:
    folder = cache_folder() / "hub" / f"{title}-{hashlib.sha256(source.encode()).hexdigest()[:12]}"
    files = Files(title, [])
    datasets = require("datasets", "hub")
    for mark, part in parts.items():
        part = _undecoded(part, datasets)
        shards = _fetch(part, folder, mark, options.limit or 0, source)
        if not shards:
            continue
        found = read_parquet(shards, options, title)
        image = image_column(pq.read_schema(shards[0]), source, options)
        label = label_column(pq.read_schema(shards[0]), image, source, options)
        for item in found.items[: options.limit]:
            files.items.append(type(item)(f"{mark} {item.name}", item.read, item.label, split_name(mark)))
        files.class_names = _names(part, label) or found.class_names
    if not files.items:
        raise BadData(f"{source} has no rows.")
    return files


def _fetch(part: Any, folder: Path, mark: str, limit: int, source: str) -> list[Path]:
    """Rows in parquet files of SHARD rows; those that an earlier run has fetched are not fetched again."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = sorted(folder.glob(f"{mark}-*.parquet"))
    have = sum(pq.read_metadata(shard).num_rows for shard in shards)
    rows = iter(part.skip(have)) if have < limit else iter(())
    while have < limit:
        try:
            chunk = list(islice(rows, min(SHARD, limit - have)))
        except Exception as error:  # the network may fail in any way; what has arrived is kept
            raise BadData(
                f"{source}: streaming stopped after {have:,} rows ({error}). Start again to go on from there."
            ) from error
        if not chunk:
            break
        shard = folder / f"{mark}-{len(shards):05d}.parquet"
        temporary = shard.with_suffix(f".{os.getpid()}.tmp")
        pq.write_table(pa.Table.from_pylist(chunk), temporary)
        temporary.replace(shard)
        shards.append(shard)
        have += len(chunk)
    return shards
