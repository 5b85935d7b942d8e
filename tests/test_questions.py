"""Bad answers are refused with a sentence that says what to type; good ones arrive unchanged."""

import sys
import tomllib
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from copier import run_copy
from jinja2 import Environment, FileSystemLoader

from tests.conftest import REPOSITORY

FREE = {"project_name": 60, "description": 200, "author": 100}
QUESTIONS = {
    name: question
    for name, question in yaml.safe_load((REPOSITORY / "copier.yml").read_text()).items()
    if not name.startswith("_") and name != "since_1_0"  # never asked
}
PLAIN_FOLDERS = [f"/{name}" for name in ("app", "doctor", "engine", "migrations", "tests")]
"""No answer gets there: they are left out for speed."""
CHOSEN = [
    name
    for name, question in QUESTIONS.items()
    if "choices" in question and not question.get("multiselect")
]
ODD = {
    "parent": "../../outside",
    "absolute": "/tmp/outside",
    "dots": "..",
    "single quote": "it's",
    "double quotes": 'say "hi"',
    "triple quotes": '"""',
    "backslash": "C:\\new\\table\\",
    "emoji": "🦊 fox 👩‍👩‍👧",
    "persian": "می\u200cبینم",  # joiners between letters belong to the writing
    "hindi": "क्\u200dष",
    "jinja expression": "{{ 7 * 7 }}",
    "jinja block": "{% raw %}",
    "jinja comment": "{# gone #}",
    "toml": '" ] } x = 1 #',
    "yaml": "a: b # {c}",
    "shell": "$(touch outside); `touch outside`",
    "option": "--help",
    "html": "<script>alert(1)</script>",
}
BAD = {
    "toml lines": '" \n[tool]\nx = "',
    "line break": "one\ntwo",
    "last line break": "one\n",
    "carriage return": "one\rtwo",
    "tab": "one\ttwo",
    "null": "a\0b",
    "delete": "a\x7fb",
    "next line": "a\x85b",
    "right to left": "a\u202eb",
    "left to right mark": "a\u200eb",
    "line separator": "a\u2028b",
    "byte order mark": "\ufeffa",
    "empty": "",
    "spaces": "   ",
    "zero width": "\u200b\u200d",
    "space at the end": "fox ",
    "201 characters": "x" * 201,
}
INVISIBLE = {
    "soft hyphen": "\xad",
    "word joiner": "\u2060",
    "hangul fillers": "\u115f\u1160\u3164\uffa0",
    "variation selectors": "\ufe0e\ufe0f\U000e0100",
    "tags": "\U000e0001\U000e0066\U000e007f",
    "braille blank": "\u2800",
    "between spaces": "\u200b \u200b",
    "grapheme joiner": "\u034f",
    "mongolian separators": "\u180b\u180e",
    "every character that formats": "".join(
        sign for sign in map(chr, range(sys.maxunicode)) if unicodedata.category(sign) == "Cf"
    ),
}
SEEN = {
    "family": "👩\u200d👩\u200d👧",
    "flag of tags": "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "red heart": "❤\ufe0f",
    "joiner of an unfinished word": "ب\u200d",
    "soft hyphen in a word": "co\xadop",
    "digit": "7",
    "sign": "§",
    "hangul": "한",
    "braille": "⠃",
}
DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
RESERVED = ["default", "kube-system", "kube-public", "kube-node-lease", "kube-a"]
HOSTILE = {**ODD, **BAD, "200 characters": "x" * 200}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder in which nothing but `inside/project` may appear."""
    return tmp_path


def copy(working_tree: Path, outside: Path, answers: dict[str, str]) -> Path:
    """Render into `outside/inside/project` and check that nothing else came to be."""
    project = outside / "inside" / "project"
    project.parent.mkdir()
    try:
        source = str(working_tree)
        run_copy(source, project, answers, defaults=True, quiet=True, exclude=PLAIN_FOLDERS)
    finally:
        assert list(outside.iterdir()) == [project.parent]
        assert list(project.parent.iterdir()) in ([], [project])
    return project


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_an_odd_line_arrives_unchanged(working_tree: Path, outside: Path, answer: str) -> None:
    project = copy(working_tree, outside, dict.fromkeys(FREE, answer))
    settings = tomllib.loads((project / "settings.toml").read_text())
    answers = yaml.safe_load((project / ".copier-answers.yml").read_text())
    assert [answers[question] for question in FREE] == [answer] * len(FREE)
    assert settings["service_name"] == answer
    assert settings["service_description"] == answer
    assert answer in (project / "LICENSE").read_text()


@pytest.mark.parametrize("question", FREE)
@pytest.mark.parametrize("answer", BAD.values(), ids=BAD)
def test_a_line_that_cannot_be_is_refused(
    working_tree: Path, outside: Path, question: str, answer: str
) -> None:
    with pytest.raises(ValueError, match=rf"'{question}': Type .+\."):
        copy(working_tree, outside, {question: answer})


@pytest.fixture(scope="module")
def complaint() -> Callable[[str], str]:
    """What the validator of a free line says, with the filters that Copier has, but no copy."""
    filters = "jinja2_ansible_filters.AnsibleCoreFiltersExtension"
    environment = Environment(loader=FileSystemLoader(REPOSITORY), extensions=[filters])
    validators = environment.get_template("hooks/validators.jinja").module
    return lambda line: str(vars(validators)["line_error"](line, 1000))


@pytest.mark.parametrize("answer", INVISIBLE.values(), ids=INVISIBLE)
def test_a_line_that_nobody_sees_is_refused(complaint: Callable[[str], str], answer: str) -> None:
    assert complaint(answer) == "Type at least one visible letter, digit or sign."


@pytest.mark.parametrize("answer", SEEN.values(), ids=SEEN)
def test_invisible_characters_may_stand_beside_visible_ones(
    complaint: Callable[[str], str], answer: str
) -> None:
    assert complaint(answer) == ""


@pytest.mark.parametrize("mark", DIRECTIONS, ids=ascii)
def test_a_mark_that_turns_the_text_around_is_refused_anywhere(
    complaint: Callable[[str], str], mark: str
) -> None:
    for answer in (f"{mark}fox", f"fo{mark}x", f"fox{mark}"):
        assert complaint(answer).startswith("Type one line of visible characters")


@pytest.mark.parametrize(("question", "limit"), FREE.items())
def test_a_line_may_be_as_long_as_its_limit(
    working_tree: Path, outside: Path, question: str, limit: int
) -> None:
    copy(working_tree, outside, {question: "x" * limit})


@pytest.mark.parametrize(("question", "limit"), FREE.items())
def test_a_longer_line_is_refused(
    working_tree: Path, outside: Path, question: str, limit: int
) -> None:
    with pytest.raises(ValueError, match=f"Type at most {limit} characters"):
        copy(working_tree, outside, {question: "x" * (limit + 1)})


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_slug_is_refused(working_tree: Path, outside: Path, answer: str) -> None:
    with pytest.raises(ValueError, match=r"Type 1 to 40 of a-z"):
        copy(working_tree, outside, {"project_slug": answer})


@pytest.mark.parametrize("answer", ["Fox", "1st", "-a", "a-", "a_b", "a.b", "ä", "x" * 41, "a\n"])
def test_a_slug_that_some_system_refuses_is_refused_here(
    working_tree: Path, outside: Path, answer: str
) -> None:
    with pytest.raises(ValueError, match=r"Type 1 to 40 of a-z"):
        copy(working_tree, outside, {"project_slug": answer})


@pytest.mark.parametrize("answer", RESERVED)
def test_a_namespace_that_kubernetes_keeps_is_refused(
    working_tree: Path, outside: Path, answer: str
) -> None:
    with pytest.raises(ValueError, match=r"Type another one, like llm-api: Kubernetes .+\."):
        copy(working_tree, outside, {"project_slug": answer})


@pytest.mark.parametrize(
    "answer",
    ["a", "kube", "kubernetes", "defaults", "my-kube-system", "on", "null", "fox-2", "x" * 40],
)
def test_a_slug_stays_text_everywhere(working_tree: Path, outside: Path, answer: str) -> None:
    project = copy(working_tree, outside, {"project_slug": answer})
    settings = tomllib.loads((project / "settings.toml").read_text())
    compose = yaml.safe_load((project / "compose.yaml").read_text())
    assert settings["service_slug"] == compose["name"] == answer


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("LLM API", "llm-api"),
        ("  ".join("ab"), "a-b"),
        ("42 Foxes!", "foxes"),
        ("日本語", "llm-api"),
        ("{{ 7 * 7 }}", "llm-api"),
        ("../../etc", "etc"),
        ("a" * 39 + " b", "a" * 39),
        ("Default", "default-api"),
        ("2 default!", "default-api"),
        ("Defaults", "defaults"),
        ("Kube system", "my-kube-system"),
        ("Kube " + "a" * 50, "my-kube-" + "a" * 32),
        ("Kube!", "kube"),
    ],
)
def test_the_slug_follows_from_the_name(
    working_tree: Path, outside: Path, name: str, slug: str
) -> None:
    project = copy(working_tree, outside, {"project_name": name})
    assert tomllib.loads((project / "settings.toml").read_text())["service_slug"] == slug


@pytest.mark.parametrize("question", CHOSEN)
@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
def test_an_answer_that_is_no_choice_is_refused(
    working_tree: Path, outside: Path, question: str, answer: str
) -> None:
    with pytest.raises(ValueError, match="Invalid choice"):
        copy(working_tree, outside, {question: answer})


@pytest.mark.parametrize("answer", ["[doctors]", "[doctor, '']", "[doctor, {{ 7 * 7 }}]"])
def test_an_extra_that_there_is_not_is_refused(
    working_tree: Path, outside: Path, answer: str
) -> None:
    with pytest.raises(ValueError, match="Invalid choice"):
        copy(working_tree, outside, {"extras": answer})


def test_one_extra_that_is_no_list_is_refused(working_tree: Path, outside: Path) -> None:
    with pytest.raises(TypeError, match="Not a YAML list"):
        copy(working_tree, outside, {"extras": "doctor"})


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_says_what_follows_and_has_a_default(question: str) -> None:
    asked = QUESTIONS[question]
    assert len(asked["help"]) > 30
    assert asked["default"] or asked.get("multiselect")
    assert "validator" in asked or "choices" in asked


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_terminal_of_80_columns_shows_every_question_whole(question: str) -> None:
    """It has room for the sign before the question, and for the pointer before a choice."""
    for text in (QUESTIONS[question]["help"], *QUESTIONS[question].get("choices", {})):
        assert len(text) <= 70
        assert "\n" not in text


def test_the_message_after_the_copy_gives_the_two_commands(
    template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "with space"
    run_copy(str(template), project, defaults=True)
    assert f"cd '{project}'\n    uv run app dev" in capsys.readouterr().err


@pytest.mark.parametrize(("relative", "told"), [(True, True), (False, False)])
def test_a_template_that_an_update_would_not_find_is_told(
    working_tree: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    relative: bool,
    told: bool,
) -> None:
    monkeypatch.chdir(working_tree)
    source = "." if relative else str(working_tree)
    run_copy(source, tmp_path / "project", defaults=True, exclude=PLAIN_FOLDERS)
    assert ("as `_src_path` into .copier-answers.yml" in capsys.readouterr().err) == told
