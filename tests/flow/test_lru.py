"""The bounded memory: never more than its bounds, never anything old, and no flood washes out what is hot."""

from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ostiary.lru import SegmentedLru

CAPACITY = 100
OTHER = 12
KEYS = st.integers(0, OTHER - 1)
WEIGHTS = st.integers(0, CAPACITY + 20)


class AgainstAModel(RuleBasedStateMachine):
    """A plain dict knows what was put last; the memory may forget, and may never say anything else."""

    def __init__(self) -> None:
        super().__init__()
        self.most, self.capacity = 6, CAPACITY
        self.memory: SegmentedLru[int, tuple[int, int]] = SegmentedLru(self.most, self.capacity)
        self.model: dict[int, tuple[int, int]] = {}
        self.count = 0

    @rule(key=KEYS, weight=WEIGHTS)
    def put(self, key: int, weight: int) -> None:
        """What fits is held at once, whatever is in its way; what doesn't takes its older one with it."""
        self.count += 1
        self.memory.put(key, (self.count, weight), weight)
        self.model[key] = (self.count, weight)
        fits = weight <= self.capacity
        assert self.memory.get(key) == (self.model[key] if fits else None)

    @rule(key=KEYS, weight=WEIGHTS)
    def put_and_leave(self, key: int, weight: int) -> None:
        """The same without a look, which would count as a use."""
        self.count += 1
        self.memory.put(key, (self.count, weight), weight)
        self.model[key] = (self.count, weight)

    @rule(key=KEYS)
    def get(self, key: int) -> None:
        """It gives the last value or nothing, and gives it again."""
        found = self.memory.get(key)
        assert found in {None, self.model.get(key)}
        assert self.memory.get(key) == found

    @rule(key=KEYS)
    def pop(self, key: int) -> None:
        """What is popped is the last value, and gone."""
        before = len(self.memory)
        found = self.memory.pop(key)
        assert found in {None, self.model.pop(key, None)}
        assert len(self.memory) == before - (found is not None)
        assert self.memory.get(key) is None

    @rule(limit=WEIGHTS)
    def drop(self, limit: int) -> None:
        """All unwanted values are gone, all others are still there."""
        wanted = {value for _, value in self.held() if value[1] <= limit}
        before = len(self.memory)
        assert self.memory.drop(lambda value: value[1] > limit) == before - len(wanted)
        assert {value for _, value in self.held()} == wanted

    @precondition(lambda self: len(self.memory) > 0)
    @rule(data=st.data())
    def the_last_one_used_is_the_last_to_go(self, data: st.DataObject) -> None:
        """Who was asked for just now survives one new thing beside which there is room for it."""
        key, value = data.draw(st.sampled_from(self.held()))
        assume(key != OTHER)
        weight = data.draw(st.integers(0, CAPACITY - value[1]))
        assume(value[1] <= CAPACITY * 4 // 5)
        self.memory.get(key)
        self.put_and_leave(OTHER, weight)
        assert self.memory.pop(key) == value
        self.memory.put(key, value, value[1])

    def held(self) -> list[tuple[int, tuple[int, int]]]:
        """Return what is held, without using it."""
        return [
            (key, value)
            for segment in (self.memory._trial, self.memory._kept)
            for key, (value, _) in segment.items()
        ]

    @invariant()
    def bounds(self) -> None:
        """Never more entries than `most` nor more weight than `capacity`; the weight is what is held."""
        held = self.held()
        assert len(self.memory) == len(held) <= self.most
        assert self.memory.weight == sum(weight for _, (_, weight) in held) <= self.capacity
        kept = sum(weight for _, weight in self.memory._kept.values())
        assert self.memory._kept_weight == kept <= 0.8 * self.capacity
        assert len(self.memory._kept) <= 0.8 * self.most

    @invariant()
    def nothing_old(self) -> None:
        """Whatever is held is what was put last under its key."""
        assert all(self.model.get(key) == value for key, value in self.held())


TestAgainstAModel = AgainstAModel.TestCase


@given(
    hot=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    flood=st.lists(st.integers(0, 40), min_size=1, max_size=200),
)
def test_a_flood_of_one_hit_keys_washes_out_nothing_hot(hot: Sequence[int], flood: Sequence[int]) -> None:
    """What was asked for twice stays while there is room for it beside the largest of the flood."""
    assume(sum(hot) <= min(80, CAPACITY - max(flood)))
    memory: SegmentedLru[str, int] = SegmentedLru(1000, CAPACITY)
    for number, weight in enumerate(hot):
        memory.put(f"hot {number}", number, weight)
        assert memory.get(f"hot {number}") == number
    for number, weight in enumerate(flood):
        memory.put(f"flood {number}", number, weight)
    assert [memory.get(f"hot {number}") for number in range(len(hot))] == list(range(len(hot)))


@given(st.integers(5, 200), st.integers(1, 1000))
def test_a_flood_by_count(most: int, flood: int) -> None:
    """The same where entries are counted: four fifths are out of a flood's reach."""
    memory: SegmentedLru[int, int] = SegmentedLru(most)
    hot = range(-(most * 4 // 5), 0)
    for number in hot:
        memory.put(number, number)
        memory.get(number)
    for number in range(flood):
        memory.put(number, number)
    assert all(memory.get(number) == number for number in hot)


def test_what_is_large_and_new_finds_room_beside_what_is_kept() -> None:
    """A full kept segment is no reason to refuse what fits: its oldest make room, and no more of them."""
    memory: SegmentedLru[str, str] = SegmentedLru(100, CAPACITY)
    for name in "abcd":
        memory.put(name, name, 20)
        memory.get(name)
    memory.put("small", "small", 5)
    memory.put("large", "large", 35)
    assert memory.get("large") == "large"
    assert [memory.get(name) for name in "abcd"] == [None, "b", "c", "d"]


@pytest.mark.parametrize("most", [0, 1, 2, 3])
def test_the_smallest_bounds(most: int) -> None:
    """With room for none nothing is held, with room for one the last one is."""
    memory: SegmentedLru[int, int] = SegmentedLru(most)
    for number in range(10):
        memory.put(number, number)
        assert memory.get(number) == (number if most else None)
        assert len(memory) <= most
    assert memory.weight == len(memory) == most


def test_a_value_too_heavy_takes_its_older_one_with_it() -> None:
    """Nobody is told something old because the new does not fit."""
    memory: SegmentedLru[str, str] = SegmentedLru(10, 10)
    for kept in (False, True):
        memory.put("key", "old", 1)
        if kept:
            memory.get("key")
        memory.put("key", "new", 11)
        assert memory.get("key") is None
        assert memory.weight == len(memory) == 0
