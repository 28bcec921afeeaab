import { SPANS, type SpanDescription } from '@belfry/adapter-otel';
import { startCollector, type CollectedSpan, type Collector } from '@belfry/adapter-otel/testing';
import { Belfry } from '@belfry/sdk';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { startDev, temporaryFolder, type RunningDev } from '../testing/program.ts';

vi.setConfig({ testTimeout: 60_000 });
const PATIENCE = { timeout: 30_000, interval: 50 };

let folder: ReturnType<typeof temporaryFolder>;
let collector: Collector;
let dev: RunningDev;
let belfry: Belfry;

beforeAll(async () => {
  folder = temporaryFolder();
  collector = await startCollector();
  for (const [name, value] of Object.entries(collector.env)) vi.stubEnv(name, value);
  dev = await startDev(folder.path);
  belfry = new Belfry({ url: dev.natsUrl });
});

afterAll(async () => {
  await belfry?.[Symbol.asyncDispose]();
  await dev?.[Symbol.asyncDispose]();
  await collector?.[Symbol.asyncDispose]();
  folder?.[Symbol.dispose]();
  vi.unstubAllEnvs();
});

/** The spans of the task's runs, or whatever carries its id. */
function spansOf(task: string, name: string): CollectedSpan[] {
  return collector.spans.filter((span) => span.name === name && span.attributes['belfry.task'] === task);
}

function spanOf(id: string): CollectedSpan {
  const found = collector.spans.find(({ spanId }) => spanId === id);
  if (found === undefined) throw new Error(`no span ${id} has arrived`);
  return found;
}

function childOf(parent: CollectedSpan, name: string): CollectedSpan {
  const [child, ...more] = collector.spans.filter((span) => span.parentSpanId === parent.spanId && span.name === name);
  if (child === undefined) throw new Error(`no span ${name} under ${parent.name} has arrived`);
  expect(more).toEqual([]);
  expect(child.traceId).toBe(parent.traceId);
  return child;
}

describe('the spans of belfry dev', () => {
  it('are one trace for a one-time task: create, dispatch, run, result', async () => {
    const { id } = await belfry.schedule({ at: new Date(), queue: 'default', handler: 'echo', payload: 'hello' });
    await vi.waitFor(() => {
      const [dispatch, ...more] = spansOf(id, 'belfry.dispatch') as [CollectedSpan];
      expect(dispatch).toBeDefined();
      expect(more).toEqual([]);
      const create = spanOf(dispatch.parentSpanId ?? 'none');
      expect(create).toMatchObject({ name: 'tasks.create', service: 'belfry', parentSpanId: undefined });
      const run = childOf(childOf(create, 'belfry.dispatch'), 'belfry.run');
      expect(run).toMatchObject({ service: 'belfry-worker', failed: false });
      expect(childOf(run, 'executions.finish').service).toBe('belfry');
    }, PATIENCE);
    const [{ traceId }] = spansOf(id, 'belfry.dispatch') as [CollectedSpan];
    await vi.waitFor(async () => {
      const { items } = await belfry.history({ id });
      expect(items).toMatchObject([{ state: 'succeeded', traceId }]);
    }, PATIENCE);
  });

  it('are a trace for each fire of a recurring task, linked to its creation', async () => {
    const { id } = await belfry.schedule({ every: '1s', queue: 'default', handler: 'echo', key: 'often' });
    await vi.waitFor(() => expect(spansOf(id, 'belfry.run').length).toBeGreaterThanOrEqual(2), PATIENCE);
    await belfry.cancel({ id });
    await vi.waitFor(() => {
      const dispatches = spansOf(id, 'belfry.dispatch').slice(0, 2);
      for (const dispatch of dispatches) {
        expect(dispatch.parentSpanId).toBeUndefined();
        expect(dispatch.links).toHaveLength(1);
        const [link] = dispatch.links as [{ spanId: string; traceId: string }];
        expect(spanOf(link.spanId)).toMatchObject({ name: 'tasks.create', traceId: link.traceId });
        expect(link.traceId).not.toBe(dispatch.traceId);
        childOf(childOf(dispatch, 'belfry.run'), 'executions.finish');
      }
      expect(new Set(dispatches.map(({ traceId }) => traceId)).size).toBe(2);
    }, PATIENCE);
  });

  it('keep the attempts of a fire together, and say which failed', async () => {
    const { id } = await belfry.schedule({
      at: new Date(),
      queue: 'default',
      handler: 'fail',
      payload: { times: 1 },
      retry: { attempts: 2, initialMs: 10 },
    });
    await vi.waitFor(() => expect(spansOf(id, 'belfry.run')).toHaveLength(2), PATIENCE);
    const runs = spansOf(id, 'belfry.run');
    expect(runs.map(({ failed, attributes }) => [Number(attributes['belfry.attempt']), failed]).sort()).toEqual([
      [1, true],
      [2, false],
    ]);
    expect(new Set(runs.map(({ traceId }) => traceId)).size).toBe(1);
  });

  it('have checkpoints among them, and only what docs/telemetry.md tells', async () => {
    const checkpoints = (): CollectedSpan[] => collector.spans.filter(({ name }) => name === 'belfry.checkpoint');
    await vi.waitFor(() => expect(checkpoints().length).toBeGreaterThan(0), PATIENCE);
    for (const { parentSpanId, attributes } of checkpoints()) {
      expect(parentSpanId).toBeUndefined();
      expect(Number(attributes['belfry.rows'])).toBeGreaterThanOrEqual(0);
    }
    const table: { readonly [name: string]: SpanDescription } = SPANS;
    for (const { name, attributes } of collector.spans)
      expect({ name, attributes: Object.keys(attributes) }).toEqual({ name, attributes: table[name]?.attributes });
    expect([...collector.paths]).toEqual(['/v1/traces']);
  });
});
