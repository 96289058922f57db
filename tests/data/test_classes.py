import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalseg.data.classes import ClassTable, distinct_colors
from frugalseg.support.errors import InputError

channel = st.integers(0, 255)


@st.composite
def tables(draw: st.DrawFn, largest: int = 65535) -> ClassTable:
    ids = draw(st.lists(st.integers(0, largest), min_size=2, max_size=30, unique=True))
    ignore, ids = ids[0], ids[1:]
    names = draw(
        st.lists(
            st.text(st.characters(categories=("L", "N")), min_size=1), min_size=len(ids), max_size=len(ids), unique=True
        )
    )
    colors = draw(st.lists(st.tuples(channel, channel, channel), min_size=len(ids), max_size=len(ids)))
    return ClassTable(tuple(ids), tuple(names), tuple(colors), ignore)


@settings(max_examples=50, deadline=None)
@given(table=tables())
def test_json_round_trip(tmp_path_factory: pytest.TempPathFactory, table: ClassTable) -> None:
    path = tmp_path_factory.mktemp("json") / "classes.json"
    table.to_json(path)
    assert ClassTable.from_json(path) == table


@settings(max_examples=50, deadline=None)
@given(table=tables(), data=st.data())
def test_ids_to_positions_and_back(table: ClassTable, data: st.DataObject) -> None:
    choice = st.sampled_from([*table.ids, table.ignore_index])
    ids = np.array(data.draw(st.lists(choice, min_size=6, max_size=6))).reshape(2, 3)
    positions = table.to_positions(ids)
    assert positions.dtype == np.uint8 and positions.shape == ids.shape
    assert ((positions == 255) == (ids == table.ignore_index)).all()
    assert (positions[positions != 255] < len(table)).all()
    np.testing.assert_array_equal(table.to_ids(positions), ids)


def test_255_is_not_annotated_even_with_another_ignore_index() -> None:
    table = ClassTable((1, 2), ("a", "b"), ((0, 0, 0), (1, 1, 1)), ignore_index=0)
    assert table.to_positions([[0, 1, 2, 255]]).tolist() == [[255, 0, 1, 255]]


def test_255_can_be_a_class() -> None:
    table = ClassTable((0, 255), ("a", "b"), ((0, 0, 0), (1, 1, 1)), ignore_index=7)
    assert table.to_positions([0, 255, 7]).tolist() == [0, 1, 255]
    assert table.to_ids([0, 1, 255]).tolist() == [0, 255, 7]


@pytest.mark.parametrize("ids", [[3], [-1], [70000]])
def test_unknown_ids_are_named(ids: list[int]) -> None:
    with pytest.raises(ValueError, match=str(ids[0])):
        ClassTable.from_ids([0, 1, 2]).to_positions([0, *ids])


def test_positions_beyond_the_classes_are_refused() -> None:
    with pytest.raises(IndexError, match="below 2"):
        ClassTable.from_ids([0, 1]).to_ids([2])


def test_from_ids_sorts_drops_the_ignored_and_tells_classes_apart() -> None:
    table = ClassTable.from_ids([7, 3, 255, 3])
    assert table.ids == (3, 7) and table.names == ("class 3", "class 7") and len(table) == 2
    assert table == ClassTable.from_ids([3, 7])


@pytest.mark.parametrize("count", [2, 15, 34, 254])
def test_made_up_colours_differ(count: int) -> None:
    colors = distinct_colors(count)
    assert len(set(colors)) == count
    # The first ones, which most data sets use, must be easy to tell apart.
    few = np.array(colors[:12], float)
    gaps = np.linalg.norm(few[:, None] - few[None], axis=2) + 1000 * np.eye(len(few))
    assert gaps.min() > 40


def test_palette_holds_the_colours_at_the_ids() -> None:
    table = ClassTable((0, 9, 300), ("a", "b", "c"), ((1, 2, 3), (4, 5, 6), (7, 8, 9)))
    palette = np.array(table.palette()).reshape(256, 3)
    assert palette[0].tolist() == [1, 2, 3] and palette[9].tolist() == [4, 5, 6] and palette[255].tolist() == [255] * 3
    assert not palette[10:255].any()


def test_names_and_colours_may_be_left_out_and_the_ignored_entry_is_no_class(tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    path.write_text(json.dumps({"ignore_index": 0, "classes": [{"id": 0, "name": "void"}, {"id": 4}, {"id": 2}]}))
    table = ClassTable.from_json(path)
    assert table.ids == (4, 2) and table.names == ("class 4", "class 2") and table.ignore_index == 0


ONE = {"id": 1, "name": "a", "color": [1, 2, 3]}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "not an object"),
        ({"classes": [ONE], "ignore": 3}, "unknown key 'ignore'"),
        ({}, '"classes" is not a list'),
        ({"classes": {"1": "a"}}, "not a list"),
        ({"classes": []}, "no class"),
        ({"classes": [{"id": 255}]}, "no class"),
        ({"classes": ["a"]}, "class number 1 is not an object"),
        ({"classes": [{**ONE, "colour": 1}]}, "unknown key 'colour'"),
        ({"classes": [{"name": "a"}]}, "the id of class number 1 is None"),
        ({"classes": [{"id": True}]}, "True"),
        ({"classes": [{"id": 1.0}]}, "1.0"),
        ({"classes": [{"id": -1}]}, "-1"),
        ({"classes": [{"id": 65536}]}, "65536"),
        ({"classes": [ONE], "ignore_index": None}, "ignore_index is None"),
        ({"classes": [ONE, {**ONE, "name": "b"}]}, "id 1 is used by more than one"),
        ({"classes": [ONE, {**ONE, "id": 2}]}, "name 'a' is used by more than one"),
        ({"classes": [{**ONE, "name": ""}]}, "name of class 1"),
        ({"classes": [{**ONE, "name": "a\nb"}]}, "name of class 1"),
        ({"classes": [{**ONE, "name": 3}]}, "name of class 1"),
        ({"classes": [{**ONE, "color": [1, 2]}]}, "color of class 1"),
        ({"classes": [{**ONE, "color": [1, 2, 256]}]}, "color of class 1"),
        ({"classes": [{**ONE, "color": "red"}]}, "color of class 1"),
        ({"classes": [{**ONE, "color": [0.5, 0, 0]}]}, "color of class 1"),
        ({"classes": [{"id": i} for i in range(255)], "ignore_index": 999}, "255 classes; at most 254"),
    ],
)
def test_a_wrong_classes_json_is_one_line(tmp_path: Path, value: Any, message: str) -> None:
    path = tmp_path / "classes.json"
    path.write_text(json.dumps(value))
    with pytest.raises(InputError) as error:
        ClassTable.from_json(path)
    text = str(error.value)
    assert message in text and text.startswith(str(path)) and "\n" not in text and "expected" in text


@pytest.mark.parametrize(
    "arguments",
    [((1,), ("a", "b"), ((0, 0, 0),)), ((1, 1), ("a", "b"), ((0, 0, 0),) * 2), ((255,), ("a",), ((0, 0, 0),))],
)
def test_an_impossible_table_is_refused(arguments: Any) -> None:
    with pytest.raises(ValueError):
        ClassTable(*arguments)


@pytest.mark.parametrize(
    "name", ["\N{WOMAN}\u200d\N{MICROSCOPE}", "\U0001fae9", "chat\xa0noir", "می\u200cخواهم", '[a], "b"']
)
def test_names_of_any_script_and_of_emoji_that_python_does_not_know(tmp_path: Path, name: str) -> None:
    table = ClassTable((0, 1), ("a", name), ((0, 0, 0), (1, 1, 1)))
    table.to_json(tmp_path / "classes.json")
    assert ClassTable.from_json(tmp_path / "classes.json") == table


@pytest.mark.parametrize("name", ["a\tb", "a\u2028b", "\udc80", "a\u202eb", "\xa0"])
def test_what_is_no_line_of_text_names_no_class(tmp_path: Path, name: str) -> None:
    (tmp_path / "classes.json").write_text(json.dumps({"classes": [{"id": 0, "name": name}]}))
    with pytest.raises(InputError, match="not a line of text") as error:
        ClassTable.from_json(tmp_path / "classes.json")
    assert str(error.value).isprintable()


def test_classes_of_two_tables_may_differ_in_how_accents_are_written() -> None:
    colors = ((0, 0, 0), (1, 1, 1))
    one, other = ClassTable((0, 1), ("a", "caf\xe9"), colors), ClassTable((0, 1), ("cafe\u0301", "a"), colors)
    assert one.positions_in(other)[[0, 1, 255]].tolist() == other.positions_in(one)[[0, 1, 255]].tolist() == [1, 0, 255]
    both = ClassTable((0, 1), ("cafe\u0301", "caf\xe9"), colors)
    assert both.positions_in(both)[:2].tolist() == [0, 1]
