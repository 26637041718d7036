-- One kind of request over kept-alive connections; prints one JSON object at the end.
-- Environment: BENCH_KEY (API key), BENCH_ACCEPT (Accept header), BENCH_SPREAD (1: another request id each time),
-- BENCH_PAUSE_MS (each connection's pause between an answer and its next request; 0: none).
local key = os.getenv("BENCH_KEY") or ""
local accept = os.getenv("BENCH_ACCEPT") or "application/json"
local spread = os.getenv("BENCH_SPREAD") == "1"
local sent = 0
local pause = tonumber(os.getenv("BENCH_PAUSE_MS") or "0")

if pause > 0 then
  function delay()
    return pause
  end
end

wrk.method = "POST"
wrk.headers["Authorization"] = "Bearer " .. key
wrk.headers["Accept"] = accept

function request()
  if spread then
    sent = sent + 1
    wrk.headers["X-Request-Id"] = "bench-" .. sent
    return wrk.format()
  end
  whole = whole or wrk.format()
  return whole
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"duration_us":%d,"bytes":%d,"p50_us":%d,"p90_us":%d,"p99_us":%d,"max_us":%d,' ..
    '"failed":%d,"broken":%d}\n',
    summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
