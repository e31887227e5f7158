import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jobs.schemas import JobIn
from app.json_body import MAX_INTEGER, MAX_MEMBERS, BodyMalformed, InvalidFields, parse_json, validate
from app.problem_documents import MAX_FIELD, MAX_FIELDS

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
numbers = st.integers(-MAX_INTEGER, MAX_INTEGER) | st.floats(allow_nan=False, allow_infinity=False)
documents = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


def faults_of(document):
    """Of a job request; none when it is accepted, its settings worked out too."""
    try:
        validate(JobIn, document).settings.effective()
    except InvalidFields as error:
        return error.fields
    return []


@given(documents)
def test_every_ordinary_document_is_read_as_it_is(document):
    assert parse_json(json.dumps(document).encode()) == document


@given(st.binary(max_size=50))
def test_any_bytes_are_read_or_refused_as_malformed(body):
    with suppress(BodyMalformed):
        parse_json(body)


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e999", str(2**63), '"\\u0000"', '"\\udfff"', '{"a":1,"a":1}'])
def test_what_no_document_of_ours_may_hold_is_refused(text):
    with pytest.raises(BodyMalformed):
        parse_json(text)


def test_an_object_of_more_members_than_any_of_ours_has_is_refused():
    several = {f"key{number}": {"a": number} for number in range(MAX_MEMBERS)}
    assert parse_json(json.dumps(several)) == several
    with pytest.raises(BodyMalformed, match=f"{MAX_MEMBERS + 1} members"):
        parse_json(json.dumps({"inside": [several | {"one more": 1}]}))


@given(documents | st.fixed_dictionaries({"model": texts, "budget": documents, "settings": documents}))
def test_any_document_is_a_job_request_or_refused_by_a_pointer(document):
    assert all(set(field) == {"pointer", "detail"} for field in faults_of(document))


@given(
    st.dictionaries(st.sampled_from(["pick", "schedule", "seed", "include", "holdout", "reward", "final"]), documents)
)
def test_any_settings_are_effective_or_refused_by_a_pointer(settings):
    request = {"model": "mdl_a", "budget": {"macs": "50%"}, "settings": settings}
    assert all(field["pointer"].startswith("/settings") for field in faults_of(request))


def test_an_unknown_key_is_told_what_it_may_have_been_meant_for():
    asked = {"model": "resnet18", "budget": {"macs": "80%"}, "settings": {"short_term_step": 3}}
    (fault,) = faults_of(asked)
    assert fault["pointer"] == "/settings/short_term_step"
    assert fault["detail"].startswith("is not known here; did you mean short_term_steps")
    (fault,) = faults_of({**asked, "settings": {"qqqqqqqqqq": 3}})
    assert fault["detail"] == "is not known here"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"picks": 3}, "is not known here; did you mean /settings/race/picks or pick?"),
        ({"race": {"eta": 3}}, "is not known here"),
        ({"race": {"pick": 3}}, "is not known here; did you mean /settings/pick or picks?"),
        ({"schedule": {"initail": 0.1, "initial": 0.1, "decay": 1}}, "is not known here; did you mean initial?"),
    ],
)
def test_what_an_unknown_key_may_have_been_meant_for_is_somewhere_where_it_may_stand(settings, told):
    (fault,) = faults_of({"model": "resnet18", "budget": {"macs": "80%"}, "settings": settings})
    assert fault["detail"] == told


def test_a_document_of_nothing_but_faults_is_told_a_few_of_them_at_once():
    document = {**{f"key{n}": n for n in range(50_000)}, "k" * 500_000: 1, "a\u202eb": 2}
    found = faults_of(document)
    assert len(found) == MAX_FIELDS
    (fault,) = faults_of({"model": "resnet18", "budget": {"macs": "80%"}, "k" * 500_000: 1})
    assert len(fault["pointer"]) == MAX_FIELD
    (fault,) = faults_of({"model": "resnet18", "budget": {"macs": "80%"}, "a\u202eb": 1})
    assert fault["pointer"] == "/a\\u202eb"
