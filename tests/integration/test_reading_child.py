"""What a reading child has said holds, however its libraries take leave."""

from adapt.child_process import ChildLimits, run_in_child


def test_an_answer_holds_though_a_library_aborts_at_the_interpreters_end() -> None:
    assert run_in_child("tests.ends_badly", ["upload"], ChildLimits()) == {"read": ["upload"]}
