import { expect, it } from 'vitest';

import { Metrics } from './metrics.ts';
import { onceATurn } from './once-a-turn.ts';

it('reads a status once for all gauges of a scrape, and anew for the next scrape', async () => {
  let reads = 0;
  const status = onceATurn(() => ({ owned: ++reads, tasks: 10 * reads }));
  const metrics = new Metrics();
  metrics.gauge('belfry_shards_owned', () => status().owned);
  metrics.gauge('belfry_tasks', () => status().tasks);
  for (const scrape of [1, 2]) {
    const text = await metrics.registry.metrics();
    expect(text).toContain(`belfry_shards_owned ${scrape}\n`);
    expect(text).toContain(`belfry_tasks ${10 * scrape}\n`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(reads).toBe(2);
});
