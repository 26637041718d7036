"""The comparison of gRPC with HTTP: what its figures mean."""

from release.load.bench.grpc_compare import WARM_UP, summary, timed


def figures(p50_us, p99_us=9.0):
    return {"p50_us": p50_us, "p99_us": p99_us}


def test_the_result_names_the_best_of_what_the_service_ships_and_not_what_was_only_tried():
    variants = {
        "threads/tcp/unary": figures(1_000.0),
        "threads/unix/stream": figures(400.0, 800.0),
        "aio/unix/stream": figures(300.0),
    }
    found = summary(figures(800.0), variants)
    assert (found["variant"], found["p50_us"], found["p99_us"]) == ("threads/unix/stream", 400.0, 800.0)
    assert (found["http_p50_us"], found["lower"]) == (800.0, 0.5)
    assert found["variants"] == variants


def test_a_slower_grpc_is_told_as_such():
    assert summary(figures(800.0), {"threads/tcp/unary": figures(1_000.0)})["lower"] == -0.25


def test_percentiles_are_of_the_calls_after_the_warm_up():
    calls = []
    took_us = iter([*range(1, 100), 5_000])
    reading = iter(())
    now = 0

    def clock_ns():
        nonlocal reading, now
        value = next(reading, None)
        if value is None:
            start, now = now, now + next(took_us) * 1_000
            reading = iter([now])
            return start
        return value

    assert timed(lambda: calls.append(1), 100, clock_ns) == {"p50_us": 51.0, "p99_us": 5_000.0}
    assert len(calls) == WARM_UP + 100
