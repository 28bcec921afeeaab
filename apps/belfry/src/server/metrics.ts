import type { GatewayMetrics } from '@belfry/gateway';
import type { SchedulerMetrics } from '@belfry/scheduler';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

/** What `docs/telemetry.md` says about a metric. */
export interface MetricDescription {
  readonly role: 'all' | 'gateway' | 'scheduler' | 'supervisor';
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  /** Each label with what it may hold: few values, never what a user chose. */
  readonly labels?: { readonly [name: string]: string };
  readonly buckets?: readonly number[];
}

const OP = 'an operation of the front door: `tasks.create`, `executions.finish`, …';
const REQUEST_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Every metric of Belfry's own, by name. */
export const METRICS = {
  belfry_requests_total: {
    role: 'gateway',
    type: 'counter',
    help: 'Requests answered; the outcome is that of the request as a whole.',
    labels: { op: `${OP}; or \`unknown\``, outcome: '`ok`, or an error code' },
  },
  belfry_request_seconds: {
    role: 'gateway',
    type: 'histogram',
    help: 'From a request to its answer.',
    labels: { op: `${OP}; or \`unknown\`` },
    buckets: REQUEST_SECONDS,
  },
  belfry_refused_total: {
    role: 'gateway',
    type: 'counter',
    help: 'Items of requests and of durable publishes that were refused.',
    labels: { op: OP, code: 'an error code' },
  },
  belfry_unanswered_total: {
    role: 'gateway',
    type: 'counter',
    help: 'Items that no shard answered in time.',
    labels: { op: OP, stored: '`true`: it is on disk and will be applied; `false`: whether it is, is not known' },
  },
  belfry_group_commit_seconds: {
    role: 'gateway',
    type: 'histogram',
    help: 'Duration of one append to the inbox, fsync included.',
    labels: { outcome: '`ok`, `retry`, `full` or `fault`' },
    buckets: REQUEST_SECONDS,
  },
  belfry_group_commit_records: {
    role: 'gateway',
    type: 'histogram',
    help: 'Records in one append to the inbox that succeeded.',
    buckets: [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_000, 4_000],
  },
  belfry_gateway_items: { role: 'gateway', type: 'gauge', help: 'Items of requests that wait for answers.' },
  belfry_gateway_records: { role: 'gateway', type: 'gauge', help: 'Records that are not yet on disk.' },
  belfry_dispatched_total: { role: 'scheduler', type: 'counter', help: 'Attempts put into the work stream.' },
  belfry_executions_total: {
    role: 'scheduler',
    type: 'counter',
    help: 'Executions that are over.',
    labels: { state: '`succeeded`, `dead`, and of a cancelled task `failed`, `timed_out` or `cancelled`' },
  },
  belfry_lateness_seconds: {
    role: 'scheduler',
    type: 'histogram',
    help: 'Handler start minus scheduledAt, of executions that are over.',
    labels: { precision: '`high` (±100 ms), `normal` (±1 s) or `low` (±10 s), as the task asks for' },
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
  },
  belfry_skipped_fires_total: {
    role: 'scheduler',
    type: 'counter',
    help: 'Missed fires that a catch-up policy did not keep; of cron tasks, a hundred at most are counted at a time.',
    labels: { policy: '`skip`, `latest` or `all`; `crowded_out` where very many waited when their schedule changed' },
  },
  belfry_checkpoint_seconds: {
    role: 'scheduler',
    type: 'histogram',
    help: 'Duration of checkpoint transactions.',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  },
  belfry_checkpoint_rows_total: { role: 'scheduler', type: 'counter', help: 'Rows written by checkpoints.' },
  belfry_checkpoint_waiting_rows: {
    role: 'scheduler',
    type: 'gauge',
    help: 'Changed rows that no checkpoint has yet.',
  },
  belfry_shard_takeovers_total: { role: 'scheduler', type: 'counter', help: 'Shards taken over by this node.' },
  belfry_takeover_seconds: {
    role: 'scheduler',
    type: 'histogram',
    help: 'Duration of takeovers, from the decision to the first dispatch.',
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  },
  belfry_quarantined_total: {
    role: 'scheduler',
    type: 'counter',
    help: 'Messages set aside because they crashed their shard.',
  },
  belfry_shards_owned: { role: 'scheduler', type: 'gauge', help: 'Shards that this node owns.' },
  belfry_tasks: { role: 'scheduler', type: 'gauge', help: 'Tasks in the shards of this node.' },
  belfry_executions_under_way: {
    role: 'scheduler',
    type: 'gauge',
    help: 'Executions that are dispatched or wait for a retry.',
  },
  belfry_backlog: { role: 'scheduler', type: 'gauge', help: 'Fires that are due and not dispatched.' },
  belfry_workers: { role: 'scheduler', type: 'gauge', help: 'Workers known by their heartbeats.' },
  belfry_state_bytes: {
    role: 'scheduler',
    type: 'gauge',
    help: 'Bytes of task tables, wheels and the payload cache.',
  },
  belfry_fires_expected: {
    role: 'scheduler',
    type: 'gauge',
    help: 'Fires that came due in the shards of this node since the beginning: the sum of the four below and of those missed.',
  },
  belfry_fires_waiting: { role: 'scheduler', type: 'gauge', help: 'Fires that wait to become executions.' },
  belfry_fires_dispatched: {
    role: 'scheduler',
    type: 'gauge',
    help: 'Fires that are executions: dispatched, or between two attempts.',
  },
  belfry_fires_finished: {
    role: 'scheduler',
    type: 'gauge',
    help: 'Fires whose executions are over, since the beginning.',
    labels: { end: '`succeeded`, `dead`, `failed` (its task being cancelled) or `cancelled`' },
  },
  belfry_fires_skipped: {
    role: 'scheduler',
    type: 'gauge',
    help: 'Fires that were due and not run, since the beginning; a lower bound of both.',
    labels: { by: '`policy` of catch-up, or `command`: an update or a cancel' },
  },
  belfry_missed_fires: {
    role: 'scheduler',
    type: 'gauge',
    help: 'Fires that came due and are in none of these accounts, or that the audit found in no place: **it must be 0**; the log tells each.',
  },
  belfry_inbox_gap_shards: {
    role: 'scheduler',
    type: 'gauge',
    help: 'Shards that were taken over from a checkpoint older than what the inbox keeps, or whose inbox was lost before all of it was read: **it must be 0**; `parts.scheduler.inboxGap` of `/healthz` tells from when to when something acknowledged may be missing.',
  },
  belfry_clock_skew_seconds: {
    role: 'all',
    type: 'gauge',
    help: 'How far this node’s clock is ahead of the median of Postgres, the broker and its peers; NaN without any of them.',
  },
  belfry_clock_skew_alert: {
    role: 'all',
    type: 'gauge',
    help: 'Whether that is above 1 s either way: 1 or 0. It ends below 0.5 s.',
  },
  belfry_clock_unfit: {
    role: 'all',
    type: 'gauge',
    help: 'Whether this node owns no shards and takes no tasks because of its clock: 1 or 0.',
  },
  belfry_clock_steps_total: {
    role: 'all',
    type: 'counter',
    help: 'Times that the wall clock was set, or the machine slept: more than 50 ms at once.',
    labels: { direction: '`forward` or `back`' },
  },
  belfry_supervisor_leads: { role: 'supervisor', type: 'gauge', help: 'Whether this supervisor leads: 1 or 0.' },
} as const satisfies Record<string, MetricDescription>;

type NameOf<Type extends MetricDescription['type']> = {
  [Name in keyof typeof METRICS]: (typeof METRICS)[Name]['type'] extends Type ? Name : never;
}[keyof typeof METRICS];

/** The program's metrics, in Prometheus' terms. */
export class Metrics {
  readonly registry = new Registry();
  readonly gateway: GatewayMetrics = gatewayMetrics(this.registry);
  readonly scheduler: SchedulerMetrics = schedulerMetrics(this.registry);
  readonly clockSteps: Counter = counter('belfry_clock_steps_total', this.registry);

  constructor() {
    collectDefaultMetrics({ register: this.registry });
  }

  /** A gauge that is read when it is scraped. */
  gauge(name: NameOf<'gauge'>, read: () => number): void {
    new Gauge({
      name,
      help: METRICS[name].help,
      registers: [this.registry],
      collect() {
        this.set(read());
      },
    });
  }

  /** The same with a value for each of a few values of one label. */
  gaugeBy<Label extends string>(
    name: NameOf<'gauge'>,
    label: Label,
    read: () => Readonly<Record<string, number>>,
  ): void {
    new Gauge({
      name,
      help: METRICS[name].help,
      labelNames: [label],
      registers: [this.registry],
      collect() {
        for (const [value, count] of Object.entries(read())) this.set({ [label]: value } as never, count);
      },
    });
  }
}

function gatewayMetrics(registry: Registry): GatewayMetrics {
  const requests = counter('belfry_requests_total', registry);
  const requestSeconds = histogram('belfry_request_seconds', registry);
  const refused = counter('belfry_refused_total', registry);
  const unanswered = counter('belfry_unanswered_total', registry);
  const commitSeconds = histogram('belfry_group_commit_seconds', registry);
  const commitRecords = histogram('belfry_group_commit_records', registry);
  return {
    request: (op, outcome, durationMs) => {
      requests.inc({ op, outcome });
      requestSeconds.observe({ op }, durationMs / 1_000);
    },
    refused: (op, code, count) => refused.inc({ op, code }, count),
    commit: (outcome, records, _envelopes, durationMs) => {
      commitSeconds.observe({ outcome }, durationMs / 1_000);
      if (outcome === 'ok') commitRecords.observe(records);
    },
    unanswered: (op, stored, count) => unanswered.inc({ op, stored: String(stored) }, count),
  };
}

function schedulerMetrics(registry: Registry): SchedulerMetrics {
  const dispatched = counter('belfry_dispatched_total', registry);
  const over = counter('belfry_executions_total', registry);
  const lateness = histogram('belfry_lateness_seconds', registry);
  const skipped = counter('belfry_skipped_fires_total', registry);
  const checkpoints = histogram('belfry_checkpoint_seconds', registry);
  const rows = counter('belfry_checkpoint_rows_total', registry);
  const takeovers = counter('belfry_shard_takeovers_total', registry);
  const takeoverSeconds = histogram('belfry_takeover_seconds', registry);
  const quarantined = counter('belfry_quarantined_total', registry);
  return {
    dispatched: (count) => dispatched.inc(count),
    executionOver: (state, precision, latenessMs) => {
      over.inc({ state });
      if (latenessMs !== undefined) lateness.observe({ precision }, Math.max(0, latenessMs) / 1_000);
    },
    skipped: (policy, count) => skipped.inc({ policy }, count),
    checkpoint: (count, durationMs) => {
      rows.inc(count);
      checkpoints.observe(durationMs / 1_000);
    },
    takeover: (shards, durationMs) => {
      takeovers.inc(shards);
      takeoverSeconds.observe(durationMs / 1_000);
    },
    quarantined: () => quarantined.inc(),
  };
}

function counter(name: NameOf<'counter'>, registry: Registry): Counter {
  const { help, labels }: MetricDescription = METRICS[name];
  return new Counter({ name, help, labelNames: Object.keys(labels ?? {}), registers: [registry] });
}

function histogram(name: NameOf<'histogram'>, registry: Registry): Histogram {
  const { help, labels, buckets }: MetricDescription = METRICS[name];
  return new Histogram({
    name,
    help,
    labelNames: Object.keys(labels ?? {}),
    buckets: [...(buckets ?? [])],
    registers: [registry],
  });
}
