"""Sources of a setting, and the messages about settings that do not allow a start."""

from pathlib import Path

import pytest

from app.settings import Settings
from engine.errors import Misconfigured
from engine.settings import SETTINGS_FILES
from engine.settings.loading import load_settings

KEY = "sk-very-secret"
DEFAULT_PORT = Settings.model_fields["port"].default


@pytest.fixture(autouse=True)
def _with_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `.env` and `settings.toml` of the test's own folder count."""
    monkeypatch.delenv(SETTINGS_FILES)


def problems() -> list[str]:
    with pytest.raises(Misconfigured) as raised:
        load_settings(Settings)
    return raised.value.problems


class TestOrigin:
    def test_the_default_comes_last(self) -> None:
        assert load_settings(Settings).port == DEFAULT_PORT

    def test_the_committed_file_stands_above_the_default(self) -> None:
        Path("settings.toml").write_text("port = 1")
        assert load_settings(Settings).port == 1

    def test_the_env_file_stands_above_the_committed_file(self) -> None:
        Path("settings.toml").write_text("port = 1")
        Path(".env").write_text("PORT=2")
        assert load_settings(Settings).port == 2

    def test_the_environment_stands_above_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Path("settings.toml").write_text("port = 1")
        Path(".env").write_text("PORT=2")
        monkeypatch.setenv("PORT", "3")
        assert load_settings(Settings).port == 3

    def test_a_blank_variable_is_not_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Path("settings.toml").write_text("port = 1")
        monkeypatch.setenv("PORT", "")
        assert load_settings(Settings).port == 1

    def test_a_blank_line_of_the_env_file_is_not_set(self) -> None:
        Path(".env").write_text("DATABASE_URL=\nOPENAI_API_KEY=\nPORT=")
        settings = load_settings(Settings)
        assert (settings.database_url, settings.openai_api_key) == (None, None)
        assert settings.port == DEFAULT_PORT

    def test_other_programs_variables_are_no_error(self) -> None:
        Path(".env").write_text("COMPOSE_PROJECT_NAME=mine")
        assert load_settings(Settings).port == DEFAULT_PORT


class TestProduction:
    @pytest.fixture(autouse=True)
    def _production(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("APP_ENV", "production")

    def test_all_gaps_are_told_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MODEL_PROVIDER", "openai")
        named = [problem.split()[0] for problem in problems()]
        assert named == ["DATABASE_URL", "REDIS_URL", "OPENAI_API_KEY"]

    def test_to_do_without_redis_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REDIS_URL", "none")
        assert any(each.startswith("REDIS_URL is none") for each in problems())

    def test_each_gap_is_one_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MODEL_PROVIDER", "openai")
        assert all(each.endswith(".") and ". " not in each for each in problems())

    def test_made_up_answers_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MODEL_PROVIDER", "simulated")
        assert any(each.startswith("MODEL_PROVIDER is simulated") for each in problems())

    def test_a_server_of_ones_own_needs_no_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MODEL_PROVIDER", "openai")
        monkeypatch.setenv("OPENAI_BASE_URL", "http://vllm:8000/v1")
        assert not any("OPENAI_API_KEY" in each for each in problems())

    def test_no_gap_is_no_problem(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", "postgresql://host/db")
        monkeypatch.setenv("REDIS_URL", "redis://host")
        assert load_settings(Settings).production

    def test_development_has_no_gaps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("APP_ENV", "development")
        monkeypatch.setenv("MODEL_PROVIDER", "openai")
        assert not load_settings(Settings).production


class TestBadValues:
    def test_all_wrong_values_are_told_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PORT", "many")
        monkeypatch.setenv("APP_ENV", "staging")
        assert {each.split(":")[0] for each in problems()} == {"PORT", "APP_ENV"}

    def test_a_broken_file_says_which_and_where(self) -> None:
        Path("settings.toml").write_text('service_name = "a"\nport 1')
        [problem] = problems()
        assert "settings.toml" in problem
        assert "line 2" in problem

    def test_a_file_that_is_no_text_says_which(self) -> None:
        Path("settings.toml").write_bytes(b'service_name = "\xff"')
        [problem] = problems()
        assert "settings.toml" in problem

    def test_a_broken_list_names_its_setting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FEATURE_FLAGS", "[triage")
        [problem] = problems()
        assert "feature_flags" in problem


class TestSecrets:
    def test_no_secret_is_in_what_is_printed_of_the_settings(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        assert KEY not in f"{load_settings(Settings)!r} {load_settings(Settings)}"

    def test_no_secret_is_in_the_settings_as_json(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        assert KEY not in load_settings(Settings).model_dump_json()


def test_a_stop_waits_for_load_balancers_where_there_are_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Settings().readiness_seconds == 0
    monkeypatch.setenv("APP_ENV", "production")
    assert Settings().readiness_seconds > 0
    assert Settings(readiness_grace=0).readiness_seconds == 0


def test_every_setting_says_what_it_decides() -> None:
    silent = [name for name, field in Settings.model_fields.items() if not field.description]
    assert silent == []
