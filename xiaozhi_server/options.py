"""The settings as each room wants them: plain values, no behaviour. Rooms themselves never see the settings."""

from .core.connection import ConnectionOptions
from .core.conversation import ConversationOptions
from .core.hearing.options import HearingOptions
from .core.ports import AgentProfile
from .core.providers.memory.base import MemoryRules
from .core.providers.vad.silero import SileroConfig
from .core.turn.inputs import TurnOptions
from .core.websocket_server import ServerOptions
from .http.ota import OtaOptions
from .memory_plan import recall_deadline_s
from .settings import ChosenProviders, Settings
from .store.database import DatabaseOptions


def default_agent(settings: Settings, chosen: ChosenProviders) -> AgentProfile:
    """Who answers a device that has no agent of its own."""
    agent = settings.agent
    return AgentProfile(
        id=agent.id,
        name=agent.name,
        prompt=settings.prompt,
        language=agent.language,
        memory_enabled=chosen["Memory"].type_name != "nomem",
        history=agent.history,
        summary_memory=agent.summary_memory or None,
        timezone=agent.timezone,
        memory_rules=MemoryRules(**agent.memory.model_dump()),
    )


def database_options(settings: Settings) -> DatabaseOptions:
    database = settings.database
    return DatabaseOptions(pool_max=database.pool_size, statement_timeout_s=database.statement_timeout_s)


def turn_options(settings: Settings, chosen: ChosenProviders) -> TurnOptions:
    turn, memory, audio = settings.turn, settings.memory, settings.xiaozhi.audio_params
    return TurnOptions(
        sample_rate=audio.sample_rate,
        frame_ms=audio.frame_duration,
        recall_limit=memory.recall_limit,
        recall_deadline_s=recall_deadline_s(settings, chosen["Memory"]),
        filler_after_s=turn.filler_after_ms / 1000,
        asr_timeout_s=turn.asr_timeout_s,
        llm_first_token_timeout_s=turn.llm_first_token_timeout_s,
        llm_stall_timeout_s=turn.llm_stall_timeout_s,
        tts_first_audio_timeout_s=settings.tts_timeout,
        tts_stall_timeout_s=settings.tts_timeout,
    )


def hearing_options(settings: Settings, vad: SileroConfig) -> HearingOptions:
    """What the detector's own entry says about hearing wins: that is where the reference's users wrote it."""
    hearing, default = settings.hearing, HearingOptions()
    return HearingOptions(
        threshold=vad.threshold or default.threshold,
        threshold_low=vad.threshold_low or default.threshold_low,
        patience_ms=vad.min_silence_duration_ms or hearing.patience_ms,
        min_voiced_ms=vad.min_speech_duration_ms or default.min_voiced_ms,
        pre_roll_ms=hearing.pre_roll_ms,
        gap_ms=hearing.gap_ms,
        auto_cap_s=hearing.max_utterance_s,
        manual_cap_s=hearing.max_utterance_manual_s,
        queue_ms=settings.limits.max_queued_sound_ms,
        max_packet_bytes=settings.limits.max_audio_frame_bytes,
    )


def connection_options(settings: Settings) -> ConnectionOptions:
    audio = settings.xiaozhi.audio_params
    return ConnectionOptions(
        sample_rate=audio.sample_rate,
        frame_ms=audio.frame_duration,
        hello_timeout_s=settings.limits.hello_timeout_s,
        idle_close_s=settings.close_connection_no_voice_time,
        goodbye_when_idle=settings.end_prompt.enable,
        max_audio_frame_bytes=settings.limits.max_audio_frame_bytes,
        conversation=ConversationOptions(
            wake_words=settings.wakeup_words,
            greet=settings.enable_greeting,
            turns_per_minute=settings.limits.turns_per_minute,
        ),
    )


def server_options(settings: Settings) -> ServerOptions:
    server, limits = settings.server, settings.limits
    return ServerOptions(
        host=server.ip,
        port=server.port,
        max_connections=limits.max_connections,
        max_pending_connections=limits.max_pending_connections,
        replacements_per_minute=limits.replacements_per_minute,
        max_message_bytes=limits.max_message_bytes,
        messages_per_second=limits.messages_per_second,
        message_burst=limits.message_burst,
        max_unsent_bytes=limits.max_unsent_bytes,
        send_deadline_s=limits.send_timeout_s,
    )


def ota_options(settings: Settings, websocket_port: int) -> OtaOptions:
    server = settings.server
    return OtaOptions(websocket_port, server.websocket, settings.agent.timezone, tls=bool(server.tls.cert))
