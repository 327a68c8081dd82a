from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from melink.errors import InputError, ProtocolError
from melink.evaluate.outcome import judge
from melink.evaluate.protocol import COMPARED, Protocol, file_hash
from melink.evaluate.result import build_result, measure, nil_score, to_plain
from melink.evaluate.slices import Slice, automatic, read_slice
from melink.records import Link, Mention, Scored


def test_the_result_has_the_contract_keys_and_is_strict_json(world, protocol):
    given = {"hard": Slice(frozenset({"near-1", "miss-1"}), unknown=3)}
    result = build_result(world.outcomes, protocol, given, {"total": np.float32(1.5)}, 4, {"Q230"})
    again = json.loads(json.dumps(result, allow_nan=False))
    assert again == result
    assert set(result) == {"protocol", "overall", "slices", "mentions", "timing", "counts"}
    assert list(result["overall"]) == [
        "n", "hits@1", "hits@3", "hits@5", "hits@10", "hits@20", "mrr", "mr", "candidate_recall", "nil",
        "calibration", "ci95",
    ]  # fmt: skip
    assert result["counts"] == {"mentions": 8, "linkable": 6, "nil": 1, "unlabelled": 1, "passed_over": 4}
    assert result["timing"]["total"] == 1.5
    assert result["timing"]["mention_p50"] == pytest.approx(0.01)


def test_figures_worked_by_hand(world, protocol):
    overall = build_result(world.outcomes, protocol)["overall"]  # ranks 1, 1, 2, 2, miss, 1
    assert (overall["n"], overall["hits@1"], overall["candidate_recall"]) == (6, 3 / 6, 5 / 6)
    assert overall["mrr"] == pytest.approx((1 + 1 + 0.5 + 0.5 + 0 + 1) / 6)
    assert overall["mr"] == pytest.approx(7 / 5)
    nil = overall["nil"]
    assert (nil["n_nil"], nil["n_in_kb"], nil["n_predicted"]) == (1, 6, 2)
    assert (nil["precision"], nil["recall"], nil["in_kb_accuracy"]) == (0.5, 1.0, 2 / 6)


def test_slices_are_measured_by_the_same_code(world, protocol):
    slices = build_result(world.outcomes, protocol, {"hard": Slice(frozenset({"near-1"}), 2)}, train_golds={"Q230"})[
        "slices"
    ]
    assert set(slices) == {"hard", "with_image", "without_image", "nil", "seen_entities", "unseen_entities"}
    assert (slices["hard"]["n"], slices["hard"]["mrr"], slices["hard"]["unknown_ids"]) == (1, 0.5, 2)
    assert slices["seen_entities"]["n"] + slices["unseen_entities"]["n"] == 6
    assert slices["nil"]["n"] == 0
    assert slices["nil"]["hits@1"] is None
    assert slices["nil"]["nil"]["recall"] == 1.0
    whole = Slice(frozenset(outcome.mention.id for outcome in world.outcomes)).of(world.outcomes)
    assert measure(whole, seed=7) == measure(world.outcomes, seed=7)


def test_the_ranks_of_mentions_are_kept_with_sentence_and_slices(world, protocol):
    said = [replace(o, sentence="s1" if o.mention.id in ("near-1", "miss-1") else None) for o in world.outcomes]
    kept = build_result(said, protocol, {"hard": Slice(frozenset({"near-1", "miss-1"}))})["mentions"]
    assert kept["id"] == ["image-1", "fact-1", "text-1", "near-1", "miss-1", "nil-2"]  # linkable ones only
    assert kept["rank"] == [1.0, 1.0, 2.0, 2.0, None, 1.0]
    assert kept["sentence"] == [None, None, None, "s1", "s1", None]
    assert kept["slices"]["hard"] == [3, 4] and "nil" not in kept["slices"]
    bare = build_result(world.outcomes, protocol)["mentions"]
    assert bare["sentence"] is None and set(bare["slices"]) == {"with_image", "without_image"}


def test_intervals_draw_sentences_where_they_are_known(world):
    whole = [replace(outcome, sentence="one") for outcome in world.outcomes]
    figures = measure(whole)
    assert figures["ci95"]["hits@1"] == [figures["hits@1"]] * 2  # a single sentence is drawn every time
    low, high = measure(world.outcomes)["ci95"]["hits@1"]
    assert low < figures["hits@1"] < high
    found = measure([outcome for outcome in whole if outcome.rank is not None], "drop")
    assert measure(whole, "drop")["ci95"] == found["ci95"]


def test_seen_entities_need_train_golds(world):
    assert not [name for name in automatic(world.outcomes) if "seen" in name]


def test_without_nil_mentions_their_figures_are_none(world, protocol):
    linkable = [outcome for outcome in world.outcomes if outcome.linkable]
    nil = build_result(linkable, protocol)["overall"]["nil"]
    assert (nil["recall"], nil["f1"], nil["auroc"]) == (None, None, None)


def test_no_outcomes_give_an_empty_result(protocol):
    result = build_result([], protocol)
    assert result["overall"]["n"] == 0
    assert result["slices"] == {}


def test_gold_outside_the_knowledge_base_is_nil_and_never_a_hit(world):
    known = world.outcomes[0]
    outside = replace(known, gold="Q999", gold_in_kb=False, rank=None)
    assert (outside.linkable, outside.is_nil, outside.correct) == (False, True, False)
    assert measure([outside])["n"] == 0
    assert replace(outside, link=Link(known.mention, nil=True)).correct


def test_dropping_misses_leaves_candidate_recall_alone(world):
    kept, dropped = measure(world.outcomes), measure(world.outcomes, "drop")
    assert (kept["n"], dropped["n"]) == (6, 5)
    assert dropped["candidate_recall"] == kept["candidate_recall"] == 5 / 6
    assert dropped["hits@1"] == 3 / 5


def test_judging_a_bare_link():
    mention = Mention("m", "t", "t")
    link = Link(mention, (Scored("a", "a", 2.0), Scored("b", "b", 1.0), Scored("c", "c", 1.0)))
    assert (judge(link, "a").rank, judge(link, "a").correct) == (1, True)
    assert judge(link, "c").rank == 2.5
    assert judge(link, "x").rank is None
    assert judge(link, "a", gold_in_kb=False).is_nil
    assert (judge(link).labelled, judge(link).correct) == (False, None)


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (Link(Mention("m", "t", "t"), (), True, 0.9), 0.9),
        (Link(Mention("m", "t", "t"), (), False, 0.9), pytest.approx(0.1)),
        (Link(Mention("m", "t", "t"), (), False, 0.9, {"nil_probability": 0.05}), 0.05),
        (Link(Mention("m", "t", "t"), (Scored("a", "a", 0.7),)), -0.7),
        (Link(Mention("m", "t", "t")), float("inf")),
    ],
)
def test_the_likelihood_of_nil(link, expected):
    assert nil_score(judge(link)) == expected


def test_plain_values_are_finite():
    messy = {1: [np.float32("nan"), np.int64(3)], "a": np.array([1.0, np.inf]), "b": (float("-inf"), None, True)}
    assert to_plain(messy) == {"1": [None, 3], "a": [1.0, None], "b": [None, None, True]}


def test_a_slice_file_is_read_by_its_first_column(tmp_path):
    file = tmp_path / "hard.tsv"
    file.write_bytes("\ufeffid\tn\r\nm1\t3\r\nm2\t\u20289\n\nm2\t9\nm9\t1\n".encode())
    assert read_slice(file) == Slice(frozenset({"m1", "m2", "m9"}))
    assert read_slice(file, ["m1", "m2", "m3"]) == Slice(frozenset({"m1", "m2"}), unknown=1)


@pytest.mark.parametrize("content", ["", "m1\t3\n", "name\tid\nm1\t3\n"])
def test_a_slice_without_its_header_is_refused(tmp_path, content):
    file = tmp_path / "hard.tsv"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"hard\.tsv:1: the header"):
        read_slice(file)
    with pytest.raises(InputError, match="nowhere"):
        read_slice(tmp_path / "nowhere.tsv")


@pytest.mark.data
@pytest.mark.parametrize("name", ["wikimel", "richpediamel", "wikidiverse"])
def test_the_published_slices_belong_to_their_mentions(shared_data, name):
    rows = (shared_data / name / "valid.jsonl").read_text(encoding="utf-8").strip().split("\n")
    ids = {json.loads(row)["id"] for row in rows}
    found = read_slice(shared_data / "slices" / f"{name}_valid_ambiguous.tsv", ids)
    assert found.unknown == 0
    assert 0 < len(found.ids) <= len(ids)


def test_a_protocol_survives_json(protocol):
    again = Protocol.from_dict(json.loads(json.dumps(protocol.to_dict())))
    assert again == protocol
    with pytest.raises(ProtocolError, match=r"unknown protocol field.*surprise"):
        Protocol.from_dict({**protocol.to_dict(), "surprise": 1})
    with pytest.raises(ProtocolError, match="incomplete"):
        Protocol.from_dict({"method": "names"})


@pytest.mark.parametrize("field", COMPARED)
def test_every_difference_of_protocol_is_named(protocol, field):
    other = replace(protocol, **{field: "drop" if field == "miss_policy" else "different"})
    with pytest.raises(ProtocolError, match=rf"{field}: .* and '(different|drop)'"):
        protocol.comparable_with(other)


def test_what_two_results_must_share_is_pinned():
    assert set(COMPARED) == {
        "candidates", "generators", "kb_size", "kb_hash", "ties", "miss_policy", "shortlist", "approximate",
        "split_hash",
    }  # fmt: skip


def test_the_recall_of_one_shortlist_is_a_figure_and_no_rule(protocol):
    short = replace(protocol, candidates="full", shortlist=256, approximate=0.99)
    assert short.comparable_with(replace(short, approximate=1.0)) is None
    for other in ({"shortlist": 16}, {"shortlist": None}, {"shortlist": None, "approximate": None}):
        with pytest.raises(ProtocolError, match="shortlist: 256 and"):
            short.comparable_with(replace(short, **other))
    unnamed = replace(short, shortlist=None)
    with pytest.raises(ProtocolError, match=r"approximate: 0.99 and 1.0"):
        unnamed.comparable_with(replace(unnamed, approximate=1.0))


def test_how_exact_a_ranking_is_in_words(protocol):
    short = replace(protocol, candidates="full", shortlist=1024)
    assert protocol.exactness() == "exact" and short.exactness() == "approximate by a shortlist of 1,024"
    told = "approximate by a shortlist of 1,024, recall 0.9950 of the exact answer"
    assert dict(replace(short, approximate=0.995).items())["ranked"] == f"the whole knowledge base, {told}"
    assert Protocol.from_dict(short.to_dict()) == short
    assert Protocol.from_dict({k: v for k, v in protocol.to_dict().items() if k != "shortlist"}) == protocol  # of old


def test_methods_are_what_one_compares(protocol):
    other = replace(
        protocol, method="names", encoders={}, weights={}, seeds=(1, 2), run="runs/b", leaks={"sentence": 3},
        entity_text_source="names only",
    )  # fmt: skip
    assert protocol.comparable_with(other) is None


def test_generators_mean_nothing_where_everything_is_ranked(protocol):
    full = replace(protocol, candidates="full")
    assert full.comparable_with(replace(full, generators=())) is None
    with pytest.raises(ProtocolError, match="generators"):
        protocol.comparable_with(replace(protocol, generators=("names",)))


def test_two_differences_are_both_named(protocol):
    with pytest.raises(ProtocolError, match="candidates: 31 and 'full'; ties: 'mean' and 'optimistic'"):
        protocol.comparable_with(replace(protocol, candidates="full", ties="optimistic"))


def test_an_unknown_miss_policy_is_refused(protocol):
    with pytest.raises(ProtocolError, match="'forgive'"):
        replace(protocol, miss_policy="forgive")


def test_the_printed_protocol_says_everything(protocol):
    lines = "\n".join(replace(protocol, approximate=0.98765, leaks={"sentence": 3, "image": 0}).lines())
    for words in (
        "31 candidates from names, lexical, approximate, recall 0.9877", "6 entities, content 9f9f9f9f9f9f, version 3",
        "entity text: label+description", "ties: mean", "gold not among the candidates: a miss", "valid.jsonl",
        "sentence 3, image 0", "seeds: 7", "method: zeroshot", "minilm c0ffee12", "name 1.0, image 0.5",
    ):  # fmt: skip
        assert words in lines
    assert "the whole knowledge base, exact" in "\n".join(replace(protocol, candidates="full").lines())
    assert "leaks: train not given" in protocol.lines()


def test_the_hash_of_a_file(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"abc")
    assert file_hash(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(InputError, match="No such file"):
        file_hash(tmp_path / "b")
