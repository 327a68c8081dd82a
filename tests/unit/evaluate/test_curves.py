"""Learning curves worked by hand: levels, references on the same mentions, tables, plots and the page."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest

from melink.errors import ProtocolError
from melink.evaluate.curve_page import cells, class_cells, notes, page, seen_plot, share_plot, times_plot
from melink.evaluate.curves import ALL, TIMES, Curve, Point, levels, times_seen, to_csv, to_dict
from melink.evaluate.protocol import Protocol
from melink.evaluate.trends import Dot, Line, Tick, alone, trend
from melink.records import NIL, Labelled, Mention

ODD = 'am<b>ig & "x"'
IDS = ("a", "b", "c", "d")
NAMESPACE = "{http://www.w3.org/2000/svg}"


def figures(ranks: Sequence[float | None]) -> dict[str, Any]:
    n = len(ranks)
    hits = {f"hits@{k}": sum(rank is not None and rank <= k for rank in ranks) / n if n else None for k in (1, 5)}
    return {"n": n, **hits, "mrr": sum(1 / rank for rank in ranks if rank) / n if n else None, "ci95": {}}


def result(
    protocol: Protocol, ranks: Sequence[float | None], slices: Mapping[str, Sequence[int]], ids: Sequence[str] = IDS
) -> dict[str, Any]:
    return {
        "protocol": protocol.to_dict(),
        "overall": figures(ranks),
        "slices": {name: figures([ranks[place] for place in places]) for name, places in slices.items()},
        "mentions": {"id": list(ids), "rank": list(ranks), "slices": {n: list(p) for n, p in slices.items() if p}},
    }


@pytest.fixture
def curve(protocol: Protocol) -> Curve:
    """Two shares by two seeds; at 10 % mention a is seen once, at 100 % a once and b seven times."""
    low = {ODD: (2, 3), "seen_entities": (0,), "unseen_entities": (1, 2, 3), TIMES[0]: (1, 2, 3), TIMES[1]: (0,)}
    high = {ODD: (2, 3), "seen_entities": (0, 1), "unseen_entities": (2, 3), TIMES[0]: (2, 3), TIMES[1]: (0,)}
    high[TIMES[4]] = (1,)
    points = (
        Point(10, 0, 10, 9, result(protocol, (1, 2, 3, 1), low), "share-010-seed0/result.json"),
        Point(100, 0, 100, 80, result(protocol, (1, 1, 1, 1), high), "share-100-seed0/result.json"),
        Point(10, 1, 12, 8, result(protocol, (1, 1.5, None, 2), low), "share-010-seed1/result.json"),
        Point(100, 1, 100, 80, result(protocol, (1, 1, 2, 1), high), "share-100-seed1/result.json"),
    )
    references = {"zeroshot": result(protocol, (2, 1, 1, 9), {ODD: (2, 3)})}
    return Curve("biencoder", "sentence", (ODD,), points, references, 4)


def test_levels_are_means_over_seeds(curve: Curve) -> None:
    low, high = levels(curve, ALL)
    assert (low.share, low.mentions, low.n, low.seeds) == (10, 11, 4, 2)
    assert low.mean == pytest.approx((2 / 4 + 1 / 4) / 2)
    assert low.sd == pytest.approx(0.25 / 2**0.5)
    assert high.mean == pytest.approx((1 + 3 / 4) / 2)
    odd = levels(curve, ODD)
    assert [level.mean for level in odd] == pytest.approx([(1 / 2 + 0) / 2, (1 + 1 / 2) / 2])


def test_seen_and_unseen_change_with_the_share(curve: Curve) -> None:
    assert [level.n for level in levels(curve, "seen_entities")] == [1, 2]
    assert [level.mean for level in levels(curve, "unseen_entities")] == pytest.approx([(1 / 3 + 0) / 2, 0.75])


def test_a_reference_is_judged_on_the_mentions_of_each_point(curve: Curve) -> None:
    assert [level.mean for level in levels(curve, ALL, "zeroshot")] == [0.5, 0.5]
    assert [level.mean for level in levels(curve, "unseen_entities", "zeroshot")] == pytest.approx([2 / 3, 1 / 2])
    assert levels(curve, ALL, "zeroshot")[0].sd is None


def test_a_class_that_is_empty_at_a_share_has_no_level(curve: Curve) -> None:
    assert [level.share for level in levels(curve, TIMES[4])] == [100]
    assert levels(curve, TIMES[2]) == []
    assert [row[0] for row in class_cells(curve)[1]] == ["10%", "100%", "zeroshot, at 100%"]
    assert class_cells(curve)[1][0][1:] == ["16.67 ± 23.57 (3)", "100.00 ± 0.00 (1)", "–", "–", "–"]


def test_one_seed_has_no_spread(curve: Curve) -> None:
    one = Curve("biencoder", "sentence", (), curve.points[:2], {}, 4)
    assert [level.sd for level in levels(one, ALL)] == [None, None]
    assert cells(one)[1][0][:3] == ["10%", "10", "50.00"]
    assert "Under way: 2 of 4 points." in notes(one)


def test_a_reference_on_other_mentions_is_refused(curve: Curve, protocol: Protocol) -> None:
    other = result(protocol, (1, 1, 1, 1), {}, ids=("a", "b", "c", "other"))
    with pytest.raises(ProtocolError, match="other mentions"):
        levels(Curve("m", "sentence", (), curve.points, {"names": other}, 4), ALL, "names")


def test_times_seen() -> None:
    def sample(id: str, gold: str | None) -> Labelled:
        return Labelled(Mention(id, "text", "name"), gold)

    train = [sample(f"{gold}-{n}", gold) for gold, count in zip("ABCDEF", range(6), strict=True) for n in range(count)]
    train += [sample(f"G{n}", "G") for n in range(9)]
    valid = [sample(f"v{gold}", gold) for gold in "ABCDEFG"] + [sample("none", None), sample("nil", NIL)]
    found = {name: sorted(part.ids) for name, part in times_seen(valid, train).items()}
    assert found == dict(zip(TIMES, (["nil", "vA"], ["vB"], ["vC"], ["vD", "vE", "vF"], ["vG"]), strict=True))


def test_the_csv_holds_every_figure(curve: Curve) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(curve))))
    assert {row["system"] for row in rows} == {"biencoder", "zeroshot"}
    own = [row for row in rows if row["group"] == ODD and row["system"] == "biencoder"]
    assert [(row["share"], row["seed"], row["n"], row["hits@1"]) for row in own] == [
        ("10", "0", "2", "0.50000"),
        ("100", "0", "2", "1.00000"),
        ("10", "1", "2", "0.00000"),
        ("100", "1", "2", "0.50000"),
    ]
    assert {row["share"] for row in rows if row["system"] == "zeroshot"} == {""}


def test_the_json_says_whether_it_is_complete(curve: Curve) -> None:
    found = to_dict(curve)
    assert found["complete"] and not to_dict(Curve("m", "sentence", (), curve.points[:1], {}, 4))["complete"]
    assert found["points"][0]["groups"]["seen_entities"]["n"] == 1
    assert [level["training_mentions"] for level in found["means"][ALL]] == [11, 100]
    assert [level["hits@1"] for level in found["references_on_the_same_mentions"]["zeroshot"][TIMES[1]]] == [0, 0]


def test_plots_are_well_formed_and_name_every_line(curve: Curve) -> None:
    drawn = {plot.__name__: alone(plot(curve)) for plot in (share_plot, seen_plot, times_plot)}
    words = {name: " ".join(ElementTree.fromstring(svg).itertext()) for name, svg in drawn.items()}
    assert ODD in words["share_plot"] and "zeroshot, all" in words["share_plot"] and "10%" in words["share_plot"]
    assert "unseen entities" in words["share_plot"] and "zeroshot, unseen" not in words["share_plot"]
    assert "biencoder, seen" in words["seen_plot"] and "zeroshot, unseen" in words["seen_plot"]
    assert "n = 2" in words["times_plot"] and "6+" in words["times_plot"]
    lines = ElementTree.fromstring(drawn["share_plot"]).findall(f".//{NAMESPACE}polyline")
    assert sum("line" in str(line.get("class")).split() for line in lines) == 4 + 2
    assert "<b>" not in drawn["share_plot"]


def test_the_page_is_escaped_and_runs_nothing(curve: Curve) -> None:
    html = page(curve, "biencoder <on> valid")
    assert "<h1>biencoder &lt;on&gt; valid</h1>" in html and "am&lt;b&gt;ig &amp; &quot;x&quot;" in html
    assert "<b>ig" not in html and "<script" not in html and "@import" not in html and 'src="' not in html
    for plot in re.findall(r'<svg class="trend".*?</svg>', html):
        ElementTree.fromstring(plot)
    assert html.count('<svg class="trend"') == 3
    assert "share-010-seed1/result.json" in html


def test_one_point_is_drawn_too(curve: Curve) -> None:
    one = Curve("biencoder", "sentence", (), curve.points[:1], {}, 1)
    assert ElementTree.fromstring(alone(share_plot(one))).find(f".//{NAMESPACE}circle") is not None


def test_names_of_lines_do_not_meet() -> None:
    lines = [Line(f"line {n}", (Dot(1, 0.9), Dot(2, 0.9 + n / 1e4)), n) for n in range(6)]
    svg = ElementTree.fromstring(alone(trend(lines, [Tick(1, ("1",)), Tick(2, ("2",))], "x")))
    names = [text for text in svg.iter(f"{NAMESPACE}text") if "line" in "".join(text.itertext())]
    heights = sorted(float(str(text.get("y"))) for text in names)
    assert len(heights) == 6 and min(b - a for a, b in pairwise(heights)) >= 15.9


def test_bands_stay_in_the_plot() -> None:
    svg = trend([Line("a", (Dot(1, 0.99, 0.05), Dot(2, 1.0, 0.0)), 0)], [Tick(1, ("1",)), Tick(2, ("2",))], "x")
    heights = [float(pair.split(",")[1]) for pair in re.findall(r'band c0" points="([^"]+)"', svg)[0].split()]
    assert min(heights) >= 0


def test_no_lines_are_no_plot() -> None:
    assert trend([Line("empty", (), 0)], [Tick(1, ("1",))], "x") == "" == alone("")
