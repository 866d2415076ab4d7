"""Text as PostgreSQL can hold it: devices and models send more than that."""


def storable(text: str, limit: int | None = None) -> str:
    """Without zero characters and halves of surrogate pairs, cut to the width of its column."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")[:limit]
