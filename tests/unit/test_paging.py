import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.paging import CursorRefused, cut_page, decode_cursor, encode_cursor, read_newest_first, read_number

positions = st.lists(st.text(st.characters(exclude_categories=["Cs"])) | st.integers(-(2**31) + 1, 2**31 - 1))


@given(positions, st.dictionaries(st.sampled_from("abc"), st.text(max_size=3)))
def test_a_cursor_leads_back_to_its_position(position, filters):
    assert decode_cursor(encode_cursor(position, "/p", filters), "/p", filters) == position


def test_a_cursor_of_another_listing_or_other_filters_is_refused():
    cursor = encode_cursor([1], "/p", {"state": "queued"})
    for path, filters in (("/q", {"state": "queued"}), ("/p", {"state": None}), ("/p", {})):
        with pytest.raises(CursorRefused):
            decode_cursor(cursor, path, filters)


@given(st.text(max_size=40))
def test_any_other_text_is_refused(cursor):
    with pytest.raises(CursorRefused):
        decode_cursor(cursor, "/p", {})


@pytest.mark.parametrize("position", [[], ["x"], ["yesterday", "a"], ["2026-01-01T00:00:00", "a"], [1, 2, 3]])
def test_a_position_of_another_kind_is_refused(position):
    with pytest.raises(CursorRefused):
        read_newest_first(position)
    with pytest.raises(CursorRefused):
        read_number(position)


def test_a_page_knows_where_the_next_one_begins():
    page = cut_page([1, 2, 3], 2, lambda item: (item,))
    assert (page.items, page.next_position) == ((1, 2), (2,))
    assert cut_page([1, 2], 2, lambda item: (item,)).next_position is None
