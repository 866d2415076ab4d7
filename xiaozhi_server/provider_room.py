"""The recogniser, model and voice that serve turns. Those that need somebody else are asked at the start whether they
serve, and what a preset brought gives way to the embedded one if it does not: alone, and with one line.

What a person named is kept whatever it answers. It knows no turn: who serves changed is told to `on_change`.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain, repeat
from typing import Any

from loguru import logger

from .probing import Answer, put_question
from .settings import (
    ChosenProvider,
    ChosenProviders,
    Settings,
    chosen_by,
    embedded_provider,
    is_chosen_by_preset,
)

KINDS = ("ASR", "LLM", "TTS")
# So long the start waits for answers. A model that is still being loaded takes longer: it is believed until it fails.
PATIENCE_S = 2.0
# A service that was away is asked again after these pauses, and then every time after the last one.
PAUSES_S = (5.0, 15.0, 30.0, 60.0, 300.0)
ADVICE = "see `python -m xiaozhi_server check` and docs/topics/models.md"


class ProviderRoom:
    """Made and started on the running loop. `room["LLM"]` is the one that serves now."""

    def __init__(self, settings: Settings, chosen: ChosenProviders, pauses_s: Iterable[float] = PAUSES_S) -> None:
        self.on_change: Callable[[str], None] = lambda _: None
        self._settings = settings
        self._chosen = chosen
        self._pauses_s = tuple(pauses_s)
        self._embedded = {kind: embedded_provider(settings, kind) for kind in KINDS}
        self._made: dict[tuple[str, str], Any] = {}
        self._in_use = {kind: chosen[kind] for kind in KINDS}
        self._first_answers: list[asyncio.Event] = []
        self._watches: list[asyncio.Task[None]] = []

    def __getitem__(self, kind: str) -> Any:
        return self._instance(self._in_use[kind])

    @property
    def chosen(self) -> ChosenProviders:
        """What was chosen, with what took its place."""
        return replace(self._chosen, by_kind={**self._chosen.by_kind, **self._in_use})

    def start(self) -> None:
        """Begin to ask. The embedded ones need no question: they come with the installation."""
        for kind in KINDS:
            if self._chosen[kind].type_name != self._embedded[kind].type_name:
                answered = asyncio.Event()
                watch = self._watch(self._chosen[kind], answered)
                self._watches.append(asyncio.create_task(watch, name=f"asking the {kind}"))
                if is_chosen_by_preset(self._settings, kind):
                    self._first_answers.append(answered)

    async def settle(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until all that may give way have answered, but not for long."""
        try:
            async with asyncio.timeout(patience_s):
                for answered in self._first_answers:
                    await answered.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        watches, self._watches = self._watches, []
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)
        made, self._made = list(self._made.values()), {}
        for provider in made:
            await provider.close()

    def _instance(self, chosen: ChosenProvider) -> Any:
        key = chosen.kind, chosen.name
        if key not in self._made:
            assert chosen.provider_class is not None
            self._made[key] = chosen.provider_class(chosen.config)
        return self._made[key]

    async def _watch(self, chosen: ChosenProvider, answered: asyncio.Event) -> None:
        provider = self._instance(chosen)
        answer = await put_question(provider.probe)
        if answer.ok:
            logger.info("{} {}: {} answers ({:.0f} ms)", chosen.kind, chosen.name, answer.detail, answer.took_ms)
        elif is_chosen_by_preset(self._settings, chosen.kind):
            self._give_way(chosen, answer)
        else:
            self._warn(chosen, answer)
        answered.set()
        if not answer.ok and not answer.lasting and self._in_use[chosen.kind] is not chosen:
            await self._win_back(chosen)

    async def _win_back(self, chosen: ChosenProvider) -> None:
        """A server that starts before its network must not stay with the embedded ones for all its life."""
        for pause_s in chain(self._pauses_s, repeat(self._pauses_s[-1])):
            await asyncio.sleep(pause_s)
            answer = await put_question(self._instance(chosen).probe)
            if answer.ok:
                self._use(chosen.kind, chosen)
                logger.info("{} {}: answers now and is used", chosen.kind, chosen.name)
            if answer.ok or answer.lasting:
                return

    def _give_way(self, chosen: ChosenProvider, answer: Answer) -> None:
        embedded = self._embedded[chosen.kind]
        self._use(chosen.kind, embedded)
        what_then = ADVICE if answer.lasting else "it is asked again and used once it answers"
        logger.warning(
            "{} does not serve ({}): the embedded {} is used; {}",
            self._named(chosen), answer.detail, embedded.name, what_then,
        )  # fmt: skip

    def _warn(self, chosen: ChosenProvider, answer: Answer) -> None:
        logger.warning(
            "{} does not serve ({}): it is named there, so nothing takes its place and turns fail until it does; {}",
            self._named(chosen), answer.detail, ADVICE,
        )  # fmt: skip

    def _named(self, chosen: ChosenProvider) -> str:
        return f"{chosen_by(self._settings, chosen.kind)}: selected_module.{chosen.kind}: {chosen.name}"

    def _use(self, kind: str, chosen: ChosenProvider) -> None:
        self._in_use[kind] = chosen
        self.on_change(kind)
