"""Stories of the gallery: the facts of each project, and the figure that shows them.

A story has two functions: one computes its facts (words and rounded numbers) with the current build, the
other draws them. Stories on the demo show its collages. Stories on photographs that may not be passed on
show words, numbers and curves only.
"""

import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page
from tests.tools import gallery_figures as draw

from inficond.core import Project, distill
from inficond.core.audit.audit import audit
from inficond.core.demo import demo_project
from inficond.core.progress import Silent
from inficond.core.sessions.class_confusion import confusion_table
from inficond.core.sessions.examples import example_images
from inficond.core.sessions.session import Session
from inficond.core.sessions.shown_concepts import parse_example
from inficond.core.student_page import export_student_page
from inficond.core.tuning.actions import Action

Facts = dict[str, Any]

GARDENER = [
    "white petals", "yellow petals", "red petals", "pink petals", "purple petals", "yellow centre",
    "dark brown centre", "seed head", "fluffy white ball", "daisy", "dandelion", "rose", "sunflower", "tulip",
    "layered petals", "cup-shaped flower", "long stem", "green leaf", "thorn", "bud", "bouquet", "vase",
    "garden", "field", "grass", "meadow", "sky", "person", "insect", "bee", "butterfly", "soil",
    "water drops", "blurred background",
]  # fmt: skip
"""Words that a person wrote for photographs of five flowers."""
SHOWN = (
    "0043_ram-canyon.jpg@.72,.62", "0757_ram-picos.jpg@.5,.72", "0593_doe-igloo.jpg@.45,.5",
    "0379_wapiti-picos.jpg@.55,.55", "0278_goat-canyon.jpg@.35,.6",
)  # fmt: skip
"""Places that a person clicked in five training images of the demo."""


@dataclass(frozen=True)
class Story:
    """A finished project in one picture.

    Parameters
    ----------
    name : str
        Of the picture's file.
    facts : callable
        Returns words and rounded numbers. Its argument is a `Projects`.
    figure : callable
        Returns the HTML of the figure for facts.
    drawn : callable or None
        Takes the steps in the browser after which the picture is taken.
    data : str or None
        Folder of photographs that it needs; None for the demo.
    window : tuple of int
        Width and height of the browser's window.
    """

    name: str
    facts: "Callable[[Projects], Facts]"
    figure: "Callable[[Facts, Projects], str]"
    data: str | None = None
    drawn: "Callable[[Page, Facts, Projects], None] | None" = None
    window: tuple[int, int] = (900, 620)


class Projects:
    """Projects of the stories, each built once.

    Parameters
    ----------
    folder : Path
        Where projects are written.
    photographs : Path or None
        Folder of the photographs.
    """

    def __init__(self, folder: Path, photographs: Path | None = None) -> None:
        self.folder, self._photographs = folder, photographs
        self.built = cache(self._built)

    @property
    def demo(self) -> Session:
        """A new session on the demo, without steps of others."""
        return Project.open(demo_project()).session()

    def _built(
        self, images: str, labels: str = "", teacher: str = "auto", own_words: bool = False
    ) -> Project:
        if self._photographs is None:
            raise LookupError("the stories on photographs need INFICOND_TEST_DATA")
        name = "-".join(filter(None, [Path(images).name, teacher, "own" if own_words else ""]))
        if (self.folder / name / "project.json").exists():
            return Project.open(self.folder / name)
        return distill(
            self._photographs / images,
            self._photographs / labels if labels else None,
            teacher,
            GARDENER if own_words else None,
            out=self.folder / name,
            progress=Silent(),
        )


def words(session: Session, cls: str, count: int = 6) -> list[list[Any]]:
    """Return the words with the largest weights of a class, with the weights."""
    found = session.influence(cls)
    order = np.argsort(-np.abs(found.weights), kind="stable")[:count]
    return [[found.concepts[k], round(float(found.weights[k]), 2)] for k in order if found.weights[k]]


def fidelity(session: Session, cls: str) -> float:
    """Return the average precision of a student against its teacher."""
    return round(float(session.metrics(cls).ap), 2)


def count(session: Session) -> int:
    """Return the number of images of a project, exam images included."""
    return int(session.project.config["counts"]["images"])


def mean(values: Iterable[float]) -> float:
    """Return a mean of two digits."""
    return round(float(np.mean(list(values))), 2)


def accuracies(session: Session) -> tuple[float, float]:
    """Return the shares of right answers of teacher and student on the held-out labelled images."""
    project = session.project
    rows = project.validation_rows
    truth = np.asarray(project.labels)[rows].argmax(axis=1)
    teacher = np.asarray(project.T)[rows].argmax(axis=1)
    student = session.scores()[rows].argmax(axis=1)
    return round(float((teacher == truth).mean()), 2), round(float((student == truth).mean()), 2)


# -- on the demo


def shortcut_facts(projects: Projects) -> Facts:
    session = projects.demo
    found = next(one for one in audit(session, ["water bird"]).findings)
    before = session.metrics("water bird")
    images = [session.image_ids[row] for row in found.extra[:4]]
    weights = words(session, "water bird")
    session.apply("water bird", [Action("mute", "group:water")])
    after = session.metrics("water bird")
    return {
        "concept": found.shortcut.feature.name, "sentence": found.sentence, "images": images,
        "words": weights, "words_after": words(session, "water bird"),
        "fidelity": [round(float(before.ap), 2), round(float(after.ap), 2)],
        "extra": [before.counts["extra"], after.counts["extra"]],
        "missed": [before.counts["missed"], after.counts["missed"]],
    }  # fmt: skip


def shortcut_figure(facts: Facts, projects: Projects) -> str:
    session = projects.demo
    project, concept = Project.open(demo_project()), facts["concept"]
    shown = [
        (
            draw.picture(project, session.row_of(image), session, concept),
            f"“water bird”, because of {concept}",
        )
        for image in facts["images"]
    ]
    rows = [
        ["average precision", *facts["fidelity"]],
        ["wrong “yes”", *facts["extra"]],
        ["wrong “no”", *facts["missed"]],
    ]
    largest = draw.largest_weight((facts["words"], facts["words_after"]))
    return draw.page(
        "Shortcut found: the student of “water bird” looks at the water",
        facts["sentence"],
        draw.strip(shown),
        draw.row(
            draw.heading("as fitted") + draw.bars(facts["words"], largest),
            draw.heading("water muted") + draw.bars(facts["words_after"], largest),
            draw.heading("480 held-out images") + draw.table(["", "as fitted", "muted"], rows),
        ),
    )


def example_facts(projects: Projects) -> Facts:
    session, cls = projects.demo, "sheep, goat or deer"
    before = fidelity(session, cls)
    shown = [parse_example(session.project, text) for text in SHOWN]
    weights = words(session, cls)
    session.add_example("standing animal", shown)
    return {
        "shown": [list(pair) for pair in shown], "words": weights, "words_after": words(session, cls),
        "fidelity": [before, fidelity(session, cls)],
    }  # fmt: skip


def before_and_after(facts: Facts) -> str:
    """Return the weights and the fidelity of a class before and after a step, side by side."""
    largest = draw.largest_weight((facts["words"], facts["words_after"]))
    before, after = facts["fidelity"]
    return draw.row(
        draw.heading(f"before: average precision {before:.2f}") + draw.bars(facts["words"], largest),
        draw.heading(f"after: average precision {after:.2f}") + draw.bars(facts["words_after"], largest),
    )


def example_figure(facts: Facts, projects: Projects) -> str:
    session = projects.demo
    project = Project.open(demo_project())
    session.add_example("standing animal", [(image, region) for image, region in facts["shown"]])
    name = session.concepts[-1]
    shown = [
        (draw.picture(project, session.row_of(image), session, name), image.split("_")[1].split(".")[0])
        for image, _ in facts["shown"]
    ]
    return draw.page(
        "Concept by example: five clicks define what no word named",
        "No built-in word names what sheep, goats and deer share. A person clicks it in five training "
        "images; the lit part is where the new concept is found.",
        draw.strip(shown),
        before_and_after(facts),
    )


def replaced_facts(projects: Projects) -> Facts:
    session = projects.demo
    images = [session.image_ids[row] for row in example_images(session, "ball", 4)]
    before, weights = fidelity(session, "fruit"), words(session, "fruit")
    session.rename_concept("ball", "round fruit", by_example=True)
    return {
        "images": images, "words": weights, "words_after": words(session, "fruit"),
        "fidelity": [before, fidelity(session, "fruit")],
    }  # fmt: skip


def replaced_figure(facts: Facts, projects: Projects) -> str:
    session = projects.demo
    project = Project.open(demo_project())
    shown = [
        (draw.picture(project, session.row_of(image), session, "ball"), "evidence of “ball”")
        for image in facts["images"]
    ]
    return draw.page(
        "Words replaced: “ball” is called what it shows",
        "The student of “fruit” relies most on “ball”. Its evidence is round fruit. A person gives it that "
        "name; the regions define the concept. The right name costs some average precision.",
        draw.strip(shown),
        before_and_after(facts),
    )


def browser_facts(projects: Projects) -> Facts:
    session = projects.demo
    session.apply("water bird", [Action("mute", "group:water")])
    rows, c = session.project.validation_rows, session.class_index("water bird")
    rows = rows[np.asarray(session.project.T)[rows, c] >= 0.5]
    row = int(rows[session.scores()[rows, c].argmax()])
    with Image.open(session.project.image_path(row)) as picture:
        found = session.classify(np.asarray(picture.convert("RGB")))
    order = np.argsort(-found.student, kind="stable")[:3]
    return {
        "image": session.image_ids[row],
        "highest": [[session.classes[c], round(float(found.student[c]), 2)] for c in order],
    }


def browser_figure(_facts: Facts, projects: Projects) -> str:
    session = projects.demo
    session.apply("water bird", [Action("mute", "group:water")])
    page = projects.folder / "student.html"
    export_student_page(session, page, overwrite=True)
    return page.read_text(encoding="utf-8")


def browser_drawn(page: Page, facts: Facts, projects: Projects) -> None:
    session = projects.demo
    for number in (1, 2):  # the first answer includes the start of the runtime
        page.set_input_files("#file", session.project.image_path(session.row_of(facts["image"])))
        page.wait_for_selector(f"body[data-answered='{number}']", state="attached")
    page.locator(".word:not(.absent)").first.hover()


# -- on photographs


def own_words_facts(projects: Projects) -> Facts:
    automatic = projects.built("own/flowers").session()
    own = projects.built("own/flowers", own_words=True).session()
    return {
        "classes": {
            cls: {
                "proposed": words(automatic, cls, 4), "own": words(own, cls, 4),
                "fidelity": [fidelity(automatic, cls), fidelity(own, cls)],
            }
            for cls in sorted(own.classes)
        },
        "accuracy": [accuracies(automatic)[1], accuracies(own)[1]],
        "images": count(automatic),
    }  # fmt: skip


def own_words_figure(facts: Facts, _projects: Projects) -> str:
    largest = draw.largest_weight(one[by] for one in facts["classes"].values() for by in ("proposed", "own"))
    blocks = [
        draw.row(
            draw.heading(cls),
            draw.bars(one["proposed"], largest) + f"<p>average precision {one['fidelity'][0]:.2f}</p>",
            draw.bars(one["own"], largest) + f"<p>average precision {one['fidelity'][1]:.2f}</p>",
            first=90,
        )
        for cls, one in list(facts["classes"].items())
    ]
    first, second = facts["accuracy"]
    return draw.page(
        "Own words: 34 words of a gardener for five flowers",
        f"The four largest weights of each class. {facts['images']} photographs, teacher: a probe on labels.",
        draw.row(
            "", draw.heading(f"proposed words: {100 * first:.0f} % right"),
            draw.heading(f"the gardener's words: {100 * second:.0f} % right"),
            first=90,
        ),
        *blocks,
    )  # fmt: skip


def confusion_facts(projects: Projects) -> Facts:
    session = projects.built("own/intel").session()
    found = confusion_table(session, "label")
    return {
        "classes": session.classes, "counts": found.counts.tolist(), "accuracy": round(found.accuracy, 2),
        "words": {cls: words(session, cls, 7) for cls in ("glacier", "mountain")},
        "teacher_accuracy": accuracies(session)[0],
    }  # fmt: skip


def confusion_figure(facts: Facts, _projects: Projects) -> str:
    names = facts["classes"]
    lines = [[name, *(count or "·" for count in line)] for name, line in zip(names, facts["counts"])]
    marks = [
        ["", *("hit" if a == p else "miss" if facts["counts"][a][p] else "" for p in range(len(names)))]
        for a in range(len(names))
    ]
    largest = draw.largest_weight(facts["words"].values())
    return draw.page(
        "Confusion explained: glacier and mountain",
        f"Six kinds of scene. The student is right on {100 * facts['accuracy']:.0f} % of the held-out "
        f"photographs, its teacher on {100 * facts['teacher_accuracy']:.0f} %. Rows: label, columns: answer "
        "of the student.",
        draw.table(["", *names], lines, marks),
        draw.row(*(draw.heading(cls) + draw.bars(facts["words"][cls], largest) for cls in facts["words"])),
    )


def exam_facts(projects: Projects) -> Facts:
    project = projects.built("own/flowers")
    session = project.session()
    steps = []
    for cls in sorted(session.classes):
        best = session.suggest(cls, count=1)
        if best and best[0].gain.delta.value > 0:
            session.apply(cls, best[0].actions)
            steps.append(f"{cls}: " + ", ".join(f"{a.kind} {a.concept}" for a in best[0].actions))
    taken = session.take_exam()
    figures = taken.detail["mean"]["fidelity"]
    ends = ("low", "value", "high")
    gains = {
        name: {
            part: [round(float(figures[key][part][end]), 3) for end in ends] for part in ("promised", "gain")
        }
        for key, name in (("ap", "average precision"), ("f1", "F1"))
    }
    return {
        "steps": steps,
        "tune": len(project.validation_rows),
        "exam": taken.detail["images"],
        "gains": gains,
    }


def exam_figure(facts: Facts, _projects: Projects) -> str:
    most = max(abs(x) for one in facts["gains"].values() for ends in one.values() for x in ends)
    axis, lines = (-most, most), []
    for name, one in facts["gains"].items():
        for part, title in (
            ("promised", f"{facts['tune']} tune images"),
            ("gain", f"{facts['exam']} exam images"),
        ):
            low, value, high = one[part]
            label = f"<b>{value:+.3f}</b> ({low:+.3f} to {high:+.3f})".replace("-", "−")
            kind = "down" if part == "promised" else "up"
            lines.append(
                f"<tr><td>{name}</td><td>{title}</td><td>{label}</td>"
                f'<td style="width:45%">{draw.interval(low, value, high, axis, kind)}</td></tr>'
            )
    steps = "".join(f"<li>{html.escape(step)}</li>" for step in facts["steps"])
    return draw.page(
        "Exam: what five corrections are worth on locked photographs",
        "Five flowers, the first suggestion of each class applied. Gain over the student as fitted, mean "
        "over the classes, with intervals. The line is no gain.",
        f"<table>{''.join(lines)}</table>",
        f"<div class='row'><div>{draw.heading('steps')}<ul>{steps}</ul></div></div>",
    )


def teachers_facts(projects: Projects) -> Facts:
    found = {}
    for name, teacher in (("probe", "probe"), ("labels", "labels"), ("zero-shot", "zero-shot")):
        session = projects.built("own/flowers", teacher=teacher).session()
        right = accuracies(session)
        found[name] = {
            "accuracy": list(right),
            "fidelity": mean(session.metrics(cls).ap for cls in session.classes),
            "words_per_class": mean(session.metrics(cls).nec for cls in session.classes),
            "daisy": words(session, "daisy", 5),
        }
    return found


def teachers_figure(facts: Facts, _projects: Projects) -> str:
    rows = [
        [name, *(f"{100 * share:.0f} %" for share in one["accuracy"]), f"{one['fidelity']:.2f}",
         f"{one['words_per_class']:.1f}"]
        for name, one in facts.items()
    ]  # fmt: skip
    header = ["teacher", "teacher right", "student right", "fidelity (AP)", "words per class"]
    return draw.page(
        "Teachers compared: what each passes on to its student",
        "The same photographs of flowers, three teachers: a probe trained on the labels, the labels "
        "themselves, and class names only. Below: the largest weights of “daisy”.",
        draw.table(header, rows),
        draw.row(*(draw.heading(name) + draw.bars(one["daisy"]) for name, one in facts.items())),
    )


def scenes_facts(projects: Projects) -> Facts:
    project = projects.built("scenes/images", "scenes/labels.csv")
    session = project.session()
    controls = project.config["controls"]
    return {
        "images": count(session),
        "classes": {cls: words(session, cls, 4) for cls in session.classes},
        "controls": {name: round(float(one["ap"]), 2) for name, one in controls.items() if name != "absent"},
        "words_per_class": mean(session.metrics(cls).nec for cls in session.classes),
    }


def scenes_figure(facts: Facts, _projects: Projects) -> str:
    largest = draw.largest_weight(facts["classes"].values())
    blocks = [draw.heading(cls) + draw.bars(found, largest) for cls, found in facts["classes"].items()]
    control = [[name, f"{value:.2f}"] for name, value in facts["controls"].items()]
    blocks.append(draw.heading("beside controls") + draw.table(["", "fidelity (AP)"], control))
    return draw.page(
        "Several classes at once: scenes with more than one label",
        f"{facts['images']:,} photographs, of which many show two of the five classes. "
        f"{facts['words_per_class']:.0f} words per class, beside as many random directions, regions and "
        "words.",
        draw.row(*blocks[:3]),
        draw.row(*blocks[3:]),
    )


STORIES: Sequence[Story] = (
    Story("shortcut", shortcut_facts, shortcut_figure),
    Story("by-example", example_facts, example_figure),
    Story("words-replaced", replaced_facts, replaced_figure),
    Story("browser", browser_facts, browser_figure, drawn=browser_drawn, window=(1280, 780)),
    Story("own-words", own_words_facts, own_words_figure, "own/flowers"),
    Story("confusion", confusion_facts, confusion_figure, "own/intel"),
    Story("exam", exam_facts, exam_figure, "own/flowers"),
    Story("teachers", teachers_facts, teachers_figure, "own/flowers"),
    Story("several-labels", scenes_facts, scenes_figure, "scenes"),
)
