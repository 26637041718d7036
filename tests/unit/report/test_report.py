"""A report tells what the journal says, in files that a stranger can read."""

import json

import pytest

from release.report import write_report
from release.report.series import quantile, tell
from release.sample import LATENCY_EDGES_S, SlotCounts
from tests.unit.report import journals


@pytest.fixture
def written(tmp_path):
    def write(name="out", **kwargs):
        journal = tmp_path / "journal.jsonl"
        journal.write_text("the journal\n")
        return write_report(journals.release(**kwargs), journal, "ab" * 32, tmp_path / name)

    return write


def test_a_rolled_back_release_says_why_how_fast_and_that_its_fault_was_injected(written):
    paths = written(faulty=True)
    page, summary = paths.html.read_text(), json.loads(paths.summary.read_text())
    assert "Rolled back, and the rollback is verified" in page
    assert "injects a fault on purpose: dependency error (20 % of its requests)" in page
    assert summary["outcome"] == "rolled_back"
    assert summary["verified"] is True
    assert summary["detection_s"] == pytest.approx(4.0)
    assert summary["rollback_s"] == pytest.approx(0.42)
    assert summary["stages"][0]["decision"] == "rollback"
    assert [row["pass"] for row in summary["slis"]] == [False, False]


def test_a_promoted_release_has_all_stages_with_their_samples(written):
    summary = json.loads(written(faulty=False).summary.read_text())
    assert [(s["name"], s["share"], s["samples"]) for s in summary["stages"]] == [
        ("canary", 10, 840),
        ("half", 50, 4200),
        ("full", 100, 8400),
    ]
    assert summary["detection_s"] is None


def test_pictures_are_pngs_that_mark_stages_and_rollback_and_the_page_needs_nothing_beside_it(written):
    paths = written(faulty=True)
    for picture in (paths.p99, paths.errors):
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.stat().st_size > 10_000
    page = paths.html.read_text()
    assert page.count("<svg") == 2
    assert page.count(">canary 10 %<") == 2
    assert page.count(">rollback decided,<") == 2
    assert "src=" not in page
    assert "<script" not in page


def test_ticks_without_figures_are_told_and_count_nowhere(written):
    paths = written(faulty=False, blind_at=(3, 4))
    assert json.loads(paths.summary.read_text())["ticks_without_figures"] == 2
    assert "Prometheus refused the connection" in paths.markdown.read_text()


def test_finer_figures_are_drawn_instead_of_ticks_and_change_no_table():
    lines = journals.release(faulty=True)
    coarse = tell(lines)
    finer = [journals.second(second) for second in range(-5, 20)]
    lines[-1].data["observations"] = finer
    fine = tell(lines)
    assert len(fine.control) == len(finer) > len(coarse.control)
    assert fine.slis == coarse.slis
    assert [stage.samples for stage in fine.stages] == [stage.samples for stage in coarse.stages]


def test_a_release_that_never_got_traffic_still_has_its_pictures(tmp_path):
    journal = tmp_path / "journal.jsonl"
    journal.write_text("the journal\n")
    begin = journals.release(faulty=False)[0]
    ended = journals.Line(journals.T0 + 3, "finished", {"outcome": "failed"})
    paths = write_report([begin, ended], journal, "ab" * 32, tmp_path / "out")
    assert "Failed before it took traffic" in paths.html.read_text()


def test_the_same_journal_gives_the_same_files(written):
    one, two = written(name="one", faulty=True), written(name="two", faulty=True)
    for name in ("html", "markdown", "p99", "errors", "summary", "journal"):
        assert getattr(one, name).read_bytes() == getattr(two, name).read_bytes(), name


def test_words_from_a_journal_cannot_become_markup(written):
    lines = journals.release(faulty=True)
    lines[0].data["version"] = "<script>alert(1)</script>"
    assert "<script>" not in _page(lines)


def _page(lines):
    from release.report import charts, pages

    story = tell(lines)
    return pages.html(story, charts.svg(charts.p99(story)), charts.svg(charts.errors(story)), "00")


def test_a_quantile_is_linear_inside_its_bucket_and_stops_at_the_last_edge():
    edges = len(LATENCY_EDGES_S)
    at_most = (0,) * 4 + (100,) * (edges - 4)  # all between 0.05 and 0.1 s
    assert quantile(SlotCounts(requests=100, timed=100, at_most=at_most), 0.5) == pytest.approx(0.075)
    assert quantile(SlotCounts(requests=10, timed=10, at_most=(0,) * edges), 0.99) == LATENCY_EDGES_S[-1]
    assert quantile(SlotCounts(), 0.99) is None


def test_what_the_slot_answered_for_an_older_version_is_not_drawn_as_the_candidates():
    lines = journals.release(faulty=True)
    begin = lines[0].ts
    older = {
        "kind": "sample",
        "since": begin - 30,
        "until": begin - 28,
        "slots": lines[3].data["observation"]["slots"],
    }
    preflight = journals.Line(begin + 1, "preflight", {"observations": [older]})
    story = tell([lines[0], preflight, *lines[1:]])
    assert min(point.at_s for point in story.control) < 0
    assert min(point.at_s for point in story.candidate) > 0
