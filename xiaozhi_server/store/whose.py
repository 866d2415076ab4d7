"""Which lines of an exchange are a person's of the household: those that the memory keeps as that person's."""

from ..core.ports import Exchange
from ..core.providers.memory.mem0ai.message import owners_of


def persons_in(exchange: Exchange) -> list[str | None]:
    """For each line the owner of its memories, where that is not the household itself."""
    household = exchange.binding.owner_id
    return [None if owner == household else owner for owner in owners_of(household, exchange.lines)]


def whose(exchange: Exchange) -> set[str]:
    """The household and the persons in it."""
    return {exchange.binding.owner_id, *filter(None, persons_in(exchange))}
