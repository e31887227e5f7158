import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jobs.csv_files import all_items, csv_lines
from app.paging import Page

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(texts, max_size=5))
def test_every_text_is_read_back_and_none_would_be_run(values):
    text = "".join(csv_lines(["a"], [{"a": value} for value in values]))
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    cells = [row[0] if row else "" for row in rows]
    assert header == ["a"]
    assert [cell.removeprefix("'") for cell in cells] == [value.removeprefix("'") for value in values]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


@pytest.mark.parametrize(
    "text", ["=1+1", "＝1+1", "＋1", "－1", "＠a", " =1", "\n=1", "\xa0@a", "\ufeff=1", "\t", "\r\n-1"]
)
def test_a_formula_is_quoted_however_it_begins_in_a_cell_a_list_and_a_header(text):
    header, row = csv.reader(io.StringIO("".join(csv_lines([text], [{text: text}, {text: None}][:1])), newline=""))
    assert (header, row) == ([f"'{text}"], [f"'{text}"])
    _, listed = csv.reader(io.StringIO("".join(csv_lines(["a"], [{"a": [text, "b"]}])), newline=""))
    assert listed == [f"'{text} b"]


def test_numbers_are_never_quoted_and_what_is_unknown_is_empty():
    columns = ["a", "b.c", "b.d", "e", "f"]
    document = {"a": -0.5, "b": {"c": None}, "e": True, "f": [1, 2]}
    assert list(csv_lines(columns, [document, {"b": None}]))[1:] == ["-0.5,,,true,1 2\r\n", ",,,,\r\n"]


def test_an_object_with_keys_of_the_users_own_is_json_in_one_cell():
    document = {"further": {'=cmd|"calc"': [0, 2], "b": None}}
    _, line = csv_lines(["further"], [document])
    (row,) = csv.reader(io.StringIO(line, newline=""))
    assert json.loads(row[0]) == document["further"]
    assert list(csv_lines(["further", "a"], [{"further": {}, "a": 1}]))[1:] == [",1\r\n"]


def test_all_pages_are_gone_through():
    def page_after(after: int, _size: int) -> Page[int]:
        items = tuple(range(after + 1, min(after + 3, 8)))
        return Page(items=items, next_position=None if items[-1] == 7 else (items[-1],))

    assert list(all_items(page_after(0, 2), page_after)) == [1, 2, 3, 4, 5, 6, 7]
