"""Bodies and objects of fine-tuning, as OpenAI's clients send and read them."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, Field

from engine.body import NO_NUL, Body
from engine.errors import Unsupported

Auto = Literal["auto"]
FileId = Annotated[str, Field(pattern=r"^[\w-]+$", max_length=40)]
Metadata: TypeAlias = dict[
    Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]
]


class Hyperparameters(Body):
    """Values that the trainer chooses where they are absent or `auto`."""

    batch_size: Auto | Annotated[int, Field(ge=1)] | None = None
    learning_rate_multiplier: Auto | Annotated[float, Field(gt=0)] | None = None
    n_epochs: Auto | Annotated[int, Field(ge=1)] | None = None


class Supervised(Body):
    """Options of supervised fine-tuning."""

    hyperparameters: Hyperparameters | None = None


class TrainingMethod(Body):
    """The method: only `supervised` is handed over."""

    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: Supervised | None = None


class NewFineTuning(Body):
    """Body of `POST /v1/fine_tuning/jobs`."""

    model: str = Field(min_length=1, max_length=200, pattern=NO_NUL)
    training_file: FileId
    validation_file: FileId | None = None
    hyperparameters: Hyperparameters | None = None
    method: TrainingMethod | None = None
    seed: int | None = Field(default=None, ge=0, lt=2**31)
    suffix: str | None = Field(default=None, min_length=1, max_length=64, pattern=NO_NUL)
    metadata: Metadata | None = Field(default=None, max_length=16)
    integrations: list[dict[str, Any]] | None = None

    def refuse_others(self) -> None:
        """Raise `Unsupported` for the parts of the protocol that are not handed over."""
        if self.method and self.method.type != "supervised":
            message = f"Fine-tuning by {self.method.type} is not offered: use `supervised`."
            raise Unsupported(message, param="method.type")
        if self.integrations:
            message = "Integrations are not offered: read the events of the job instead."
            raise Unsupported(message, param="integrations")


class TrainingError(BaseModel):
    """The reason why a fine-tuning failed."""

    code: str
    message: str
    param: str | None = None


class FineTuningJob(BaseModel):
    """OpenAI's `fine_tuning.job`. The provider's result files are not taken over."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    finished_at: int | None
    model: str
    fine_tuned_model: str | None
    organization_id: str
    status: str
    training_file: str
    validation_file: str | None
    result_files: tuple[str, ...] = ()
    error: TrainingError | None
    hyperparameters: dict[str, Any]
    method: dict[str, Any] | None
    seed: int
    suffix: str | None
    trained_tokens: int | None
    estimated_finish: int | None
    metadata: dict[str, str] | None
    integrations: tuple[str, ...] = ()


class FineTuningEvent(BaseModel):
    """OpenAI's `fine_tuning.job.event`."""

    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: Literal["info", "warn", "error"] = "info"
    type: Literal["message", "metrics"] = "message"
    message: str
    data: Any = None


class Checkpoint(BaseModel):
    """OpenAI's `fine_tuning.job.checkpoint`."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    metrics: dict[str, Any] = {}
    step_number: int
