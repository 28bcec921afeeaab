import type { TaskRow } from '@belfry/ports';
import { encodeTarget, type Target } from '@belfry/protocol';
import { expect, it } from 'vitest';

import { renderTask } from './render-task.ts';

const TARGET: Target = {
  namespace: 'acme',
  queue: 'mail',
  handler: 'send',
  priority: 1,
  retry: { attempts: 1, initialMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0 },
  timeoutMs: 10_000,
  precision: 'high',
  catchUp: undefined,
};

it('tells schedule and target as the shard has them, while a checkpoint writes the task as it was before an update', () => {
  const id = '0'.repeat(32);
  const written: TaskRow = {
    id,
    key: 'one',
    namespace: 'acme',
    queue: 'mail',
    handler: 'send',
    schedule: 'a1790000000000',
    target: encodeTarget(TARGET),
    payload: '{"a":1}',
    metadata: '{}',
    bodyHash: [0, 0, 0, 0],
    traceparent: undefined,
    createdAt: 1_789_000_000_000,
    effectiveFrom: 1_789_000_000_000,
  };
  const glance = {
    id,
    schedule: 'e3600000@1790000000000',
    target: encodeTarget({ ...TARGET, queue: 'post' }),
    createdAt: written.createdAt,
    state: 'waiting' as const,
    next: [],
    executions: [],
  };
  const view = renderTask(7, glance, written);
  expect(view).toMatchObject({ every: '1h', queue: 'post', key: 'one', payload: { a: 1 } });
  expect(view.at).toBeUndefined();
});
