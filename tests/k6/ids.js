// Constant-rate load on the ID service, and the judge of lost requests.
//
// Environment: TARGET (https://edge...), RATE (requests/s), DURATION (900s), VERSIONS (1.0.0,1.1.0), SUMMARY (path),
// API_KEY (of the service), TAGS (events,orders), HOSTS ({"name": "address"}, instead of DNS), VUS (most requests in flight).
// Outcomes: ok; failed_in_fault (the answer carries X-Fault-Injected); failed (anything else, each logged, bounded).
import exec from 'k6/execution';
import http from 'k6/http';
import { Counter, Trend } from 'k6/metrics';

const TARGET = __ENV.TARGET;
const RATE = Number(__ENV.RATE || 600);
const DURATION = __ENV.DURATION || '900s';
const TAGS = (__ENV.TAGS || 'events,orders').split(',');
const HEADERS = __ENV.API_KEY ? { Authorization: `Bearer ${__ENV.API_KEY}` } : {};
const VUS = Number(__ENV.VUS || 250);
const SUMMARY = __ENV.SUMMARY || 'summary.json';
const VERSIONS = (__ENV.VERSIONS || '').split(',').filter((v) => v).concat('other');
const OUTCOMES = ['ok', 'failed_in_fault', 'failed'];
const MOST_LOGGED_PER_VU = 20;

const requests = new Counter('plumbline_requests');
const duration = new Trend('plumbline_duration', true);

// k6 keeps numbers per tag value only where a threshold names them; these can't fail.
const thresholds = {};
for (const version of VERSIONS) {
  thresholds[`plumbline_duration{version:${version}}`] = ['p(99)>=0'];
  for (const outcome of OUTCOMES) {
    thresholds[`plumbline_requests{version:${version},outcome:${outcome}}`] = ['count>=0'];
  }
}

export const options = {
  scenarios: {
    ids: {
      executor: 'constant-arrival-rate',
      rate: RATE,
      timeUnit: '1s',
      duration: DURATION,
      preAllocatedVUs: Math.min(VUS, 100),
      maxVUs: VUS,
      gracefulStop: '15s',
    },
  },
  thresholds,
  hosts: JSON.parse(__ENV.HOSTS || '{}'),
  summaryTrendStats: ['avg', 'min', 'med', 'max', 'p(95)', 'p(99)', 'count'],
  systemTags: ['status'],
  noConnectionReuse: false,
  discardResponseBodies: false,
  insecureSkipTLSVerify: false,
};

let logged = 0;

export default function () {
  const tag = TAGS[exec.scenario.iterationInTest % TAGS.length];
  const response = http.post(`${TARGET}/v1/ids/${tag}`, null, { timeout: '20s', headers: HEADERS });
  const answered = response.headers['X-Plumbline-Version'] || '';
  const version = VERSIONS.includes(answered) ? answered : 'other';
  const outcome = outcomeOf(response);
  requests.add(1, { version, outcome });
  duration.add(response.timings.duration, { version });
  if (outcome === 'failed' && logged < MOST_LOGGED_PER_VU) {
    logged += 1;
    console.error(JSON.stringify({
      time: new Date().toISOString(),
      status: response.status,
      error: response.error || String(response.body || '').slice(0, 200),
      version: answered,
      slot: response.headers['X-Plumbline-Slot'] || '',
      remote: response.remote_ip,
      duration_ms: response.timings.duration,
    }));
  }
}

function outcomeOf(response) {
  if (response.status === 200 && String(response.body).startsWith('{"ids":["')) {
    return 'ok';
  }
  return response.headers['X-Fault-Injected'] ? 'failed_in_fault' : 'failed';
}

export function handleSummary(data) {
  const count = (name) => (data.metrics[name] ? data.metrics[name].values.count : 0);
  const versions = {};
  const total = { ok: 0, failed_in_fault: 0, failed: 0 };
  for (const version of VERSIONS) {
    const counts = {};
    for (const outcome of OUTCOMES) {
      counts[outcome] = count(`plumbline_requests{version:${version},outcome:${outcome}}`);
      total[outcome] += counts[outcome];
    }
    const latency = (data.metrics[`plumbline_duration{version:${version}}`] || { values: {} }).values;
    const seen = counts.ok + counts.failed_in_fault + counts.failed;
    if (seen > 0) {
      versions[version] = Object.assign(counts, {
        requests: seen,
        p50_ms: latency.med,
        p95_ms: latency['p(95)'],
        p99_ms: latency['p(99)'],
      });
    }
  }
  const all = (data.metrics.plumbline_duration || { values: {} }).values;
  const summary = {
    requests: count('plumbline_requests'),
    failed: total.failed + total.failed_in_fault,
    failed_in_fault: total.failed_in_fault,
    failed_outside_fault: total.failed,
    not_sent: count('dropped_iterations'),
    rate_per_s: RATE,
    duration_s: data.state.testRunDurationMs / 1000,
    p50_ms: all.med,
    p95_ms: all['p(95)'],
    p99_ms: all['p(99)'],
    versions,
  };
  return { [SUMMARY]: `${JSON.stringify(summary, null, 2)}\n`, stdout: `${JSON.stringify(summary)}\n` };
}
