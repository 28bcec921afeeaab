import { ok, retry } from '@belfry/ports';
import { WorkerCore, type WorkerEffect, type WorkerInput } from '@belfry/worker';
import { expect, it } from 'vitest';

import { MOMENTS } from './moments.ts';

const NONE = { on: undefined, args: [] };

it('comes after what was done, and not after what failed', () => {
  const { about } = MOMENTS['checkpoint-after'];
  expect(about(NONE, ok({ fenced: [] }))).toEqual([]);
  expect(about(NONE, retry('no connection'))).toBeUndefined();
});

it('is about results of handlers that ended well: as they are sent, and as they were accepted', () => {
  const core = new WorkerCore<undefined>({ capacity: 4, queues: ['q'], graceMs: 1 });
  const seen: string[] = [];
  const step = (input: WorkerInput<undefined>): readonly WorkerEffect<undefined>[] => {
    const call = { on: core, args: [input] };
    const accepted = MOMENTS['finish-after'].about(call);
    const effects = core.step(input, 0);
    const sent = MOMENTS['finish-before'].about(call, effects);
    if (accepted !== undefined) seen.push(`accepted ${accepted.join()}`);
    if (sent !== undefined) seen.push(`sent ${sent.join()}`);
    return effects;
  };
  const run = (execution: string, outcome: 'succeeded' | 'failed'): void => {
    const about = { key: `${execution}.1`, execution, attempt: 1, deliveries: 1, leasedAt: 0, timeoutMs: 1_000 };
    const [effect] = step({ kind: 'delivered', queue: 'q', work: undefined, ...about });
    if (effect?.kind === 'run') step({ kind: 'ended', holding: effect.holding, outcome, bytes: 100 });
  };
  step({ kind: 'subscribed', queue: 'q', ackWaitMs: 8_000 });
  run('fails', 'failed');
  step({ kind: 'turn' });
  expect(seen).toEqual([]);
  run('good', 'succeeded');
  run('bad', 'failed');
  const holdings = step({ kind: 'turn' }).flatMap((effect) => (effect.kind === 'finish' ? effect.holdings : []));
  expect(seen).toEqual(['sent good']);
  const refused: WorkerInput<undefined> = { kind: 'finished', holdings, verdicts: ['retry', 'accepted'] };
  expect(MOMENTS['finish-after'].about({ on: core, args: [refused] })).toBeUndefined();
  step({ kind: 'finished', holdings, verdicts: ['accepted', 'accepted'] });
  expect(seen).toEqual(['sent good', 'accepted good']);
});
