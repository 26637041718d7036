"""The adapter tells figures, no figures and no answer apart, and never makes a figure up."""

import itertools

import httpx2
import pytest

from release.metrics.prometheus import Prometheus
from release.sample import LATENCY_EDGES_S, NoData, Sample, Snapshot, Unreachable, difference

NOW = 1000.4


def series(name, host="edge1", values=(), **labels):
    metric = {"__name__": name, "host": host, "job": "edge_log", **labels}
    return {"metric": metric, "values": [[at, str(value)] for at, value in values]}


def source(*result, hosts=("edge1",), status=200, body=None):
    def answer(request):
        return httpx2.Response(
            status, json=body or {"status": "success", "data": {"resultType": "matrix", "result": result}}
        )

    client = httpx2.Client(transport=httpx2.MockTransport(answer))
    return Prometheus("http://prometheus.invalid", hosts, 1.0, client)


def up(host="edge1", values=((999, 1), (1000, 1))):
    return series("up", host, values)


def ok(values, slot="green"):
    return series("edge_requests_total", values=values, slot=slot, outcome="ok")


def histogram(fast, timed, edges=LATENCY_EDGES_S):
    """Green's histogram at 1000: `fast` requests under 0.5 s, none slower than the last edge."""
    name = "edge_request_duration_seconds"
    for edge in edges:
        count = fast if edge <= 0.5 else timed
        yield series(f"{name}_bucket", values=[(1000, count)], slot="green", le=f"{edge:e}")
    yield series(f"{name}_bucket", values=[(1000, timed)], slot="green", le="+Inf")


def test_counters_are_those_of_the_last_scrape_with_its_own_time():
    answer = source(
        up(),
        ok([(999, 5), (1000, 9)]),
        series("edge_requests_total", values=[(1000, 2)], slot="green", outcome="error"),
        *histogram(fast=7, timed=11),
    ).snapshot(NOW)
    assert isinstance(answer, Snapshot)
    green = answer.hosts["edge1"].slots["green"]
    assert (answer.at, green.requests, green.errors, green.timed) == (1000, 11, 2, 11)
    assert green.slower_than(0.5) == 4


def test_a_counter_that_is_not_there_while_its_host_is_up_is_zero():
    answer = source(up()).snapshot(NOW)
    assert isinstance(answer, Snapshot)
    assert answer.hosts["edge1"].slots["blue"].requests == 0


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ([], "never scraped"),
        ([up(values=[(999, 1), (1000, 0)])], "doesn't answer Prometheus"),
        ([up(values=[(994, 1)])], "no scrape in the last 5 s"),
    ],
)
def test_figures_that_are_missing_or_old_are_no_data(result, words):
    answer = source(*result).snapshot(NOW)
    assert isinstance(answer, NoData)
    assert words in answer.why


def test_a_histogram_with_other_edges_is_no_data_and_makes_nobody_slow():
    answer = source(up(), *histogram(7, 11, edges=[e for e in LATENCY_EDGES_S if e != 1])).snapshot(NOW)
    assert isinstance(answer, NoData)
    assert answer.why == "edge1: its histogram lacks buckets that gates need: 1"


def test_one_edge_without_figures_means_no_figures_for_all():
    answer = source(up(), ok([(1000, 9)]), hosts=("edge1", "edge2")).snapshot(NOW)
    assert answer == NoData(why="edge2: its exporter was never scraped")


@pytest.mark.parametrize(
    "client",
    [
        httpx2.Client(transport=httpx2.MockTransport(lambda r: httpx2.Response(502, text="<html>"))),
        httpx2.Client(timeout=0.5),
    ],
)
def test_a_source_that_does_not_answer_could_not_be_asked(client):
    answer = Prometheus("http://127.0.0.1:1", ["edge1"], 1.0, client).snapshot(NOW)
    assert isinstance(answer, Unreachable)


def test_json_that_is_no_answer_could_not_be_asked():
    assert isinstance(source(body=["what"]).snapshot(NOW), Unreachable)


def test_a_refused_query_could_not_be_asked_and_says_why():
    answer = source(body={"status": "error", "error": "query timed out"}, status=503).snapshot(NOW)
    assert isinstance(answer, Unreachable)
    assert "query timed out" in answer.why


def test_history_gives_the_same_counts_as_looking_each_time():
    scrapes = [(980.0 + i, 1) for i in range(21)]
    history = source(up(values=scrapes), ok([(t, 10 * (t - 980)) for t, _ in scrapes])).history(1000, 10, 2)
    assert isinstance(history, list)
    assert [s.at for s in history] == [990, 992, 994, 996, 998, 1000]
    samples = [difference(a, b) for a, b in itertools.pairwise(history)]
    assert [s.slots["green"].requests for s in samples if isinstance(s, Sample)] == [20] * 5


def test_a_restarted_counter_counts_from_zero():
    before = source(up(values=[(998, 1)]), ok([(998, 500)])).snapshot(998.5)
    after = source(up(), ok([(1000, 30)])).snapshot(NOW)
    assert isinstance(before, Snapshot)
    assert isinstance(after, Snapshot)
    sample = difference(before, after)
    assert isinstance(sample, Sample)
    assert sample.slots["green"].requests == 30
    assert sample.reset_hosts == ("edge1",)
