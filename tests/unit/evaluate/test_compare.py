"""Comparisons: what is refused, what is one system, what the tables say, and that nothing in them is markup."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from melink.errors import InputError, NotFound, ProtocolError
from melink.evaluate.compare import METRICS, Comparison, compare, to_dict
from melink.evaluate.mentions import MentionRanks
from melink.evaluate.protocol import Protocol
from melink.evaluate.systems import Result, System, gather, read_result
from melink.evaluate.tables import HEADS, cells, html, markdown, notes, sources, title

IDS = tuple(f"m{place}" for place in range(8))
GOOD = (1, 1, 1, 1, 2, 1, 4, None)
POOR = (1, 2, 3, 1, 9, None, 6, None)
SLICES = {"hard": (4, 5, 6, 7), "all_of_it": tuple(range(8))}


@pytest.fixture
def make(protocol: Protocol) -> Callable[..., Result]:
    def result(path: str, ranks: tuple[float | None, ...] = GOOD, **changes: Any) -> Result:
        columns = {"id": IDS, "rank": ranks, "slices": SLICES}
        own = {name: changes.pop(name) for name in ("id", "sentence", "slices") if name in changes}
        return Result(path, replace(protocol, **changes), MentionRanks(**{**columns, **own}))

    return result


@pytest.fixture
def two(make: Callable[..., Result]) -> Comparison:
    names = make("names.json", POOR, method="names", entity_text_source="names only")
    return compare(gather([names, make("zeroshot.json")]), resamples=500)


def test_figures_and_differences_by_hand(two: Comparison):
    whole, hard = two.parts  # "all_of_it" would repeat the first table
    assert [part.name for part in two.parts] == ["overall", "hard"]
    assert (whole.mentions, whole.sentences, hard.mentions, two.by_sentence) == (8, 8, 4, False)
    names, zeroshot = whole.rows
    assert (names.system.name, zeroshot.system.name, two.baseline) == ("names", "zeroshot", names.system)
    assert [names.figures[metric].mean for metric in METRICS[:4]] == [2 / 8, 4 / 8, 4 / 8, 6 / 8]
    assert zeroshot.figures["mrr"].mean == pytest.approx((5 + 1 / 2 + 1 / 4) / 8)
    assert zeroshot.figures["mrr"].sd is None
    assert names.differences == {}
    assert zeroshot.differences["hits@1"].mean == 3 / 8
    assert hard.rows[1].differences["hits@10"].mean == pytest.approx(3 / 4 - 2 / 4)
    assert zeroshot.differences["hits@1"].p_holm == zeroshot.differences["hits@1"].p  # one system, nothing to correct


def test_seeds_are_one_system_and_averaged_mention_by_mention(make: Callable[..., Result]):
    base = make("z.json", POOR)
    seeds = [make(f"{n}.json", ranks, run=f"runs/bi-seed{n}", method="bi") for n, ranks in ((1, GOOD), (2, POOR))]
    baseline, both = gather([base, *seeds])
    assert (both.name, len(both.results)) == ("bi", 2)
    row = compare([baseline, both], resamples=200).parts[0].rows[1]
    assert row.figures["hits@1"].mean == (5 / 8 + 2 / 8) / 2
    assert row.figures["hits@1"].sd == pytest.approx(((5 / 8 - 2 / 8) ** 2 / 2) ** 0.5)
    assert row.differences["hits@1"].mean == pytest.approx((5 - 2) / 8 / 2)


@pytest.mark.parametrize(
    ("changes", "together"),
    [
        ([{"seeds": (1,)}, {"seeds": (2,)}], True),
        ([{"seeds": (1,)}, {"seeds": (1,)}], False),  # something that no protocol shows must differ
        ([{"seeds": (1,)}, {"seeds": (2,), "weights": {"name": 2.0}}], False),
        ([{"seeds": (1,)}, {"seeds": (2,), "method": "names"}], False),
        ([{"seeds": (1,)}, {"seeds": (2,), "entity_text_source": "label"}], False),
        ([{"run": "r/a-seed1", "encoders": {"e": "11"}}, {"run": "r/a-seed2", "encoders": {"e": "22"}}], True),
        ([{"run": "r/seed_1/a"}, {"run": "r/seed_2/a"}], True),
        ([{"run": "r/a-seed1", "encoders": {"e": "11"}}, {"run": "r/a-seed2", "encoders": {"f": "11"}}], False),
        ([{"run": "r/a-seed1"}, {"run": "r/b-seed2"}], False),
        ([{"run": "r/a1"}, {"run": "r/a2"}], False),
    ],
)
def test_what_is_the_same_system(make: Callable[..., Result], changes: list[dict[str, Any]], together: bool):
    systems = gather([make(f"{place}.json", **each) for place, each in enumerate(changes)])
    assert len(systems) == (1 if together else 2)
    assert len({system.name for system in systems}) == len(systems)


def test_systems_that_would_be_called_the_same_take_the_names_of_their_files(make: Callable[..., Result]):
    names = [system.name for system in gather([make("x/before.json"), make("y/after.json")])]
    assert names == ["before", "after"]
    assert [system.name for system in gather([make("x/r.json"), make("y/r.json")])] == ["x/r.json", "y/r.json"]
    assert [s.name for s in gather([make("a.json", run="runs/mine"), make("b.json")])] == ["mine", "zeroshot"]


def test_different_protocols_are_refused_with_what_differs(make: Callable[..., Result]):
    systems = gather([make("a.json"), make("b.json", candidates="full", ties="optimistic", method="names")])
    with pytest.raises(ProtocolError, match=r"a\.json and b\.json: .*candidates: 31 and 'full'; ties: 'mean' and"):
        compare(systems)


def test_different_mentions_are_refused_with_examples(make: Callable[..., Result]):
    other = make("b.json", id=("x", *IDS[1:]), slices={})
    with pytest.raises(ProtocolError, match=r"1 only in a\.json \('m0'\); 1 only in b\.json \('x'\)"):
        compare(gather([make("a.json"), other]))
    few = make("b.json", (1, 1, 1), id=IDS[:3], slices={})
    with pytest.raises(ProtocolError, match=r"5 only in a\.json \('m3', 'm4', 'm5', …\)\n"):
        compare(gather([make("a.json"), few]))


def test_dropped_misses_are_no_mentions_of_the_comparison(make: Callable[..., Result]):
    one, other = (make(name, GOOD, miss_policy="drop") for name in ("a.json", "b.json"))
    assert compare(gather([one, other]), resamples=100).parts[0].mentions == 7
    with pytest.raises(ProtocolError, match="different mentions"):
        compare(gather([one, make("c.json", POOR, miss_policy="drop")]))


def test_the_order_of_mentions_does_not_matter(make: Callable[..., Result], two: Comparison):
    places = {"hard": (0, 1, 2, 3), "all_of_it": tuple(range(8))}
    turned = make("zeroshot.json", GOOD[::-1], id=IDS[::-1], slices=places)
    found = compare(gather([two.baseline.results[0], turned]), resamples=500)
    assert [part.rows[1].differences for part in found.parts] == [part.rows[1].differences for part in two.parts]


def test_slices_that_differ_are_left_out_and_refused_when_asked_for(make: Callable[..., Result]):
    one, other = (
        make("a.json"),
        make("b.json", POOR, slices={"hard": (0, 1), "own": (3,), "all_of_it": tuple(range(8))}),
    )
    found = compare(gather([one, other]), resamples=100)
    assert [part.name for part in found.parts] == ["overall"] and found.left_out == ("hard", "own")
    assert "hard, own" in "\n".join(notes(found))
    with pytest.raises(ProtocolError, match="'hard'"):
        compare(gather([one, other]), slices=["hard"])
    with pytest.raises(NotFound, match="did you mean"):
        compare(gather([one, other]), slices=["all_of"])
    assert [p.name for p in compare(gather([one, other]), slices=["all_of_it"], resamples=100).parts] == ["all_of_it"]


def test_sentences_are_drawn_where_they_are_known(make: Callable[..., Result]):
    said = ("s1", "s1", "s2", "s2", "s3", "s3", None, None)
    found = compare(gather([make("a.json", POOR, sentence=said), make("b.json", sentence=said)]), resamples=100)
    assert found.by_sentence and found.parts[0].sentences == 5
    assert title(found.parts[0], True) == "overall: 8 mentions of 5 sentences"
    assert to_dict(found)["resampled"] == "sentences"


def test_the_baseline_is_the_first_or_the_one_named(make: Callable[..., Result]):
    systems = gather([make("a.json", POOR, method="names"), make("b.json")])
    for name in ("zeroshot", "b.json"):
        found = compare(systems, name, resamples=100)
        assert found.baseline.name == "zeroshot"
        assert found.parts[0].rows[0].differences["hits@1"].mean == -3 / 8
    with pytest.raises(NotFound, match="'zerosho'"):
        compare(systems, "zerosho")
    for few in (systems[:1], []):
        with pytest.raises(InputError, match="fewer than two"):
            compare(few)


def test_nothing_to_compare_on(make: Callable[..., Result]):
    with pytest.raises(InputError, match="no mention"):
        compare(gather([make(name, (), id=(), slices={}) for name in ("a.json", "b.json")]))


def test_three_systems_are_corrected_together(make: Callable[..., Result]):
    found = compare(
        gather([make("a.json", POOR, method="n"), make("b.json"), make("c.json", method="m")]), resamples=500
    )
    _, one, other = found.parts[0].rows
    assert one.differences["hits@1"].p_holm == min(1, 2 * one.differences["hits@1"].p)
    assert one.differences["mrr"].p_t_holm == pytest.approx(min(1, 2 * (one.differences["mrr"].p_t or 0)))
    assert other.differences == one.differences
    assert "Holm-corrected for 2 systems" in notes(found)[0]


def test_the_cells_of_a_table(two: Comparison):
    first, second = cells(two.parts[0])
    assert [cell.text for cell in first[:4]] == ["names", "names only", "25.00", "50.00"]
    assert [cell.text.rstrip("†‡") for cell in second[:4]] == ["zeroshot", "label+description", "62.50", "75.00"]
    assert not any(cell.best for cell in first)
    assert [place for place, cell in enumerate(second) if cell.best] == [2, 3, 4, 5, 6]
    assert (first[7].text, first[8].text) == ("–", "–")
    assert re.fullmatch(r"\+37\.50 \([+-]\d+\.\d\d to \+\d+\.\d\d\)", second[7].text)
    assert len(first) == len(second) == len(HEADS)


def test_marks_say_what_is_more_than_luck(make: Callable[..., Result]):
    ids = tuple(f"m{place}" for place in range(200))
    runs = [
        make(f"{name}.json", tuple([1] * right + [2] * (200 - right)), id=ids, slices={}, method=name)
        for name, right in (("base", 100), ("bit", 103), ("more", 106), ("much", 150))
    ]
    found = compare(gather(runs), resamples=2000)
    shown = [row[2].text for row in cells(found.parts[0])]
    assert shown == ["50.00", "51.50", "53.00†", "75.00‡"]
    assert [row[2].best for row in cells(found.parts[0])] == [False, False, False, True]
    assert all(row[3].best for row in cells(found.parts[0]))  # all have 100 there


def test_what_comes_from_files_is_not_markup(make: Callable[..., Result]):
    nasty = "<img src=x onerror=1>|**b**\x1b[31m\u202e`c`"
    results = [make(f"{nasty}.json", POOR, entity_text_source=nasty), make("b.json", method=nasty, run=nasty)]
    systems = [System(nasty, (results[0],)), System("b & <c>", (results[1],))]
    found = compare(systems, resamples=100)
    page, page_md = html(found), markdown(found)
    for shown in (page, page_md, "".join(notes(found)), "".join(c.text for row in cells(found.parts[0]) for c in row)):
        assert "\x1b" not in shown and "\u202e" not in shown
    for shown in (page, page_md):
        assert "<img" not in shown and "<c>" not in shown and "&lt;img src=x onerror=1&gt;" in shown
    rows = [line for line in page_md.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {len(HEADS) + 1}
    assert r"\*\*b\*\*" in page_md and r"\`c\`" in page_md


def test_markdown_and_html_hold_the_same_figures(two: Comparison):
    page, page_md = html(two), markdown(two)
    for row in cells(two.parts[0]):
        for cell in row[2:7]:
            assert (f"<td><b>{cell.text}</b></td>" if cell.best else f"<td>{cell.text}</td>") in page
            assert (f"| **{cell.text}** |" if cell.best else f"| {cell.text} |") in page_md
    assert page.startswith("<!doctype html>") and "default-src 'none'" in page
    for line in sources(two):
        assert line.split(";")[0] in page


def test_json_is_plain_and_whole(two: Comparison):
    found = to_dict(two)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    row = found["slices"]["overall"]["systems"]["zeroshot"]
    assert set(row) == {"seeds", *METRICS, "differences"} and row["hits@1"] == {"mean": 5 / 8, "sd": None}
    assert set(row["differences"]["mrr"]) == {"mean", "low", "high", "p", "t", "p_t", "p_holm", "p_t_holm"}
    assert found["slices"]["overall"]["systems"]["names"]["differences"] == {}
    assert found["systems"]["names"][0]["file"] == "names.json" and found["protocol"]["candidates"] == 31


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON"),
        ("[]", "not a result"),
        ('{"protocol": {}}', "not the rank of each mention"),
        ('{"protocol": {"method": "m"}, "mentions": {}}', "incomplete protocol"),
    ],
)
def test_files_that_are_no_results(tmp_path: Path, content: str, words: str):
    file = tmp_path / "r.json"
    file.write_text(content)
    with pytest.raises((InputError, ProtocolError), match=rf"r\.json: .*{words}"):
        read_result(file)
    with pytest.raises(InputError, match=r"nowhere\.json: No such file"):
        read_result(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    "changes",
    [
        {"id": ["a", "a"]}, {"rank": [1]}, {"rank": [0.5, 1]}, {"rank": ["x", 1]}, {"sentence": ["s"]},
        {"slices": {"s": [2]}}, {"slices": {"s": [-1]}}, {"slices": {"s": [1, 0]}}, {"slices": {"s": [0, 0]}},
        {"surprise": 1},
    ],
)  # fmt: skip
def test_columns_that_do_not_hold_together(tmp_path: Path, protocol: Protocol, changes: dict[str, Any]):
    file = tmp_path / "r.json"
    good: dict[str, Any] = {"id": ["a", "b"], "rank": [1, None], "sentence": None, "slices": {"s": [1]}}
    file.write_text(json.dumps({"protocol": protocol.to_dict(), "mentions": good}))
    assert read_result(file).ranks() == {"a": 1, "b": float("inf")}
    assert read_result(file).slice("s") == {"b"} and read_result(file).slice("t") == frozenset()
    file.write_text(json.dumps({"protocol": protocol.to_dict(), "mentions": {**good, **changes}}))
    with pytest.raises(InputError, match=r"r\.json: the ranks of mentions cannot be used"):
        read_result(file)


@pytest.mark.parametrize("changes", [{"encoders": []}, {"weights": None}, {"method": 3}, {"kb_size": "6"}])
def test_a_protocol_of_wrong_types(tmp_path: Path, protocol: Protocol, changes: dict[str, Any]):
    file = tmp_path / "r.json"
    file.write_text(json.dumps({"protocol": {**protocol.to_dict(), **changes}, "mentions": {"id": [], "rank": []}}))
    with pytest.raises(ProtocolError, match=r"r\.json: "):
        read_result(file)
