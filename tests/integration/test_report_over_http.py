"""A job's report as a file, for its owner alone."""

from pathlib import Path

from app.settings import Settings
from benchmarks.dashboard_rows import add_job
from tests.served_app import served_app


def test_a_report_is_a_file_of_the_job_and_nobody_elses(tmp_path: Path) -> None:
    with served_app(Settings(data_dir=tmp_path)) as app:
        job = add_job(app.sessions, owner="ann", proposals=700, name="</title><script>")
        ann, bob = (app.create_token(name) for name in ("ann", "bob"))
        with app.client(ann) as hers, app.client(bob) as his:
            answer = hers.get(f"/v1/jobs/{job}/report")
            assert answer.headers["content-disposition"] == f'attachment; filename="{job}.html"'
            assert answer.text.count("h0") == 700  # more than a page of the listing
            assert "<script" not in answer.text
            assert his.get(f"/v1/jobs/{job}/report").status_code == 404
