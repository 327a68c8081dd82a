from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from melink.evaluate.cards import card, page
from melink.evaluate.decide import decide, kind_of
from melink.evaluate.markup import document, sentence, text
from melink.evaluate.thumbnails import Thumbnails
from melink.links import decisive_part
from melink.records import Entity, Link, Mention, Scored

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)> \" ' \u202egnp.exe \ud800 " + "W" * 5000
VOID = {"meta", "link", "img", "br", "rect"}


class Reader(HTMLParser):
    """Collects elements and attributes, and checks that the page is well formed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    return reader


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html))


def outcome(world, id):
    return next(each for each in world.outcomes if each.mention.id == id)


def test_a_card_says_what_decided_and_what_would_have_won_otherwise(world):
    html = card(outcome(world, "image-1"), world.entities.get)
    assert "Decided by: image — the picture looks more like Georgia (country) than Georgia (US state)" in words(html)
    assert "0.41 vs 0.06" in words(html)
    assert "Without it, the answer would be Georgia (US state)." in words(html)
    assert "<mark>Georgia</mark>" in html
    assert 'data-tags="right image"' in html


def test_a_card_quotes_the_fact_that_decided(world):
    html = card(outcome(world, "fact-1"), world.entities.get)
    assert "agrees with a fact about Georgia (country): “capital: Tbilisi”, 0.24 vs 0.00" in words(html)
    assert 'data-tags="right triple"' in html


def test_a_wrong_card_shows_the_right_answer(world):
    html = card(outcome(world, "text-1"), world.entities.get)
    assert 'data-tags="wrong text"' in html
    assert "The right answer is at rank 2." in words(html)
    assert len(re.findall(r'<li class="tile gold', html)) == 1


def test_a_right_answer_beyond_the_shown_ones_gets_a_tile_of_its_own(world):
    missed = card(outcome(world, "miss-1"), world.entities.get)
    assert "The right answer was not among the candidates." in words(missed)
    assert '<span class="place">missed</span>' in missed
    deep = replace(outcome(world, "near-1"), rank=17.5)
    assert '<span class="place">17.5</span>' in card(deep, world.entities.get, top=1)


def test_nil_cards(world):
    right = card(outcome(world, "nil-1"), world.entities.get)
    assert 'data-tags="right nil"' in right
    assert "(probability 0.81)" in words(right)
    assert 'data-tags="wrong nil"' in card(outcome(world, "nil-2"), world.entities.get)


def test_the_demo_extras_are_shown(world):
    html = card(outcome(world, "text-1"), world.entities.get, expected="image", note="Nobody could know.")
    assert "should be decided by: image" in words(html)
    assert "Nobody could know." in words(html)


def test_a_bare_link_is_judged_when_gold_is_given(world):
    link = outcome(world, "text-1").link
    assert 'data-tags="text"' in card(link, world.entities.get)
    assert "✗ wrong" in card(link, world.entities.get, gold="g-font")
    assert "✓ right" in card(link, world.entities.get, gold="Q1428")
    assert "✗ wrong" in card(link, world.entities.get, gold="NIL")


def test_a_link_without_candidates_and_an_unknown_entity_still_make_a_card():
    mention = Mention("m", "text", "name")
    assert "no candidate was found" in card(Link(mention), {}.get)
    read(card(Link(mention, (Scored("X", "x", 0.0),)), {}.get))


def test_pictures_are_embedded_and_bad_ones_are_named(world):
    html = "".join(card(each, world.entities.get) for each in world.outcomes)
    assert "data:image/webp;base64," in html
    assert "picture: missing" in html
    assert "picture: corrupt" in html
    assert "no picture" in html


def test_each_picture_is_made_once(world, monkeypatch):
    calls = []
    from melink.evaluate import thumbnails

    real = thumbnails.load_image
    monkeypatch.setattr(thumbnails, "load_image", lambda path: (calls.append(path), real(path))[1])
    pictures = Thumbnails(size=40)
    for each in world.outcomes * 2:
        card(each, world.entities.get, thumbnails=pictures)
    assert len(calls) == len(set(calls)) > 3


def test_the_picture_that_matched_is_the_one_shown(world):
    two = replace(world.entities["Q230"], images=(*world.entities["Q1428"].images, *world.entities["Q230"].images))
    mention = Mention("m", "Georgia", "Georgia")
    plain = Link(mention, (Scored("Q230", "Georgia", 1.0),))
    told = Link(mention, (Scored("Q230", "Georgia", 1.0, evidence={"matched_image": two.images[1]}),))
    assert card(plain, {"Q230": two}.get) != card(told, {"Q230": two}.get)
    assert two.images[1] not in card(told, {"Q230": two}.get)


def hostile_page() -> str:
    entity = Entity('Q1"><b>', HOSTILE, (HOSTILE,), HOSTILE, images=(HOSTILE,))
    scored = Scored(
        entity.id, HOSTILE, 1.0, {HOSTILE: 0.5, "x": -0.1}, {HOSTILE: HOSTILE, "matched_triples": [HOSTILE]}
    )
    mention = Mention(HOSTILE, HOSTILE, HOSTILE, 0, 30, HOSTILE)
    link = Link(mention, (scored, replace(scored, id="Q2", score=0.5, parts={})))
    cards = [card(link, {entity.id: entity}.get, gold="Q2", expected=HOSTILE, note=HOSTILE)]
    return page(HOSTILE, HOSTILE, cards, {HOSTILE: HOSTILE})


def test_hostile_text_stays_text():
    html = hostile_page()
    reader = read(html)
    assert reader.tags.count("script") == 1
    assert not [name for name, _ in reader.attributes if name.startswith("on") or name == "style"]
    assert "\u202e" not in html
    html.encode("utf-8")
    assert len(html) < 60_000


@pytest.mark.parametrize("html", [hostile_page(), document("t", "<p>x</p>")])
def test_a_page_asks_nobody_for_anything(html):
    for name, value in read(html).attributes:
        if name in {"src", "href", "srcset", "action", "data"}:
            assert value.startswith(("data:", "https://www.wikidata.org/wiki/Q")), value
    assert not re.search(r"@import|url\(", html)


def test_the_policy_names_exactly_the_style_and_script_of_the_page(world):
    import base64
    import hashlib

    html = page("t", "i", [card(each, world.entities.get) for each in world.outcomes], {"n": 8})
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html).group(1)
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    for kind in ("style", "script"):
        inside = re.search(f"<{kind}>(.*?)</{kind}>", html, re.DOTALL).group(1)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert all(name != "style" for name, _ in read(html).attributes)


def test_bars_compare_within_a_card_and_negative_ones_go_left():
    from melink.evaluate.tiles import Scale

    scale = Scale.of([Scored("a", "a", 0, {"x": 0.6}), Scored("b", "b", 0, {"x": -0.2, "y": 0.3})])
    assert scale.parts == ("x", "y")
    assert 'x="25.00%" width="75.00%"' in scale.bar(0.6, "text")
    assert 'x="0.00%" width="25.00%"' in scale.bar(-0.2, "text")


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, 4, "<mark>Rome</mark> burns"),
        (5, 10, "Rome <mark>burns</mark>"),
        (None, None, "<mark>Roma</mark>"),
        (5, 99, "<mark>Roma</mark>"),
    ],
)
def test_the_span_is_highlighted_or_the_name_follows(start, end, expected):
    assert expected in sentence(Mention("m", "Rome burns", "Roma", start, end))


def test_long_texts_are_cut_around_the_mention():
    long = "a" * 3000 + " Rome " + "b" * 3000
    found = sentence(Mention("m", long, "Rome", 3001, 3005))
    assert len(found) < 700
    assert found.startswith("…a")
    assert found.endswith("b…")
    assert "a <mark>Rome</mark> b" in found


def test_text_is_cut_after_removing_what_is_invisible():
    assert text("\u202eabc\x00d") == "abc d"
    assert text("abcdef", 4) == "abc…"
    assert text('"<&') == "&quot;&lt;&amp;"


def test_the_decisive_part_is_the_largest_gap_even_when_one_side_lacks_it():
    first = Scored("a", "a", 1.0, {"name": 0.5, "image": 0.3, "text": 0.2})
    second = Scored("b", "b", 0.8, {"name": 0.5, "text": 0.3})
    assert decisive_part(first, second) == ("image", 0.3)
    assert decisive_part(Scored("a", "a", 1.0), Scored("b", "b", 0.25)) == ("score", 0.75)
    assert decisive_part(second, first)[0] == "text"


def test_without_names_the_best_of_the_others_only_when_the_answer_would_change():
    mention = Mention("m", "t", "t")
    first = Scored("a", "a", 1.0, {"name": 0.5, "image": 0.5})
    second, third = Scored("b", "b", 0.7, {"name": 0.3, "image": 0.4}), Scored("c", "c", 0.6, {"name": 0.6})
    assert decide(Link(mention, (first, second))).without is None
    decision = decide(Link(mention, (first, replace(second, parts={"name": 0.55, "image": 0.15}), third)))
    assert (decision.part, decision.kind, decision.without.id) == ("image", "image", "c")


def test_nothing_decides_a_tie():
    mention, same = Mention("m", "t", "t"), Scored("a", "a", 1.0, {"name": 1.0})
    assert decide(Link(mention, (same, replace(same, id="b")))).kind == "tie"


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ("name", "name"), ("text", "text"), ("image", "image"), ("triples", "triple"), ("text_image", "cross"),
        ("image_text", "cross"), ("tv", "cross"), ("vv", "image"), ("S_C", "other"), ("image global", "image"),
    ],
)  # fmt: skip
def test_parts_have_kinds(part, kind):
    assert kind_of(part) == kind
