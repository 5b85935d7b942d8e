"""Answer sets: the defaults, each single other answer, all on, all off, and every pair."""

from itertools import combinations, product

DEFAULTS = {
    "licence": "MIT",
    "model_provider": "local",
    "ci": "github",
    "deployment": "docker",
}
CHOICES = {
    "licence": ["MIT", "Apache-2.0", "BSD-3-Clause", "proprietary"],
    "model_provider": ["local", "openai", "simulated"],
    "ci": ["github", "gitlab", "none"],
    "deployment": ["docker", "kubernetes", "none"],
}
SINGLE = [
    {question: choice}
    for question, choices in CHOICES.items()
    for choice in choices
    if choice != DEFAULTS[question]
]
OTHER_NAME = {
    "project_name": 'Ünïcode "Größe" 🦊',
    "project_slug": "on",  # a boolean where YAML forgets its quotes
    "description": "It's \\ 100 % <b>plain</b> & simple: yes # no",
    "author": 'O\'Brien "Bob" & Söhne',
}
ALL_ON = {"ci": "gitlab", "deployment": "kubernetes", "model_provider": "openai", **OTHER_NAME}
ALL_OFF = {"ci": "none", "deployment": "none", "model_provider": "simulated"} | {
    "licence": "proprietary"
}


def pairwise() -> list[dict[str, str]]:
    """Return few sets in which every two answers to different questions meet."""
    missing = {
        pair
        for left, right in combinations(CHOICES, 2)
        for pair in product(
            [(left, choice) for choice in CHOICES[left]],
            [(right, choice) for choice in CHOICES[right]],
        )
    }
    everything = [dict(zip(CHOICES, chosen, strict=True)) for chosen in product(*CHOICES.values())]
    found = []
    while missing:
        best = max(everything, key=lambda answers: len(_pairs(answers) & missing))
        missing -= _pairs(best)
        found.append(best)
    return found


def _pairs(answers: dict[str, str]) -> set[tuple[tuple[str, str], ...]]:
    return set(combinations(answers.items(), 2))


ANSWER_SETS = [{}, *SINGLE, ALL_ON, ALL_OFF, *pairwise()]


def name_of(answers: dict[str, str]) -> str:
    """Return a short name for a test's parameter."""
    return "-".join(value for key, value in answers.items() if key in CHOICES) or "defaults"
