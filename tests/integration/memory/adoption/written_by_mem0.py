"""Fills a table by means of mem0 itself, whichever version runs this, with all that tables of mem0's have been seen to
hold. Needs nothing of ours, since it runs where that version is installed:

    python written_by_mem0.py CONNECTION_STRING OPENAI_BASE_URL COLLECTION HISTORY_FILE

What that version would not write (it checks more than an older one did) is put into the table by statements, last.
"""

import json
import sys
from typing import Any

import psycopg
from mem0 import Memory

DIMENSIONS = 1536
KEY = {"api_key": "nobody's"}
APP = "app-1"
# As mem0 has written the date of a memory in the course of time, and as it has been found.
DATES = {
    "Los Angeles summer time": "2025-06-01T08:15:30.123456-07:00",
    "Greenwich": "2025-06-02T08:15:30Z",
    "no zone": "2025-06-03T08:15:30",
    "no date": "last Tuesday",
    "far ahead": "2999-01-01T00:00:00+00:00",
}


class Told:
    """In place of a model: it always finds this one fact, in the form that each version of mem0 asks for."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.fact = ""
        self.as_text = False

    def generate_response(self, *_: Any, **__: Any) -> str:
        found = {"id": "0", "text": self.fact, "event": "ADD", "attributed_to": "user"}
        return self.fact if self.as_text else json.dumps({"facts": [self.fact], "memory": [found]}, ensure_ascii=False)


def opened(dsn: str, base_url: str, collection: str, history: str) -> Memory:
    model = {**KEY, "openai_base_url": base_url}
    store = {"connection_string": dsn, "collection_name": collection, "embedding_model_dims": DIMENSIONS}
    config = {
        "llm": {"provider": "openai", "config": {**model, "model": "stand-in"}},
        "embedder": {"provider": "openai", "config": {**model, "embedding_dims": DIMENSIONS}},
        "vector_store": {"provider": "pgvector", "config": store},
        "history_db_path": history,
    }
    return Memory.from_config(config)


def user(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **more}


def add(memory: Memory, *messages: dict[str, Any], **where: Any) -> list[str]:
    return [one["id"] for one in memory.add(list(messages), infer=False, **where)["results"]]


def what_people_said(memory: Memory) -> list[str]:
    """Ann's memories, one of which was corrected and one deleted."""
    taste = {"category": "taste", "nested": {"a": [1, "二"]}}
    ids = add(memory, user("I like green tea."), user_id="ann", agent_id="kitchen", metadata=taste)
    ids += add(
        memory, user("My dog is called Rex."), {"role": "assistant", "content": "Rex is a fine name."}, user_id="ann"
    )
    ids += add(memory, user("I row on Sundays.", name="Ben"), user_id="ann", agent_id="kitchen", run_id="run-7")
    implicit = {"memory_subtype": "episodic", "memory_origin": "implicit"}
    ids += add(memory, user("上周我们去了杭州西湖。"), user_id="ann", metadata=implicit)
    (moved,) = add(memory, user("I live in Munich."), user_id="ann", agent_id="kitchen")
    memory.update(moved, "I live in Berlin.")
    (wrong,) = add(memory, user("I hate dogs."), user_id="ann")
    memory.delete(wrong)
    add(memory, user("我最喜欢的颜色是青色。"), user_id="小明", agent_id="kitchen")
    for what, date in DATES.items():
        add(memory, user(f"This memory has a date: {what}."), user_id="ann", metadata={"created_at": date})
    return [*ids, moved]


def what_a_model_made(memory: Memory) -> None:
    memory.llm = told = Told(memory.llm.config)
    told.fact = "Ann's sister is called Clara."
    memory.add("My sister is called Clara.", user_id="ann", agent_id="kitchen")
    told.as_text, told.fact = True, "1. Boil water. 2. Wait a minute. 3. Pour it over the leaves."
    memory.add([user("How is tea made?")], agent_id="cook", memory_type="procedural_memory")


def what_names_no_user(memory: Memory) -> None:
    add(memory, user("The kitchen has a new oven."), agent_id="kitchen")
    add(memory, user("This run is about soup."), run_id="run-9")


def what_the_plugin_notes(memory: Memory, ids: list[str]) -> None:
    """As mem0's plugin for Dify stores it: texts of JSON with marks in the metadata, a boolean in older rows."""
    log = {
        ids[0]: {"last_recalled_at": "2025-07-01T10:00:00+00:00", "recall_count": 4, "quality_ema": 0.75},
        ids[1]: {"last_recalled_at": "2025-07-02T10:00:00", "recall_count": 1, "quality_ema": 0.5},
        "not an id": {"recall_count": "many"},
    }
    read = {
        "last_processed_message_id": "m9",
        "processed_range_start": "2025-07-01",
        "processed_range_end": "2025-07-02",
    }
    lock = {"lock_id": f"lock:extraction:ann:{APP}", "holder_id": "h1", "acquired_at": "2025-07-02", "ttl_seconds": 60}
    task = {"task_id": "extract_0123456789ab", "status": "completed", "progress": 1.0}
    ann = {"user_id": "ann", "agent_id": APP}
    for mark, kind, content, where, more in (
        ("true", "access_log", log, ann, {}),
        (True, "access_log", {ids[2]: {"recall_count": 2}}, {"user_id": "ann"}, {}),
        ("true", "checkpoint", {"conversations": {"c1": read}}, ann, {}),
        (True, "checkpoint", {"conversations": {}}, {"user_id": "小明", "agent_id": APP}, {}),
        ("true", "extraction_task", task, {"user_id": "memory_extractor"}, {"task_id": task["task_id"]}),
        ("true", "distributed_lock", lock, ann, {"lock_resource": "extraction", "app_id": APP}),
    ):
        marks = {"__internal": mark, "internal_type": kind, "version": "v1", **more}
        add(memory, user(json.dumps(content, ensure_ascii=False)), metadata=marks, **where)


def what_is_new_in_2(memory: Memory, ids: list[str]) -> None:
    memory.add([user("The heating is repaired until March.")], user_id="ann", infer=False, expiration_date="2031-03-01")
    memory.add([user("My library card ran out.")], user_id="ann", infer=False, expiration_date="2025-07-31")
    memory._upsert_entity("Rex", "PERSON", ids[1], {"user_id": "ann"})
    memory._upsert_entity("杭州", "LOCATION", ids[4], {"user_id": "ann"})


def what_mem0_would_not_write(dsn: str, collection: str) -> None:
    numbered = "00000000-0000-4000-8000-{:012d}"
    large = {"data": "I have a long list.", "user_id": "ann", "list": ["x" * 100] * 300}
    rows: list[object] = [
        None,
        {"user_id": "ann", "hash": "x"},
        {"data": "   ", "user_id": "ann"},
        {"data": "Whose am I?", "user_id": " ann "},
        {"data": "Everybody's secret.", "user_id": "*"},
        {"data": "I am a number.", "user_id": 7},
        {"data": "I have no date at all.", "user_id": "ann"},
        large,
    ]
    with psycopg.connect(dsn) as connection:
        for number, payload in enumerate(rows):
            written = None if payload is None else json.dumps(payload)
            connection.execute(
                f'INSERT INTO "{collection}" (id, vector, payload) VALUES (%s, NULL, %s)',
                (numbered.format(number), written),
            )


def main(dsn: str, base_url: str, collection: str, history: str) -> None:
    memory = opened(dsn, base_url, collection, history)
    ids = what_people_said(memory)
    what_a_model_made(memory)
    what_names_no_user(memory)
    what_the_plugin_notes(memory, ids)
    if hasattr(memory, "entity_store"):
        what_is_new_in_2(memory, ids)
    what_mem0_would_not_write(dsn, collection)


if __name__ == "__main__":
    main(*sys.argv[1:])
