"""The report: one HTML file that loads nothing."""

import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template

from lab import plots
from lab.machine import describe
from lab.measures import Experiment, Run, at, rate_text, time_text
from lab.plots import Scale

TEMPLATE = Path(__file__).with_name("report.html")
KEYWORDS = re.compile(r"\b(async|await|def|with|for|in|return|global|as)\b")
MARKS = {"wrong": "wrong", "partly": "it depends", "right": "right"}


def report(experiments: Sequence[Experiment]) -> str:
    """Return the page."""
    page = Template(TEMPLATE.read_text(encoding="utf-8"))
    numbered = list(enumerate(experiments, 1))
    return page.substitute(
        glance="".join(_glance(number, experiment) for number, experiment in numbered),
        experiments="".join(_section(number, experiment) for number, experiment in numbered),
        machine="".join(
            f"<div><dt>{escape(what)}</dt><dd>{escape(value)}</dd></div>"
            for what, value in describe().items()
        ),
        measures=json.dumps([_measures(each) for each in experiments]).replace("<", "\\u003c"),
    )


def _glance(number: int, experiment: Experiment) -> str:
    what, wrong, right = experiment.headline
    return (
        f'<a href="#{experiment.name}"><span class="number">{number}</span>'
        f'<span class="title">{escape(experiment.title)}<small>{escape(what)}</small></span>'
        f'<span class="value wrong">{escape(wrong)}</span>'
        f'<span class="value right">{escape(right)}</span></a>'
    )


def _section(number: int, experiment: Experiment) -> str:
    scale = Scale(experiment.runs)
    doubt = "" if experiment.shown else "<strong>Not clearly seen in this run.</strong> "
    runs = "".join(_run(run, experiment, scale) for run in experiment.runs)
    return (
        f'<section id="{experiment.name}"><p class="eyebrow">{number} · {experiment.name}</p>'
        f"<h2>{escape(experiment.title)}</h2>"
        f'<p class="verdict">{doubt}{escape(experiment.verdict)}</p>'
        f'<p class="setting">{escape(experiment.setting)}</p>'
        f'<div class="runs of-{len(experiment.runs)}">{runs}</div>'
        f"{_bars(experiment)}"
        f'<p class="lesson">{escape(experiment.lesson)}</p></section>'
    )


def _run(run: Run, experiment: Experiment, scale: Scale) -> str:
    return (
        f'<article class="{run.mark}"><header><p class="mark">{MARKS[run.mark]}</p>'
        f"<h3>{escape(run.name)}</h3><p>{escape(run.note)}</p></header>"
        f"<pre><code>{_code(run.code)}</code></pre>"
        f'<div class="plots">{_plots(run, experiment, scale)}</div>'
        f"{_numbers(run, experiment)}</article>"
    )


def _plots(run: Run, experiment: Experiment, scale: Scale) -> str:
    key = f'<i class="probes"></i>{escape(experiment.probes_are)}'
    if run.people:
        key += f' <span><i class="people"></i>{escape(experiment.people_are)}</span>'
    shown = [
        _caption(key) + plots.events(run, scale) + plots.latency(run, scale),
        _caption("how late the event loop came back") + plots.lag(run, scale),
    ]
    if experiment.progress_of:
        shown.insert(1, _caption(escape(experiment.progress_of)) + plots.progress(run, scale))
    return "".join(shown) + plots.axis(scale)


def _caption(words: str) -> str:
    return f'<p class="caption">{words}</p>'


def _numbers(run: Run, experiment: Experiment) -> str:
    times = run.under_load(run.people) if experiment.headline.what.endswith("people") else None
    times = run.under_load() if times is None else times
    numbers = {
        "median": time_text(at(times, 0.5)),
        "95 %": time_text(at(times, 0.95)),
        "worst": time_text(at(times, 1.0)),
        "loop late by": time_text(run.worst_lag()),
    }
    return _definitions(numbers.items())


def _definitions(pairs: Iterable[tuple[str, str]]) -> str:
    inner = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="numbers">{inner}</dl>'


def _bars(experiment: Experiment) -> str:
    most = max(run.rate for run in experiment.runs) or 1.0
    rows = "".join(
        f'<div class="{run.mark}"><span>{escape(run.name)}</span>'
        f'<span class="bar"><b style="width:{(run.rate - run.wrong_rate) / most:.1%}"></b>'
        f'<b class="false" style="width:{run.wrong_rate / most:.1%}"></b></span>'
        f"<output>{rate_text(run.rate)}</output></div>"
        for run in experiment.runs
    )
    return f'<div class="bars"><p class="caption">{escape(experiment.rate_of)}</p>{rows}</div>'


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
