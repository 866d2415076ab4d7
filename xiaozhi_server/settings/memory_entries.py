"""What an entry of the `Memory` map may say, for the types whose providers are not made by the registry."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

CONTEXT_TOKENS = 8192


class Mem0Part(BaseModel):
    """One of mem0's own objects. What stands in `config` is mem0's business."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    provider: str = Field(min_length=1)
    config: dict[str, Any] = Field(default_factory=dict, repr=False)


class AdoptEntry(BaseModel):
    """A table that mem0 itself has filled, with mem0's own names: its memories come over to our database.

    `same_embedder`: its vectors were made by the embedder that is set here, and are kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    collection_name: str = Field(min_length=1, max_length=200)
    connection_string: SecretStr = SecretStr("")
    same_embedder: bool = False


class CacheEntry(BaseModel):
    """A Redis in which several processes share answers, each for `ttl_s`.

    Without one answers are not kept: memories at hand in this process are dropped as soon as they change, not by time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    redis_url: SecretStr = SecretStr("")
    ttl_s: float = Field(default=60.0, gt=0, le=86_400)


class Mem0aiEntry(BaseModel):
    """Without a key memories stay in our own database; with one Mem0's platform keeps them.

    `api_version` is taken from the reference server's files: the platform's present interface has no use for it.
    `fallback`: what remembers while the platform is away.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    api_key: SecretStr = SecretStr("")
    host: str = Field(default="", pattern=r"^(https?://[^\s/?#]+(/[^\s?#]*)?)?$")
    api_version: str = ""
    fallback: Literal["", "self_hosted"] = ""
    # Of our own database: everything is embedded where nothing is said.
    llm: Mem0Part | None = None
    embedder: Mem0Part | None = None
    vector_store: Mem0Part | None = None
    reranker: Mem0Part | None = None
    adopt: AdoptEntry | None = None
    cache: CacheEntry = CacheEntry()
    context_tokens: int = Field(default=CONTEXT_TOKENS, ge=2048, le=10_000_000)  # of the llm

    @field_validator("llm", mode="before")
    @classmethod
    def _no_name(cls, value: object) -> object:
        """The reference server's files name an entry of their LLM map here, for a type of their own."""
        return None if isinstance(value, str) else value

    def parts(self) -> dict[str, Any]:
        """mem0's objects as they were given, and what is to be adopted."""
        given = {"llm": self.llm, "embedder": self.embedder, "vector_store": self.vector_store}
        given["reranker"] = self.reranker
        parts = {name: part.model_dump() for name, part in given.items() if part is not None}
        if self.adopt is not None:
            address = self.adopt.connection_string.get_secret_value()
            parts["adopt"] = {**self.adopt.model_dump(), "connection_string": address}
        return parts


class LocalShortEntry(BaseModel):
    """`llm` names the entry of the LLM map that writes the notes; empty: the one that talks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    llm: str = ""
    max_tokens: int = Field(default=600, ge=100, le=8000)


ENTRIES: dict[tuple[str, str], type[BaseModel]] = {
    ("Memory", "mem0ai"): Mem0aiEntry,
    ("Memory", "mem_local_short"): LocalShortEntry,
}
