"""Tuning on the page: preview, apply, undo, provenance, added concepts, export."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect
from tests.browser.page import (
    CURRENT_STEP,
    Opener,
    drag,
    home_project,
    select_class,
    wait_for_slow_parts,
    weights,
)

from inficond.core.tuning.actions import Action
from inficond.gradio_app.app import Page as Served

pytestmark = pytest.mark.browser


def test_dragging_previews_and_applying_refits(open_page: Opener, served: Served) -> None:
    page = open_page()
    before = weights(page)
    name = max(before, key=lambda c: before[c])
    drag(page, name, 0.5)
    page.wait_for_selector("#view-tuning .change")
    # Previews of earlier positions may still be shown: wait for that of the last one.
    page.wait_for_function(
        "(c) => Math.abs(window.inficond.store.state.preview?.weights[c] ?? 1) < 1e-6", arg=name
    )
    assert weights(page) == before, "a preview must change nothing"
    predicted = page.evaluate("() => window.inficond.store.state.preview.weights")
    assert predicted[name] == pytest.approx(0, abs=1e-6)
    moved = [c for c in predicted if c != name and abs(predicted[c] - before.get(c, 0)) > 0.01]
    if moved:
        assert page.locator("#view-influence .ghost:visible").count() > 0, "predicted weights must be drawn"
    page.get_by_role("button", name="Apply", exact=True).click()
    page.wait_for_selector("#view-provenance [data-node] >> nth=1")
    page.wait_for_function("() => window.inficond.store.state.pending.length === 0")
    after = weights(page)
    for concept in after:
        if concept in predicted:
            assert after[concept] == pytest.approx(predicted[concept], abs=1e-4), concept
    expect(page.locator(CURRENT_STEP)).to_contain_text(f"set {name} = 0")
    page.keyboard.press("Control+z")
    page.wait_for_function(
        "(w) => Math.abs(Number(document.querySelector('#view-influence [data-concept]').dataset.weight) - w) < 1e-6",  # noqa: E501
        arg=next(iter(before.values())),
    )
    assert weights(page) == before, "undo must restore the weights exactly"
    page.get_by_role("button", name="Redo", exact=True).click()
    page.wait_for_function("() => !window.inficond.store.state.parts['provenance.tree'].can_redo")
    assert weights(page) == after


def test_a_click_previews_a_suggestion(open_page: Opener) -> None:
    page = open_page()
    wait_for_slow_parts(page)
    ideas = page.locator("#view-tuning [data-suggestion]")
    expect(ideas.first).to_be_visible()
    assert ideas.first.get_attribute("data-tip")
    ideas.first.click()
    page.wait_for_selector("#view-tuning .change")
    labels = page.locator("#view-tuning .change").all_inner_texts()
    assert any("→" in label for label in labels)
    known = ("[", "no clear change", "missed", "clear losses")
    assert all(any(text in label for text in known) for label in labels), labels
    page.get_by_role("button", name="Reset", exact=True).click()
    expect(page.locator("#view-tuning .change")).to_have_count(0)
    expect(page.locator("#view-provenance [data-node]")).to_have_count(1)


def test_a_preview_does_not_move_the_sliders(open_page: Opener) -> None:
    for width, height in ((1440, 900), (1280, 720)):
        page = open_page(width=width, height=height)
        wait_for_slow_parts(page)
        slider = page.locator("#view-tuning [role=slider]").first
        before = slider.bounding_box()
        page.locator("#view-tuning [data-suggestion]").first.click()
        page.wait_for_selector("#view-tuning .change")
        assert slider.bounding_box() == before, "the sliders must keep their place"


def test_an_applied_step_is_announced_with_a_button_to_undo_it(open_page: Opener) -> None:
    page = open_page()
    name = next(iter(weights(page)))
    page.get_by_role("slider", name=f"weight of {name}", exact=True).focus()
    page.keyboard.press("m")
    page.keyboard.press("Enter")
    line = page.locator(".message").filter(has_text=f"Applied: mute {name}")
    expect(line).to_be_visible()
    line.get_by_role("button", name="Undo it").click()
    expect(page.locator(CURRENT_STEP)).to_contain_text("as it was fitted")
    expect(page.locator(".message").filter(has_text="Now at: The student as it was fitted")).to_be_visible()
    expect(line).to_have_count(0)


def test_pending_actions_are_kept_while_another_class_is_selected(
    open_page: Opener, classes: list[str]
) -> None:
    page = open_page()
    select_class(page, classes[0])
    name = next(iter(weights(page)))
    page.get_by_role("slider", name=f"weight of {name}", exact=True).focus()
    page.keyboard.press("m")
    page.wait_for_selector("#view-tuning .change")
    select_class(page, classes[1])
    expect(page.locator("#view-tuning .change")).to_have_count(0)
    assert page.evaluate("() => window.inficond.store.state.pending") == []
    expect(page.locator(f'#view-performance [data-class="{classes[0]}"] [data-unapplied]')).to_have_count(1)
    select_class(page, classes[0])
    page.wait_for_selector("#view-tuning .change")
    assert [a["concept"] for a in page.evaluate("() => window.inficond.store.state.pending")] == [name]
    expect(page.locator("#view-performance [data-unapplied]")).to_have_count(0)


def test_a_suggestion_replaces_the_earlier_one_and_keeps_own_actions(open_page: Opener) -> None:
    page = open_page()
    wait_for_slow_parts(page)
    ideas = page.locator("#view-tuning [data-suggestion]")
    if ideas.count() < 2:
        pytest.skip("this project has fewer than two suggestions")
    given = page.evaluate("() => window.inficond.store.state.parts['tuning.suggestions'].suggestions")

    def affected(idea: dict) -> set[str]:
        return {m["concept"] for a in idea["actions"] for m in a.get("members", [a])}

    touched = affected(given[0]) | affected(given[1])
    mine = next((c for c in weights(page) if c not in touched), None)
    if mine is None:
        pytest.skip("the suggestions affect every concept that is shown")
    page.evaluate("(c) => window.inficond.store.propose(c, { kind: 'lock', requested: 0 })", mine)
    for i in (0, 1):
        ideas.nth(i).click()
        pending = page.evaluate("() => window.inficond.store.state.pending")
        asked = {a["concept"] for a in pending}
        assert asked == {mine, *(a["concept"] for a in given[i]["actions"])}
    page.wait_for_function("() => window.inficond.store.state.preview?.weights")


def test_muted_concepts_are_listed_last(open_page: Opener) -> None:
    page = open_page()
    wait_for_slow_parts(page)
    first, second = list(weights(page))[:2]
    for name in (first, second):
        page.get_by_role("slider", name=f"weight of {name}", exact=True).focus()
        page.keyboard.press("m")
    page.keyboard.press("Enter")
    page.wait_for_selector("#view-provenance [data-node] >> nth=1")
    rows = page.eval_on_selector_all("#view-tuning [data-concept]", "n => n.map((r) => r.dataset.concept)")
    shown = {c: w for c, w in weights(page).items() if c in rows}
    assert rows[-2:] == [first, second]
    assert all(shown[c] for c in rows[:-2] if c in shown)
    expect(page.locator(f'#view-tuning [data-concept="{first}"]')).to_have_attribute(
        "data-heading", "concepts with weight 0 and a bound"
    )


def test_a_selected_slice_can_be_the_focus(open_page: Opener, served: Served, classes: list[str]) -> None:
    session = home_project(served).session()
    with_slices = [c for c in classes if session.slices(c)]
    if not with_slices:
        pytest.skip("no class of this project has a significant slice")
    page = open_page()
    select_class(page, with_slices[0])
    wait_for_slow_parts(page)
    page.locator("#view-performance [data-slice]").first.click()
    found = session.slices(with_slices[0])[0]
    page.locator("#view-tuning select option[value=slice]").wait_for(state="attached")
    page.locator("#view-tuning select").select_option("slice")
    page.locator("#view-tuning [role=slider]").first.focus()
    page.keyboard.press("m")
    page.wait_for_selector("#view-tuning .change")
    page.get_by_role("button", name="Apply", exact=True).click()
    expect(page.locator(CURRENT_STEP)).to_contain_text(f"focus on {found.name}")
    assert page.evaluate("() => window.inficond.store.state.focus") is None, "the slice is no longer selected"


def test_a_focus_without_training_images_is_disabled(
    open_page: Opener, served: Served, classes: list[str]
) -> None:
    """Subsets are counted on held-out images, but only training images enter a fit."""
    project = home_project(served)

    def step_that_leaves_none() -> Iterator[tuple[str, str, str, str]]:
        for cls in classes:
            found = project.session().influence(cls)
            for name in (found.concepts[k] for k in np.argsort(-np.abs(found.weights))[:6]):
                for kind in ("up", "mute"):
                    session = project.session()
                    session.apply(cls, Action(kind, name))
                    for subset in ("missed", "extra"):
                        if len(session.subset(cls, subset)) and not session.focus_size(cls, subset):
                            yield cls, name, kind, subset

    cls, name, kind, subset = next(step_that_leaves_none(), ("", "", "", ""))
    if not cls:
        pytest.skip("no single step leaves a subset without training images")
    page = open_page()
    select_class(page, cls)
    wait_for_slow_parts(page)
    page.evaluate(
        "([c, kind]) => window.inficond.store.propose(c, { kind, requested: 0 })",
        [name, kind],
    )
    page.get_by_role("button", name="Apply", exact=True).click()
    option = page.locator(f"#view-tuning select option[value={subset}]")
    expect(option).to_contain_text("none for training")
    expect(option).to_be_disabled()


def test_thresholds_are_set_shown_and_undone(open_page: Opener) -> None:
    page = open_page()
    before = page.locator("#view-performance [aria-selected=true] .stack").inner_html()
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Each class its own").check()
    page.get_by_role("button", name="Set thresholds").click()
    expect(page.locator(CURRENT_STEP)).to_contain_text("thresholds at the teacher")
    page.get_by_role("button", name="Settings").click()
    expect(page.get_by_label("Each class its own")).to_be_checked()
    page.get_by_label("Threshold of every class").fill("1.5")
    page.get_by_role("button", name="Set thresholds").click()
    expect(page.locator(".message.bad")).to_contain_text("between 0 and 1")
    page.get_by_label("Threshold of every class").fill("0,9")
    page.get_by_role("button", name="Set thresholds").click()
    expect(page.locator(CURRENT_STEP)).to_contain_text("thresholds = 0.9")
    expect(page.locator("#view-configuration .facts")).to_contain_text("threshold0.9")
    for _ in range(2):
        page.keyboard.press("Control+z")
    expect(page.locator(CURRENT_STEP)).to_contain_text("as it was fitted")
    assert page.locator("#view-performance [aria-selected=true] .stack").inner_html() == before


def test_branches_are_compared_named_and_exported_as_a_recipe(open_page: Opener, scratch: Path) -> None:
    page = open_page()
    first, second = list(weights(page))[:2]
    for name in (first, second):
        page.get_by_role("slider", name=f"weight of {name}", exact=True).focus()
        page.keyboard.press("m")
        page.get_by_role("button", name="Apply", exact=True).click()
        expect(page.locator(CURRENT_STEP)).to_contain_text(f"mute {name}")
        page.locator(
            "#view-provenance .step-button"
        ).last.click()  # check out the root: the next step starts a branch
        expect(page.locator(CURRENT_STEP)).to_contain_text("as it was fitted")
    expect(page.locator("#view-provenance [data-node]")).to_have_count(3)
    assert page.evaluate("() => window.inficond.store.state.parts['provenance.tree'].lanes") == 2
    page.get_by_role("button", name="Compare", exact=True).click()
    page.locator("#view-provenance .step-button").nth(0).click()
    page.locator("#view-provenance .step-button").nth(1).click()
    dialog = page.locator(".inf-dialog")
    expect(dialog).to_contain_text("Side by side")
    expect(dialog.locator("td", has_text=first).first).to_be_visible()
    page.keyboard.press("Escape")
    page.locator("#view-provenance .step-row").nth(0).hover()
    page.get_by_role("button", name="Name this step").first.click()
    page.get_by_label("Name of the step").or_(page.locator(".inf-dialog input")).first.fill("my <b>step</b>")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#view-provenance .step-row").nth(0)).to_contain_text("my <b>step</b>")
    page.locator("#view-provenance .step-button").nth(0).click()
    with page.expect_download() as info:
        page.get_by_role("button", name="Recipe", exact=True).click()
    info.value.save_as(scratch / "recipe.json")
    recipe = json.loads((scratch / "recipe.json").read_text(encoding="utf-8"))
    assert second in json.dumps(recipe, ensure_ascii=False)


def test_a_focus_is_recorded_in_the_step(open_page: Opener) -> None:
    page = open_page()
    options = page.locator("#view-tuning select option").all_inner_texts()
    assert options[0] == "no focus"
    assert len(options) > 1, "the selected class has misaligned images"
    page.locator("#view-tuning select").select_option(index=1)
    page.locator("#view-tuning [role=slider]").first.focus()
    page.keyboard.press("m")
    page.wait_for_selector("#view-tuning .change")
    page.get_by_role("button", name="Apply", exact=True).click()
    expect(page.locator(CURRENT_STEP)).to_contain_text("focus on")


def test_a_typed_word_becomes_a_concept(open_page: Opener) -> None:
    page = open_page()
    page.get_by_label("Add a concept by typing a word").fill("gold leaf")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#view-configuration .added .chip")).to_have_text("gold leaf")
    expect(page.locator('#view-influence [data-concept="gold leaf"]')).to_be_visible()
    page.get_by_role("button", name="Drop gold leaf").click()
    expect(page.locator("#view-configuration .added .chip")).to_have_count(0)
    page.get_by_label("Add a concept by typing a word").fill("   ")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#view-provenance [data-node]")).to_have_count(3)


def test_everything_is_reachable_by_keyboard(open_page: Opener, classes: list[str]) -> None:
    page = open_page()
    page.locator('#view-performance [aria-selected="true"]').focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(page.locator('[aria-selected="true"][data-class]')).to_have_attribute("data-class", classes[0])
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.evaluate("() => window.inficond.store.state.selection.subset") is not None
    page.keyboard.press("Enter")
    reached: set[str] = set()
    page.evaluate("() => document.querySelector('.topbar button').focus()")
    for _ in range(200):
        page.keyboard.press("Tab")
        where = page.evaluate(
            "() => { const n = document.activeElement; const b = n.closest('[id^=view-].block'); "
            "return [b ? b.id : '', n.getAttribute('role') || n.tagName.toLowerCase()]; }"
        )
        reached.add(f"{where[0]} {where[1]}")
    for wanted in (
        "view-configuration input", "view-performance row", "view-influence option", "view-tuning slider",
        "view-tuning button", "view-instances option", "view-provenance button",
    ):  # fmt: skip
        assert wanted in reached, f"Tab never reached {wanted}: {sorted(reached)}"
    page.locator('#view-influence .inf-row[tabindex="0"]').focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("b")
    page.wait_for_selector("#view-instances .gallery.lighting")
    page.keyboard.press("Enter")
    picked = page.evaluate("() => window.inficond.store.state.selection.concepts")
    assert len(picked) == 1
    page.locator('#view-instances .tile[tabindex="0"]').focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector("#view-instances [data-open-image]")
    page.keyboard.press("Escape")
    expect(page.locator("#view-instances [data-open-image]")).to_have_count(0)


def test_a_slider_reports_its_value(open_page: Opener) -> None:
    page = open_page()
    slider = page.locator("#view-tuning [role=slider]").first
    low, high = (float(slider.get_attribute(f"aria-value{k}") or "nan") for k in ("min", "max"))
    slider.focus()
    for key, wanted in (("End", high), ("Home", low), ("0", 0.0)):
        page.keyboard.press(key)
        assert float(slider.get_attribute("aria-valuenow") or "nan") == pytest.approx(wanted, abs=0.01)
    page.keyboard.press("Escape")
    assert page.evaluate("() => window.inficond.store.state.pending.length") == 0


def test_an_exported_student_holds_the_tuning(
    open_page: Opener, served: Served, scratch: Path, classes: list[str]
) -> None:
    from inficond.core.students import Students

    page = open_page()
    select_class(page, classes[0])
    name = next(iter(weights(page)))
    page.get_by_role("slider", name=f"weight of {name}", exact=True).focus()
    page.keyboard.press("m")
    page.get_by_role("button", name="Apply", exact=True).click()
    page.wait_for_selector("#view-provenance [data-node] >> nth=1")
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as info:
        page.get_by_role("menuitem", name="Student (safetensors)").click()
    info.value.save_as(scratch / "student.safetensors")
    students = Students.load(scratch / "student.safetensors")
    assert list(students.classes) == classes
    assert students.weights[0, students.concept_index(name)] == 0
