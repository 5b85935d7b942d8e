"""Fine-tuning."""

from pydantic import BaseModel, ConfigDict

from engine.settings.values import Count, Positive, Seconds


class OptionSettings(BaseModel):
    """Fine-tuning."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    # Fine-tuning
    fine_tuning_flag: str | None = None
    """Feature flag that a caller must have to start a fine-tuning, which the provider charges.
    Unset: every caller may."""
    fine_tuning_open_jobs: Count = 3
    """Fine-tunings of one caller that may be unfinished at once."""
    fine_tuning_tokens: Count = 10_000_000
    """Most tokens of a training file with its validation file."""
    fine_tuned_models_shared: tuple[str, ...] = ()
    """Names of fine-tuned models that every caller may use: a JSON list. All other names that begin
    with `ft:` belong to the caller whose job made them."""
    fine_tuning_poll_seconds: Positive = 1.0
    """Time until the provider is asked how a training is, after each change; a minute at most. The
    time doubles while nothing changes."""
    fine_tuning_settle_seconds: Positive = 5.0
    """Time in which a call of a killed worker may still be at work at the provider. Then the next
    attempt looks for what it made."""
    simulated_training_seconds: Seconds = 0.5
    """Time of a fine-tuning of the `simulated` provider, which trains nothing."""
