from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from melink.kb.seen import Seen

ids = st.one_of(
    st.integers(0, 2**29).map(lambda n: f"Q{n}"),
    st.text(max_size=4),
    st.sampled_from(["Q", "Q01", "Q٣", "Q-1", "q5", "Q5"]),
)


@given(st.lists(ids))
def test_it_is_a_set(given_ids: list[str]):
    seen, reference = Seen(), set()
    for id in given_ids:
        assert seen.add(id) == (id not in reference)
        reference.add(id)
    assert all(id in seen for id in reference)
    assert not any(id + "x" in seen for id in reference if id + "x" not in reference)
    assert None not in seen


def test_a_million_numbers_take_little_memory():
    seen = Seen()
    for number in range(0, 2_000_000, 2):
        seen.add(f"Q{number}")
    assert len(seen._bits) < 500_000
    assert "Q4" in seen
    assert "Q5" not in seen
