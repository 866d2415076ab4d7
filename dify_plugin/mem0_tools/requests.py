"""What each tool was asked for, read from its parameters."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import constants
from .errors import ToolInputError
from .owners import Whose, whose
from .parameters import Parameters, flag_of, names_of, number_of, object_of, required_text, text_of, whole_number

_LONGEST_CURSOR = 500


@dataclass(frozen=True, slots=True)
class AddRequest:
    messages: tuple[dict[str, str], ...]
    user_id: str
    agent_id: str | None
    metadata: dict[str, Any] | None
    infer: bool
    instruction: str


@dataclass(frozen=True, slots=True)
class SearchRequest:
    query: str
    whose: Whose
    top_k: int


@dataclass(frozen=True, slots=True)
class ListRequest:
    whose: Whose
    limit: int
    cursor: str | None


@dataclass(frozen=True, slots=True)
class OneRequest:
    """`user_id` must be the owner, where it is said."""

    memory_id: str
    user_id: str | None
    text: str = ""


@dataclass(frozen=True, slots=True)
class DeleteAllRequest:
    user_id: str
    agent_id: str | None

    @property
    def filters(self) -> dict[str, str]:
        return {"user_id": self.user_id, **({"agent_id": self.agent_id} if self.agent_id else {})}


@dataclass(frozen=True, slots=True)
class ExtractRequest:
    user_ids: tuple[str, ...]
    app_id: str
    dify_base_url: str
    dify_api_key: str = field(repr=False)
    days_back: int = constants.DEFAULT_DAYS_BACK
    conversations_limit: int = constants.DEFAULT_CONVERSATIONS_LIMIT
    max_tokens: int = constants.DEFAULT_MAX_TOKENS_K * 1000
    time_budget_s: int = constants.EXTRACTION_TIME_BUDGET
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class StatusRequest:
    task_id: str


@dataclass(frozen=True, slots=True)
class PersonRequest:
    """A user with one app, or with any."""

    user_id: str
    app_id: str | None
    dry_run: bool = False


def add_request(parameters: Parameters) -> AddRequest:
    """Blank messages are left out, and an assistant that only repeats the user."""
    user, assistant = text_of(parameters, "user"), text_of(parameters, "assistant")
    messages = [{"role": "user", "content": user}] if user else []
    if assistant and assistant != user:
        messages.append({"role": "assistant", "content": assistant})
    return AddRequest(
        tuple(messages),
        required_text(parameters, "user_id"),
        text_of(parameters, "agent_id") or None,
        object_of(parameters, "metadata"),
        flag_of(parameters.get("infer"), default=True),
        text_of(parameters, "custom_fact_extraction_prompt"),
    )


def search_request(parameters: Parameters) -> SearchRequest:
    query = required_text(parameters, "query")
    top_k = whole_number(
        parameters, "top_k", default=constants.SEARCH_DEFAULT_TOP_K, least=1, most=constants.SEARCH_MAX_TOP_K
    )
    return SearchRequest(query, _whose(parameters), top_k)


def retrieve_request(parameters: Parameters) -> SearchRequest:
    """What the first plugin of that name asked: a question and a user, nothing else."""
    query, user_id = required_text(parameters, "query"), required_text(parameters, "user_id")
    return SearchRequest(query, Whose(user_id, None, None), constants.SEARCH_DEFAULT_TOP_K)


def list_request(parameters: Parameters) -> ListRequest:
    limit = whole_number(
        parameters, "limit", default=constants.GET_ALL_DEFAULT_LIMIT, least=1, most=constants.GET_ALL_MAX_LIMIT
    )
    cursor = text_of(parameters, "cursor")
    if len(cursor) > _LONGEST_CURSOR:
        raise ToolInputError("cursor is none that this tool gave: begin again without one")
    try:
        return ListRequest(_whose(parameters), limit, cursor or None)
    except ToolInputError as error:
        if str(error).startswith("Invalid JSON"):  # the words that workflows know of this tool
            raise ToolInputError("Invalid JSON format for filters") from None
        raise


def one_request(parameters: Parameters) -> OneRequest:
    return OneRequest(required_text(parameters, "memory_id"), text_of(parameters, "user_id") or None)


def update_request(parameters: Parameters) -> OneRequest:
    memory_id = required_text(parameters, "memory_id")
    try:
        uuid.UUID(memory_id)
    except ValueError:
        raise ToolInputError("memory_id must be a valid UUID") from None
    return OneRequest(memory_id, text_of(parameters, "user_id") or None, required_text(parameters, "text"))


def delete_all_request(parameters: Parameters) -> DeleteAllRequest:
    return DeleteAllRequest(required_text(parameters, "user_id"), text_of(parameters, "agent_id") or None)


def extract_request(parameters: Parameters) -> ExtractRequest:
    budget = number_of(parameters.get("time_budget"))
    seconds = constants.EXTRACTION_TIME_BUDGET
    if budget is not None:
        seconds = int(min(max(budget, constants.MIN_TIME_BUDGET_MINUTES), 1e6) * 60)
    return ExtractRequest(
        user_ids=names_of(parameters, "user_ids"),
        app_id=required_text(parameters, "app_id"),
        dify_base_url=required_text(parameters, "dify_base_url"),
        dify_api_key=required_text(parameters, "dify_api_key"),
        days_back=whole_number(
            parameters, "days_back", default=constants.DEFAULT_DAYS_BACK, least=1, most=constants.MAX_DAYS_BACK
        ),
        conversations_limit=whole_number(
            parameters,
            "conversations_limit",
            default=constants.DEFAULT_CONVERSATIONS_LIMIT,
            least=constants.MIN_CONVERSATIONS_LIMIT,
            most=constants.MAX_CONVERSATIONS_LIMIT,
        ),
        max_tokens=1000
        * whole_number(
            parameters,
            "max_tokens_per_conversation",
            default=constants.DEFAULT_MAX_TOKENS_K,
            least=1,
            most=constants.MAX_TOKENS_K,
        ),
        time_budget_s=seconds,
        run_id=text_of(parameters, "run_id"),
    )


def status_request(parameters: Parameters) -> StatusRequest:
    return StatusRequest(required_text(parameters, "task_id"))


def checkpoint_request(parameters: Parameters) -> PersonRequest:
    return PersonRequest(required_text(parameters, "user_id"), text_of(parameters, "app_id") or None)


def forget_request(parameters: Parameters) -> PersonRequest:
    """What is no boolean only shows: nothing is deleted by a word that nobody understood."""
    given = parameters.get("dry_run")
    dry_run = given is not None and given != "" and flag_of(given, default=True)
    return PersonRequest(required_text(parameters, "user_id"), text_of(parameters, "app_id") or None, dry_run)


def _whose(parameters: Parameters) -> Whose:
    filters: Mapping[str, Any] | None = object_of(parameters, "filters")
    return whose(text_of(parameters, "user_id"), text_of(parameters, "agent_id"), filters)
