from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from melink.evaluate import plots, svg
from melink.evaluate.instructive import instructive, margin
from melink.evaluate.report import report
from melink.evaluate.result import build_result
from melink.evaluate.slices import Slice


def titles(html: str) -> list[str]:
    return re.findall(r"<h[23]>(.*?)</h[23]>", html)


def test_the_report_shows_figures_protocol_slices_plots_and_mentions(world, protocol):
    result = build_result(world.outcomes, protocol, {"a<b": Slice(frozenset({"near-1"}), 2)}, train_golds={"Q230"})
    html = report(result, world.outcomes, world.entities.get, "zeroshot <on> valid")
    assert "<h1>zeroshot &lt;on&gt; valid</h1>" in html
    assert "<dd>50.00%<small>" in html
    assert "31 candidates from names, lexical, exact" in html
    assert "a&lt;b (2 unknown ids)" in html
    assert {
        "Hits@k",
        "Rank of the right answer",
        "What each part adds",
        "Candidate recall",
        "Confidence",
        "Reliability",
        "Calibration",
        "NIL",
    } <= set(titles(html))
    assert {"Sure and wrong", "Near misses", "Lost before scoring", "NIL by mistake", "Decided by the image"} <= set(
        titles(html)
    )
    for image in re.findall(r"<svg class=\"plot\".*?</svg>", html):
        ElementTree.fromstring(image)
    assert "<script" not in html


def test_a_report_of_nothing_is_still_a_page(protocol):
    html = report(build_result([], protocol), [], {}.get)
    assert "–" in html
    assert 'class="plot"' not in html


def test_instructive_groups_do_not_overlap_and_are_ordered(world):
    groups = instructive(world.outcomes)
    ids = [outcome.mention.id for group in groups.values() for outcome in group]
    assert len(ids) == len(set(ids))
    assert {name: [o.mention.id for o in group] for name, group in groups.items()} == {
        "Sure and wrong": ["text-1"],
        "Near misses": ["near-1"],
        "Decided by the image": ["image-1"],
        "Lost before scoring": ["miss-1"],
        "NIL by mistake": ["nil-2"],
    }


def test_near_misses_and_sure_errors_are_the_two_ends(world):
    wrong = next(o for o in world.outcomes if o.mention.id == "text-1")
    many = []
    for place in range(9):
        gold = replace(wrong.gold_scored, score=0.8 - place / 10)
        many.append(replace(wrong, mention=replace(wrong.mention, id=f"m{place}"), gold_scored=gold))
    groups = instructive(many, limit=3)
    assert [o.mention.id for o in groups["Sure and wrong"]] == ["m8", "m7", "m6"]
    assert [o.mention.id for o in groups["Near misses"]] == ["m0", "m1", "m2"]
    assert margin(many[8]) == pytest.approx(0.84)


def test_nil_answered_with_an_entity_is_instructive(world):
    nil = next(o for o in world.outcomes if o.mention.id == "nil-1")
    groups = instructive([replace(nil, link=replace(nil.link, nil=False))])
    assert list(groups) == ["Should have been NIL"]


def test_contributions_are_gold_minus_best_rival(world):
    picked = [o for o in world.outcomes if o.mention.id in ("image-1", "text-1")]
    drawn = plots.contributions(picked)
    assert "+0.175" in drawn  # image: (0.41 - 0.06 + 0) / 2
    assert "-0.175" in drawn  # text: (0.08 - 0.21 + 0.12 - 0.34) / 2


def test_the_rank_histogram_adds_up(world):
    shares = [float(value) for value in re.findall(r">(\d+\.\d)</text>", plots.rank_histogram(world.outcomes))]
    assert sum(shares) == pytest.approx(100, abs=0.5)
    assert shares[0] == 50.0
    assert shares[-1] == 16.7


def test_plots_without_data_are_empty():
    assert [draw([]) for draw in (plots.hits_curve, plots.recall_curve, plots.rank_histogram, plots.contributions)] == [
        ""
    ] * 4
    assert plots.confidence_curve([]) == plots.reliability_diagram([]) == plots.deciders([]) == ""


def test_curves_stay_inside_their_frame():
    drawn = svg.lines({"a": [(1, 0.2), (10, 0.5), (100, 1.0)], "b": [(1, 0.0), (100, 0.1)]}, "k", log_x=True)
    for points in re.findall(r'points="([^"]+)"', drawn):
        for x, y in (map(float, pair.split(",")) for pair in points.split()):
            assert 0 <= x <= svg.WIDTH
            assert 0 <= y <= svg.HEIGHT
    first = re.search(r'points="([^"]+)"', drawn).group(1).split()
    xs = [float(pair.split(",")[0]) for pair in first]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)


@pytest.mark.parametrize(("lowest", "first"), [(1.0, 0.95), (0.97, 0.95), (0.61, 0.6), (0.0, 0.0), (0.12, 0.0)])
def test_gridlines_are_round_and_below_the_lowest_point(lowest, first):
    drawn = svg.lines({"a": [(1, lowest), (2, 1.0)]}, "k")
    labels = [int(value) for value in re.findall(r">(\d+)%<", drawn)]
    assert labels[0] == round(100 * first)
    assert labels[-1] == 100
    assert len(labels) <= 6


def test_lying_bars_end_or_begin_at_zero():
    drawn = svg.rows({"up": 0.6, "down": -0.3}, {})
    zero = float(re.search(r'class="zero" x1="([\d.]+)"', drawn).group(1))
    (up, long), (down, short) = (
        (float(x), float(w)) for x, w in re.findall(r' x="([\d.]+)" y="\d+" width="([\d.]+)"', drawn)
    )
    assert (up, down + short) == (pytest.approx(zero, abs=0.11), pytest.approx(zero, abs=0.11))
    assert long == pytest.approx(2 * short, abs=0.2)


def test_one_point_and_equal_values_draw():
    drawn = [
        svg.lines({"a": [(1, 1.0)]}, "k", log_x=True), svg.rows({"a": 0.0}, {}), svg.columns({"a": 0.0}),
        svg.interval(0.1, 0.2, 0.4),
    ]  # fmt: skip
    assert all(ElementTree.fromstring(each).tag.endswith("svg") for each in drawn)
    assert not any("nan" in each for each in drawn)
