import { decodeEnvelope, TooNew, type Envelope } from '@belfry/protocol';
import { GOLDEN } from '@belfry/protocol/testing';
import { describe, expect, it } from 'vitest';

import { T0, TestWorld } from './test-world.ts';

/** Of the whole create, and of the only fire of the bare one. */
const ID = '14d2a0b81dfb8d37be4046474bc8e284';
const EXECUTION = `6df2878f718a8a02b06b7d011ea3b596-${(T0 + 60_000).toString(36)}`;
const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const WHOLE = {
  key: 'order-17',
  cron: '0 7 * * MON-FRI',
  timezone: 'Europe/Vienna',
  queue: 'mail',
  handler: 'send',
  priority: 'high',
  precision: 'high',
  payload: { to: 'ä@b.c' },
  metadata: { tenant: 'a' },
  retry: { attempts: 5, initialMs: 2_000, factor: 3, maxMs: 60_000, jitter: 0.5 },
  timeoutMs: 30_000,
  catchUp: { policy: 'all', window: '1h' },
};
const CALENDAR = { name: 'holidays', calendar: { timezone: 'Europe/Berlin', exclude: ['12-25'] } };
const FINISHED = { deliveredAt: T0, startedAt: T0 + 1, finishedAt: T0 + 2, error: 'no', fatal: true, result: [1] };

/** Every kind of record that a gateway writes, by what asks for it. */
const REQUESTS: readonly (readonly [kind: string, subject: string, request: object])[] = [
  ['a bare create', 'tasks.create', { commandId: 'c1', items: [{ at: T0 + 60_000, queue: 'q', handler: 'h' }] }],
  ['a whole create', 'tasks.create', { commandId: 'c2', items: [WHOLE] }],
  ['an update', 'tasks.update', { id: ID, commandId: 'c3', set: { every: '5m', payload: 7, priority: 'low' } }],
  ['a calendar', 'calendars.set', { ...CALENDAR, commandId: 'c5' }],
  [
    'a redelivery',
    'executions.redelivered',
    { execution: EXECUTION, attempt: 1, worker: 'w', deliveries: 2, parcel: true },
  ],
  ['a result', 'executions.finish', { execution: EXECUTION, attempt: 2, worker: 'w', outcome: 'failed', ...FINISHED }],
  ['a bare result', 'executions.finish', { execution: EXECUTION, attempt: 1, worker: 'w', outcome: 'succeeded' }],
  ['a cancel', 'tasks.cancel', { id: ID, commandId: 'c4' }],
];

async function written(level: number): Promise<Record<string, string>> {
  const bodies: Record<string, string> = {};
  for (const [kind, subject, request] of REQUESTS) {
    const world = new TestWorld({ shards: 1, environment: { level: () => level } });
    const reply = await world.ask(subject, request, 'acme', { traceparent: TRACE });
    expect(reply.error ?? reply.items?.[0]?.error, kind).toBeUndefined();
    bodies[kind] = world.appends[0]?.[0]?.body as string;
  }
  return bodies;
}

const envelope = (text: string, reads?: number): Envelope => decodeEnvelope(new TextEncoder().encode(text), reads);

describe('what gateways write into the inbox', () => {
  it.each([1, 2])('is at level %i, byte for byte, what it has always been', async (level) => {
    const { gateway } = GOLDEN.envelopes;
    const expected = { ...gateway[1], ...(level === 1 ? {} : gateway[2]) };
    expect(await written(level)).toEqual(expected);
  });

  it('says the same at each level', () => {
    const { gateway } = GOLDEN.envelopes;
    for (const [kind, text] of Object.entries(gateway[2])) {
      const { r: before } = envelope((gateway[1] as Record<string, string>)[kind] as string);
      expect(envelope(text).r).toEqual(before);
    }
  });

  it('is refused as too new by a program of the level before, and not as broken', () => {
    for (const text of Object.values(GOLDEN.envelopes.gateway[2])) expect(() => envelope(text, 1)).toThrow(TooNew);
    for (const text of ['{"v":3,"x":[]}', '{"v":3,"parts":[1,2]}\n{}', '{"v":99}'])
      expect(() => envelope(text)).toThrow(TooNew);
    for (const text of ['', '[]', '{"r":[]}', '{"v":"3","r":[]}', '{"v":0,"r":[]}', '{"v":1}']) {
      expect(() => envelope(text), text).toThrow();
      expect(() => envelope(text), text).not.toThrow(TooNew);
    }
  });
});
