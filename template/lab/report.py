"""The report: one HTML file that loads nothing."""

import json
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from lab import plots
from lab.machine import describe
from lab.measures import Experiment, Run, at, rate_text, time_text
from lab.plots import Scale

TEMPLATE = Path(__file__).with_name("report.html")
KEYWORDS = re.compile(r"\b(async|await|def|with|return|global)\b")
MARKS = {"wrong": "wrong", "partly": "it depends", "right": "right"}


def report(experiments: Sequence[Experiment]) -> str:
    """Return the page."""
    page = Template(TEMPLATE.read_text(encoding="utf-8"))
    numbered = list(enumerate(experiments, 1))
    return page.substitute(
        glance="".join(_glance(number, experiment) for number, experiment in numbered),
        experiments="".join(_section(number, experiment) for number, experiment in numbered),
        machine="".join(
            f"<div><dt>{_words(what)}</dt><dd>{_words(value)}</dd></div>"
            for what, value in describe().items()
        ),
        measures=json.dumps([_measures(each) for each in experiments]).replace("<", "\\u003c"),
    )


def _glance(number: int, experiment: Experiment) -> str:
    what, wrong, right = experiment.headline
    return (
        f'<a href="#{experiment.name}"><span class="number">{number}</span>'
        f'<span class="title">{_words(experiment.title)}<small>{_words(what)}</small></span>'
        f'<span class="value wrong">{_words(wrong)}</span>'
        f'<span class="value right">{_words(right)}</span></a>'
    )


def _section(number: int, experiment: Experiment) -> str:
    scale = Scale(experiment.runs)
    doubt = "" if experiment.shown else "<strong>Not clearly seen in this run.</strong> "
    runs = "".join(_run(run, experiment, scale) for run in experiment.runs)
    return (
        f'<section id="{experiment.name}"><p class="eyebrow">{number} · {experiment.name}</p>'
        f"<h2>{_words(experiment.title)}</h2>"
        f'<p class="verdict">{doubt}{_words(experiment.verdict)}</p>'
        f'<p class="setting">{_words(experiment.setting)}</p>'
        f'<div class="runs of-{len(experiment.runs)}">{runs}</div>'
        f"{_bars(experiment)}"
        f'<p class="lesson">{_words(experiment.lesson)}</p></section>'
    )


def _run(run: Run, experiment: Experiment, scale: Scale) -> str:
    return (
        f'<article class="{run.mark}"><header><p class="mark">{MARKS[run.mark]}</p>'
        f"<h3>{_words(run.name)}</h3><p>{_words(run.note)}</p></header>"
        f"<pre><code>{_code(run.code)}</code></pre>"
        f'<div class="plots">{_plots(run, experiment, scale)}</div>'
        f"{_numbers(run, experiment)}</article>"
    )


def _plots(run: Run, experiment: Experiment, scale: Scale) -> str:
    key = '<i class="probes"></i>health checks, one every 20 ms'
    if run.people:
        key += f' <span><i class="people"></i>{_words(experiment.people_are)}</span>'
    shown = [
        _caption(key) + plots.events(run, scale) + plots.latency(run, scale),
        _caption("how late the event loop came back") + plots.lag(run, scale),
    ]
    if experiment.progress_of:
        shown.insert(1, _caption(_words(experiment.progress_of)) + plots.progress(run, scale))
    return "".join(shown) + plots.axis(scale)


def _caption(words: str) -> str:
    return f'<p class="caption">{words}</p>'


def _numbers(run: Run, experiment: Experiment) -> str:
    people = experiment.judged_by_people
    times = run.under_load(run.people if people else run.probes)
    numbers = {
        "median": time_text(at(times, 0.5)),
        "95 %": time_text(at(times, 0.95)),
        "worst": time_text(at(times, 1.0)),
        "loop late by": time_text(run.worst_lag()),
    }
    whose = "people" if people else "health checks"
    inner = "".join(
        f"<div><dt>{name}</dt><dd>{_words(value)}</dd></div>" for name, value in numbers.items()
    )
    return f'<div class="numbers"><p>{whose} under load</p><dl>{inner}</dl></div>'


def _bars(experiment: Experiment) -> str:
    most = max(run.rate for run in experiment.runs) or 1.0
    rows = "".join(
        f'<div class="{run.mark}"><span>{_words(run.name)}</span>'
        f'<span class="bar"><b style="width:{(run.rate - run.wrong_rate) / most:.1%}"></b>'
        f'<b class="false" style="width:{run.wrong_rate / most:.1%}"></b></span>'
        f"<output>{rate_text(run.rate)}</output></div>"
        for run in experiment.runs
    )
    return f'<div class="bars"><p class="caption">{_words(experiment.rate_of)}</p>{rows}</div>'


def _words(text: str) -> str:
    return escape(text.replace("'", "\u2019"))


def _code(source: str) -> str:
    return KEYWORDS.sub(r"<b>\1</b>", escape(source, quote=False))


def _measures(experiment: Experiment) -> dict[str, object]:
    return {
        "name": experiment.name,
        "shown": experiment.shown,
        "verdict": experiment.verdict,
        "runs": [
            {
                "name": run.name,
                "mark": run.mark,
                "median": run.median(),
                "late": run.late(),
                "lag": run.worst_lag(),
                "rate": run.rate,
                "wrong_rate": run.wrong_rate,
                "people": at(run.under_load(run.people), 0.5),
                "done": max([done for _, done in run.progress], default=0),
            }
            for run in experiment.runs
        ],
    }
