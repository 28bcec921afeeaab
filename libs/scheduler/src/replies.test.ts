import { LIMITS } from '@belfry/protocol';
import { SYSTEM_TIMERS, type Messenger } from '@belfry/actor-runtime';
import { expect, it } from 'vitest';
import { ReplyOutbox } from './replies.ts';

it('gathers answers for a gateway, in messages that fit', async () => {
  const told: string[] = [];
  const outbox = new ReplyOutbox(
    { tell: (_subject, body) => void told.push(String(body)) } as Messenger,
    SYSTEM_TIMERS,
  );
  const running = Array.from({ length: 1_000 }, (_, n) => `${n}`.padStart(41, 'x'));
  for (let correlation = 1; correlation <= 100; correlation++)
    outbox.add({ gateway: 'g', correlation, answer: { ok: true, status: 'cancelled', running } });
  outbox.add({ gateway: 'g', correlation: 101, answer: { ok: true, status: 'accepted' } });
  await expect.poll(() => told.join('')).toContain('[101,');
  expect(Math.max(...told.map((body) => Buffer.byteLength(body)))).toBeLessThan(LIMITS.messageBytes);
  const answers = told.flatMap((body) => (JSON.parse(body) as { a: [number, unknown][] }).a);
  expect(answers.map(([correlation]) => correlation)).toEqual(Array.from({ length: 101 }, (_, n) => n + 1));
  expect(told.length).toBeLessThan(101);
});
