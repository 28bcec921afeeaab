import { NO_FIRES, type WorkItem } from '@belfry/ports';
import { decodeEnvelope, LIMITS, subjects } from '@belfry/protocol';
import { GOLDEN } from '@belfry/protocol/testing';
import { Interned, Shard } from '@belfry/shard';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { fire, GATEWAY, T0, testCluster, type TestCluster } from './test-cluster.ts';

let cluster: TestCluster;
beforeEach(() => {
  cluster = testCluster();
});
afterEach(() => vi.useRealTimers());

const utf8 = new TextEncoder();

/** What becomes of a shard whose inbox holds these envelopes. */
function applied(envelopes: readonly string[]): unknown {
  const head = { shard: 0, epoch: 1, seq: 0, watermark: T0, counters: NO_FIRES, gaps: [] };
  const shard = new Shard({ shard: 0, interned: new Interned(), head, nowMs: T0, rememberMs: LIMITS.rememberMs });
  const replies = envelopes.flatMap((text, at) => shard.apply(at + 1, T0 + at, decodeEnvelope(utf8.encode(text))));
  const { inserts, patches, active, calendars, commands } = shard.delta(true) ?? {};
  return { replies, tasks: shard.tasks, inserts, patches, active, calendars, commands };
}

describe("what stands in a shard's inbox since the first level", () => {
  it('is applied as it always was', () => {
    const { gateway, scheduler } = GOLDEN.envelopes;
    expect(applied([...Object.values(gateway[1]), ...Object.values(scheduler)])).toMatchSnapshot();
  });

  it('has the same effect as the same at a later level', () => {
    const { gateway } = GOLDEN.envelopes;
    const first = Object.entries(gateway[1]);
    const later = first.map(([kind, text]) => (gateway[2] as Record<string, string>)[kind] ?? text);
    expect(later).not.toEqual(first.map(([, text]) => text));
    expect(applied(later)).toEqual(applied(first.map(([, text]) => text)));
  });
});

describe('what schedulers write', () => {
  it('are, byte for byte, the envelopes that they have always written', async () => {
    const append = vi.spyOn(cluster.inbox, 'append');
    await cluster.startOwner();
    cluster.work.lose();
    await cluster.seconds(5);
    const bodies = [...new Set(append.mock.calls.flatMap(([messages]) => messages.map(({ body }) => body)))];
    expect(bodies.slice(0, 2)).toEqual(Object.values(GOLDEN.envelopes.scheduler));
  });

  it('are, byte for byte, the work messages that workers read', async () => {
    const publish = vi.spyOn(cluster.work, 'publish');
    await cluster.startOwner();
    await cluster.worker('w', 1, [], ['mail']);
    await cluster.create(0, 'one', 1_000);
    await cluster.pass(1_000);
    await cluster.worker('w', 10, [], ['mail'], { parcel: 3 });
    await cluster.create(0, 'two', 2_000);
    await cluster.create(0, 'three', 2_000);
    await cluster.pass(1_000);
    const items = publish.mock.calls.flatMap(([, , some]) => some);
    expect(items.map(({ body }: WorkItem) => body)).toEqual([GOLDEN.work.single, GOLDEN.work.parcel]);
  });

  it('counts on what workers have told since the first', async () => {
    const owner = await cluster.startOwner();
    cluster.messenger.tell(subjects.workers('acme', 'heartbeat'), GOLDEN.heartbeats.worker);
    await cluster.settle();
    expect(owner.scheduler.status().workers).toBe(1);
  });

  it('are, byte for byte, the answers that gateways read', async () => {
    const told: string[] = [];
    cluster.messenger.listen(subjects.replies(GATEWAY), (body) => void told.push(new TextDecoder().decode(body)));
    await cluster.startOwner();
    await cluster.create(0, 'one', 1_000);
    await cluster.result(fire(0, 'one', 7_000), 1, 'succeeded');
    expect(told).toEqual(GOLDEN.replies);
  });
});
