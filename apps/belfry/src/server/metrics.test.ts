import { describe, expect, it } from 'vitest';

import { Metrics, METRICS, type MetricDescription } from './metrics.ts';

const TABLE: [string, MetricDescription][] = Object.entries(METRICS);

async function scrape(metrics: Metrics): Promise<string[]> {
  const lines = (await metrics.registry.metrics()).split('\n');
  return lines.filter((line) => line.startsWith('belfry_') && !line.includes('_bucket'));
}

describe('the metrics', () => {
  it('are those of the table; its gauges are registered by their roles', () => {
    const registered = new Metrics().registry.getMetricsAsArray().map(({ name }) => name);
    const told = TABLE.flatMap(([name, { type }]) => (type === 'gauge' ? [] : [name]));
    expect(registered.filter((name) => name.startsWith('belfry_')).sort()).toEqual(told.sort());
  });

  it.each(TABLE)('%s is named as Prometheus wants it', (name, { type, buckets }) => {
    expect(name.endsWith('_total')).toBe(type === 'counter');
    expect(buckets !== undefined).toBe(type === 'histogram');
    expect([...(buckets ?? [])].sort((a, b) => a - b)).toEqual(buckets ?? []);
  });

  it('read a gauge when they are scraped', async () => {
    const metrics = new Metrics();
    let tasks = 1;
    metrics.gauge('belfry_tasks', () => tasks);
    tasks = 7;
    expect(await scrape(metrics)).toContain('belfry_tasks 7');
  });

  it('tell what a gateway does', async () => {
    const metrics = new Metrics();
    const { gateway } = metrics;
    gateway.request('tasks.create', 'ok', 20);
    gateway.request('tasks.create', 'overloaded', 1);
    gateway.refused('tasks.create', 'invalid_field', 3);
    gateway.unanswered('executions.finish', true, 2);
    gateway.commit('ok', 500, 10, 4);
    gateway.commit('retry', 500, 10, 1_000);
    expect(await scrape(metrics)).toEqual(
      expect.arrayContaining([
        'belfry_requests_total{op="tasks.create",outcome="ok"} 1',
        'belfry_requests_total{op="tasks.create",outcome="overloaded"} 1',
        'belfry_request_seconds_count{op="tasks.create"} 2',
        'belfry_refused_total{op="tasks.create",code="invalid_field"} 3',
        'belfry_unanswered_total{op="executions.finish",stored="true"} 2',
        'belfry_group_commit_seconds_sum{outcome="ok"} 0.004',
        'belfry_group_commit_seconds_count{outcome="retry"} 1',
        'belfry_group_commit_records_sum 500',
      ]),
    );
  });

  it('tell what a scheduler does', async () => {
    const metrics = new Metrics();
    const { scheduler } = metrics;
    scheduler.dispatched(5);
    scheduler.executionOver('succeeded', 'high', 30);
    scheduler.executionOver('cancelled', 'normal', undefined);
    scheduler.skipped('latest', 7);
    scheduler.checkpoint(40, 250);
    scheduler.takeover(256, 1_500);
    scheduler.quarantined();
    expect(await scrape(metrics)).toEqual(
      expect.arrayContaining([
        'belfry_dispatched_total 5',
        'belfry_executions_total{state="succeeded"} 1',
        'belfry_executions_total{state="cancelled"} 1',
        'belfry_lateness_seconds_sum{precision="high"} 0.03',
        'belfry_lateness_seconds_count{precision="high"} 1',
        'belfry_skipped_fires_total{policy="latest"} 7',
        'belfry_checkpoint_rows_total 40',
        'belfry_checkpoint_seconds_sum 0.25',
        'belfry_shard_takeovers_total 256',
        'belfry_takeover_seconds_sum 1.5',
        'belfry_quarantined_total 1',
      ]),
    );
  });
});
