"""Answer sets: the defaults, each single other answer, all on, all off, and every pair."""

from itertools import combinations, product

DEFAULTS = {
    "license": "MIT",
    "model_provider": "local",
    "ci": "github",
    "deployment": "docker",
    "features": "[]",
    "extras": "[doctor]",
}
CHOICES = {
    "license": ["MIT", "Apache-2.0", "BSD-3-Clause", "proprietary"],
    "model_provider": ["local", "openai", "simulated"],
    "ci": ["github", "gitlab", "none"],
    "deployment": ["docker", "kubernetes", "none"],
}
FEATURES = ["documents", "fine_tuning"]
EVERY_FEATURE = f"[{', '.join(FEATURES)}]"
EXTRAS = ["doctor", "lab", "benchmarks", "proof"]
EVERY_EXTRA = f"[{', '.join(EXTRAS)}]"
COMBINATIONS = [
    f"[{', '.join(chosen)}]"
    for count in range(len(EXTRAS) + 1)
    for chosen in combinations(EXTRAS, count)
]
"""Every answer to the question `extras`."""
TELLING = [
    "[]",
    *(f"[{extra}]" for extra in EXTRAS),
    "[doctor, proof]",
    "[lab, proof]",
    EVERY_EXTRA,
]
"""Each file is here with the fewest others: an import of one left out fails here."""

SINGLE = [
    *(
        {question: choice}
        for question, choices in CHOICES.items()
        for choice in choices
        if choice != DEFAULTS[question]
    ),
    *({"features": f"[{feature}]"} for feature in FEATURES),
    *({"extras": f"[{extra}]"} for extra in EXTRAS if extra != "doctor"),
]
OTHER_NAME = {
    "project_name": 'Ünïcode "Größe" 🦊',
    "project_slug": "on",  # a boolean where YAML forgets its quotes
    "description": "It's \\ 100 % <b>plain</b> & simple: yes # no",
    "author": 'O\'Brien "Bob" & Söhne',
}
ALL_ON = {"ci": "gitlab", "deployment": "kubernetes", "model_provider": "openai", **OTHER_NAME} | {
    "features": EVERY_FEATURE,
    "extras": EVERY_EXTRA,
}
ALL_OFF = {"ci": "none", "deployment": "none", "model_provider": "simulated"} | {
    "license": "proprietary",
    "extras": "[]",
}
FACTORS = CHOICES | {each: ["with", "without"] for each in (*FEATURES, *EXTRAS)}


def pairwise() -> list[dict[str, str]]:
    """Return few sets in which every two answers meet; each feature and each extra is a factor."""
    missing = {
        pair
        for left, right in combinations(FACTORS, 2)
        for pair in product(
            [(left, choice) for choice in FACTORS[left]],
            [(right, choice) for choice in FACTORS[right]],
        )
    }
    everything = [dict(zip(FACTORS, chosen, strict=True)) for chosen in product(*FACTORS.values())]
    found = []
    while missing:
        best = max(everything, key=lambda factors: len(_pairs(factors) & missing))
        missing -= _pairs(best)
        found.append(_answers(best))
    return found


def _pairs(factors: dict[str, str]) -> set[tuple[tuple[str, str], ...]]:
    return set(combinations(factors.items(), 2))


def _answers(factors: dict[str, str]) -> dict[str, str]:
    plain = {question: factors[question] for question in CHOICES}
    return plain | {
        question: f"[{', '.join(each for each in offered if factors[each] == 'with')}]"
        for question, offered in (("features", FEATURES), ("extras", EXTRAS))
    }


ANSWER_SETS = [{}, *SINGLE, ALL_ON, ALL_OFF, *pairwise()]


def name_of(answers: dict[str, str]) -> str:
    """Return a short name for a test's parameter."""
    return "-".join(value for key, value in answers.items() if key in DEFAULTS) or "defaults"


def chosen_of(answers: dict[str, str]) -> set[str]:
    """Return the features and extras that such answers choose."""
    given = {**DEFAULTS, **answers}
    return {each for each in (*FEATURES, *EXTRAS) if each in given["features"] + given["extras"]}
