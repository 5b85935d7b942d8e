"""The model and its slots."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from engine.settings.urls import Discreet, HttpUrl
from engine.settings.values import (
    Amount,
    Count,
    Key,
    Positive,
    Seconds,
    Share,
)

OPENAI_URL = "https://api.openai.com/v1"
Responses = Literal["native", "chat"]


class Fallback(Discreet):
    """A provider that stands in for the first one. Fields not given are as in the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: str = "openai"
    base_url: HttpUrl | None = None
    api_key: Key | None = None
    responses: Responses | None = None
    """As `openai_responses`; unset beside a `base_url`, as it is unset."""
    model: str | None = None
    """The model that it is asked for. Unset: the caller's."""
    slots: Count | None = None


class ModelSettings(BaseModel):
    """The model and its slots."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    # Model
    model_provider: str = "local"
    """`local`: a small model in this process. `openai`: any OpenAI-compatible server.
    `simulated`: deterministic text, for tests and load tests."""
    default_model: str | None = None
    """Model that the app's own features ask. Unset: the first that the provider lists."""
    local_model_path: Path | None = None
    """A GGUF file for the `local` provider. Unset: SmolLM2-135M-Instruct from its package."""
    local_context: Count = 2048
    """Tokens of prompt and answer that one local conversation may have."""
    local_parallel: Count = 2
    """Conversations that the local model generates at once; more wait."""
    local_threads: Count = 1
    """Processor threads of the local model. Beside other work two are slower than one."""
    openai_base_url: HttpUrl = OPENAI_URL
    """Server of the `openai` provider: OpenAI, vLLM, Ollama, llama.cpp, LiteLLM or this app."""
    openai_api_key: Key | None = None
    """Key for `openai_base_url`. Servers that need none may go without."""
    openai_responses: Responses | None = None
    """`native`: the server gets a request for a response itself. `chat`: it gets a chat, which
    every server knows. Unset: `native` for api.openai.com, else `chat`."""
    responses_hosted_tools: tuple[str, ...] = ()
    """Tools that a `native` server runs itself, such as `["web_search"]`, and callers may use."""
    simulated_latency: Seconds = 0.05
    """Time to the first token of the `simulated` provider."""
    simulated_tokens_per_second: Positive = 200.0
    """Speed of the `simulated` provider after its first token."""
    simulated_parallel: Count = 1000
    """Calls that the `simulated` provider of one process answers at once; more wait."""
    simulated_error_rate: Share = 0.0
    """Share of simulated calls, 0 to 1, that fail with a server error."""
    simulated_rate_limit_rate: Share = 0.0
    """Share of simulated calls, 0 to 1, that are refused as too many."""
    simulated_seed: int = 0
    """Two processes with the same seed give the same answers and the same errors."""

    model_slots: Count | None = None
    """Calls to the model at once, from all processes together. Unset: `local_parallel` on each
    machine, `simulated_parallel`, or 50 for `openai`. The provider's refusals lower it."""
    model_slots_reserve: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the slots that batches leave free for the next online caller. Of 2, 5 and 10 of 50
    none was better than another; without a reserve, callers waited for a whole call of a batch."""
    model_slot_lease: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 6.0
    """After this time the slots of a process that was killed are free again."""
    model_slot_wait: Seconds = 20.0
    """Longest wait of an online call for its slot; then it is refused."""
    model_slot_target: Seconds = 2.0
    """CoDel: longest wait once there has been a queue for `model_slot_wait`. A caller behind ten
    calls of other callers has often gone by then."""
    model_slots_alone: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the slots that online calls use while Redis is away: each process takes its part.
    Half, since processes do not know of one that started while Redis was away. Batches wait."""
    batch_pause_wait: Seconds = 1.0
    """Wait of an online call for its slot from which on batches pause for some seconds."""
    model_pause_max: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    """Longest pause of a model for which its provider asks with `Retry-After`.
    `app model resume` ends it sooner."""
    model_requests_per_minute: Amount = 0
    """Calls a minute that the provider allows, from all processes together. 0: no limit."""
    model_tokens_per_minute: Amount = 0
    """Tokens a minute that it allows, as OpenAI counts them at its door. 0: no limit."""
    model_retries: Amount = 1
    """Times that an online call is tried again where that may help and few calls fail. One, since
    OpenAI's clients try twice by themselves. Items of batches have `batch_attempts`."""
    model_fallbacks: tuple[Fallback, ...] = ()
    """Providers to ask, in this order, where the first one fails or is full: a JSON list of
    `{"provider": "openai", "base_url": "https://…", "api_key": "…", "model": "…", "slots": 10}`,
    with `"responses"` as in `openai_responses`."""
    batch_openai_base_url: HttpUrl | None = None
    """Server of the `openai` provider for batches, which then have slots of their own."""
    batch_openai_api_key: Key | None = None
    """Key for batches, which then have slots of their own."""

    @property
    def native_responses(self) -> bool:
        """Whether the provider gets requests for responses itself: see `openai_responses`."""
        by_openai = urlsplit(self.openai_base_url).hostname == urlsplit(OPENAI_URL).hostname
        spoken = self.openai_responses or ("native" if by_openai else "chat")
        return self.model_provider == "openai" and spoken == "native"

    @property
    def slots(self) -> int:
        """`model_slots`, or the default of the provider where it is unset."""
        parallel = {"local": self.local_parallel, "simulated": self.simulated_parallel}
        return self.model_slots or parallel.get(self.model_provider, 50)
