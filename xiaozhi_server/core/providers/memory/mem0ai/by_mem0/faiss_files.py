"""FAISS as mem0 keeps it, in two files: the vectors, and which memory each of them is.

mem0 writes over them in place and goes on where that fails. Here a kill leaves the old ones or the new ones, and what
cannot be written is an error.
"""

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any


class FilesTornError(RuntimeError):
    """The two files do not belong together: whatever is written next would overwrite what is left of them."""


def make_safe(store: Any) -> None:
    """For a store that was just opened. What was being added when somebody was killed is left out."""
    index, names = _paths(store)
    known, vectors = len(store.index_to_id), 0 if store.index is None else int(store.index.ntotal)
    store._save = partial(_save, store)
    if known == vectors and store.index is not None:
        return
    if store.index is None or known > vectors or not _is_json(names):
        raise FilesTornError(f"{index.name} and {names.name} do not belong together")
    import numpy as np

    store.index.remove_ids(np.arange(known, vectors, dtype=np.int64))
    _save(store)


def _save(store: Any) -> None:
    import faiss

    index, names = _paths(store)
    index.parent.mkdir(parents=True, exist_ok=True)
    told = {"docstore": store.docstore, "index_to_id": {str(at): id for at, id in store.index_to_id.items()}}
    text = json.dumps(told, ensure_ascii=False)
    new_index = _beside(index, lambda path: faiss.write_index(store.index, str(path)))
    new_names = _beside(names, lambda path: path.write_text(text, encoding="utf-8"))
    new_index.replace(index)
    new_names.replace(names)
    _to_disk(index.parent)


def _beside(path: Path, write: Callable[[Path], object]) -> Path:
    new = path.with_name(f"{path.name}.new")
    write(new)
    _to_disk(new)
    return new


def _to_disk(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _paths(store: Any) -> tuple[Path, Path]:
    folder = Path(store.path)
    return folder / f"{store.collection_name}.faiss", folder / f"{store.collection_name}.json"


def _is_json(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
    except (OSError, ValueError):
        return False
