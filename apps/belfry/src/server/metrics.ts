import type { SchedulerMetrics } from '@belfry/scheduler';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

/** The program's metrics, in Prometheus' terms. `docs/operating.md` lists them. */
export class Metrics {
  readonly registry = new Registry();
  readonly scheduler: SchedulerMetrics;
  readonly #gauges = new Map<string, Gauge>();

  constructor() {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    const counter = (name: string, help: string, labelNames: string[] = []) =>
      new Counter({ name, help, labelNames, registers });
    const dispatched = counter('belfry_dispatched_total', 'Attempts put into the work stream.');
    const over = counter('belfry_executions_total', 'Executions that are over, by state.', ['state']);
    const quarantined = counter('belfry_quarantined_total', 'Messages set aside because they crashed their shard.');
    const takeovers = counter('belfry_shard_takeovers_total', 'Shards taken over by this node.');
    const lateness = new Histogram({
      name: 'belfry_lateness_seconds',
      help: 'Handler start minus scheduledAt, of executions that are over.',
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
      registers,
    });
    const checkpoints = new Histogram({
      name: 'belfry_checkpoint_seconds',
      help: 'Duration of checkpoint transactions.',
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    });
    const rows = counter('belfry_checkpoint_rows_total', 'Rows written by checkpoints.');
    const takeover = new Histogram({
      name: 'belfry_takeover_seconds',
      help: 'Duration of takeovers, from the decision to the first dispatch.',
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    });
    this.scheduler = {
      dispatched: (count) => dispatched.inc(count),
      executionOver: (state, latenessMs) => {
        over.inc({ state });
        if (latenessMs !== undefined) lateness.observe(Math.max(0, latenessMs) / 1_000);
      },
      checkpoint: (count, durationMs) => {
        rows.inc(count);
        checkpoints.observe(durationMs / 1_000);
      },
      takeover: (shards, durationMs) => {
        takeovers.inc(shards);
        takeover.observe(durationMs / 1_000);
      },
      quarantined: () => quarantined.inc(),
    };
  }

  /** A gauge that is read when it is scraped. */
  gauge(name: string, help: string, read: () => number): void {
    if (this.#gauges.has(name)) return;
    const gauge = new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(read());
      },
    });
    this.#gauges.set(name, gauge);
  }
}
