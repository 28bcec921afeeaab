import { describe, expect, it } from 'vitest';

import { ACK_WAIT_MS, GRACE_MS, TestWorker } from './test-worker.ts';

describe('slots', () => {
  it('asks for as many messages as it has slots, once a queue is subscribed to', () => {
    expect(new TestWorker({ capacity: 3 }).said()).toEqual(['window q 3']);
  });

  it('runs no more than its capacity, and the next one when a slot is free', () => {
    const worker = new TestWorker({ capacity: 2 });
    for (const execution of ['a', 'b', 'c', 'd']) worker.deliver(execution);
    expect(worker.said()).toEqual(['window q 2', 'run a#1', 'run b#1']);
    worker.end('a');
    expect(worker.said()).toEqual(['run c#1']);
    expect(worker.core.print()).toMatchInlineSnapshot(`
      "slots 2/2 unstarted 1 reporting 1
      a#1 q reporting succeeded
      b#1 q running slot
      c#1 q running slot
      d#1 q ready"
    `);
  });

  it('does not count results that wait for their answer against the window', () => {
    const worker = new TestWorker({ capacity: 2 });
    worker.deliver('a');
    worker.deliver('b');
    worker.turn();
    worker.said();
    worker.end('a');
    worker.turn();
    expect(worker.said()).toEqual(['finish a:succeeded', 'window q 3']);
  });

  it('pulls nothing more while 10,000 results wait', () => {
    const worker = new TestWorker({ capacity: 1 });
    worker.checks = false; // of all that it holds, after each step
    for (let i = 0; i < 10_000; i++) {
      worker.deliver(`x${i}`);
      worker.end(`x${i}`);
    }
    worker.checks = true;
    worker.turn();
    expect(worker.take('window').at(-1)).toMatchObject({ size: 10_000 });
  });

  it('asks each of its queues for what all slots together still take', () => {
    const worker = new TestWorker({ capacity: 2, queues: ['p', 'q'] });
    worker.deliver('a', { queue: 'p' });
    worker.said();
    worker.turn();
    expect(worker.said()).toEqual(['window q 1']);
    expect(worker.core.running()).toEqual(['a']);
  });

  it('gives back what has waited for a slot for five seconds', () => {
    const worker = new TestWorker({ capacity: 1 });
    worker.deliver('a');
    worker.deliver('b');
    worker.pass(4_950);
    expect(worker.take('finish')).toEqual([]);
    worker.pass(50);
    expect(worker.said()).toContain('finish b:returned');
  });

  it('lets more wait for slots when handlers are short, and none when they are long', () => {
    const worker = new TestWorker({ capacity: 10 });
    for (let i = 0; i < 100; i++) {
      worker.deliver(`x${i}`);
      worker.end(`x${i}`);
    }
    worker.pass(300);
    worker.settle(
      worker.take('finish').flatMap(({ holdings }) => holdings),
      'accepted',
    );
    expect(worker.take('window').at(-1)).toMatchObject({ size: 15 });
    expect(worker.core.parcel).toBe(2); // half of those that may wait
    for (let i = 0; i < 10; i++) worker.deliver(`y${i}`);
    worker.pass(600);
    expect(worker.take('window').at(-1)).toMatchObject({ size: 10 });
    expect(worker.core.parcel).toBe(1);
  });
});

describe('results', () => {
  it('are acknowledged only after they were accepted', () => {
    const worker = new TestWorker();
    worker.deliver('a');
    worker.end('a');
    worker.turn();
    const [finish] = worker.take('finish');
    expect(worker.core.running()).toEqual(['a']);
    worker.settle(finish!.holdings, 'accepted');
    expect(worker.said()).toEqual(['ack a#1', 'window q 2']);
    expect(worker.core.isBusy).toBe(false);
  });

  it('of one turn of the event loop go into one request', () => {
    const worker = new TestWorker({ capacity: 3 });
    for (const execution of ['a', 'b', 'c']) worker.deliver(execution);
    worker.end('a');
    worker.end('b', 'failed');
    worker.turn();
    worker.end('c');
    worker.turn();
    expect(worker.take('finish').map(({ holdings }) => holdings.length)).toEqual([2, 1]);
  });

  it('that no answer came for are sent again, each time later, and at once after a success', () => {
    const worker = new TestWorker();
    worker.deliver('a');
    worker.end('a');
    worker.turn();
    const waits: number[] = [];
    for (let round = 0; round < 8; round++) {
      const [finish] = worker.take('finish');
      worker.settle(finish!.holdings, undefined);
      const failedAt = worker.now;
      while (!worker.peek().some((text) => text.startsWith('finish'))) worker.pass(50);
      waits.push(worker.now - failedAt);
    }
    expect(waits).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    worker.settle(worker.take('finish')[0]!.holdings, 'accepted');
    worker.deliver('b');
    worker.end('b');
    worker.turn();
    expect(worker.said()).toContain('finish b:succeeded');
  });

  it('are sent again alone, when the gateway has taken the others of their request', () => {
    const worker = new TestWorker();
    worker.deliver('a');
    worker.deliver('b');
    worker.end('a');
    worker.end('b');
    worker.turn();
    const [finish] = worker.take('finish');
    worker.step({ kind: 'finished', holdings: finish!.holdings, verdicts: ['retry', 'accepted'] });
    expect(worker.said()).toContain('ack b#1');
    worker.pass(100);
    expect(worker.said()).toEqual(['finish a:succeeded']);
  });

  it('that are refused are sent once more bare, and then given up', () => {
    const worker = new TestWorker();
    worker.deliver('a');
    worker.end('a', 'succeeded', 9_000);
    worker.turn();
    worker.settle(worker.take('finish')[0]!.holdings, 'refused');
    const [bare] = worker.take('finish');
    expect(bare!.holdings[0]).toMatchObject({ execution: 'a', bare: true, outcome: 'succeeded' });
    worker.settle(bare!.holdings, 'refused');
    expect(worker.said()).toEqual(['unreportable a#1', 'forget a#1', 'window q 2']);
    expect(worker.core.isBusy).toBe(false);
  });
});

describe('a time limit', () => {
  it('ends the attempt, aborts its signal, and what the handler does later is not told', () => {
    const worker = new TestWorker();
    worker.deliver('a', { timeoutMs: 1_000 });
    worker.pass(950);
    expect(worker.take('abort')).toEqual([]);
    worker.pass(50);
    expect(worker.said()).toEqual(['abort a timed_out', 'finish a:timed_out']);
    worker.end('a');
    worker.turn();
    expect(worker.said()).toEqual(['window q 3']);
    expect(worker.holding('a')).toMatchObject({ outcome: 'timed_out', reason: 'timed out after 1000 ms' });
  });

  it('leaves the handler its slot for the grace, then gives the slot to another', () => {
    const graceMs = 2_000;
    const worker = new TestWorker({ capacity: 1, graceMs });
    worker.deliver('a', { timeoutMs: 1_000 });
    worker.pass(1_000);
    worker.settle(worker.take('finish')[0]!.holdings, 'accepted');
    worker.deliver('b');
    worker.pass(graceMs - 50);
    expect(worker.take('run')).toEqual([]);
    expect(worker.core.print()).toMatchInlineSnapshot(`
      "slots 1/1 unstarted 1 reporting 0
      b#1 q ready
      a#1 q over slot timed_out"
    `);
    worker.pass(50);
    expect(worker.said()).toContain('run b#1');
    worker.end('a');
    expect(worker.said()).toEqual([]);
  });
});

describe('a delivery that has waited', () => {
  it('is not started when its lease may be over, and said nothing of: another may have it', () => {
    const worker = new TestWorker({}, 8_000);
    worker.said();
    worker.now = 20_000;
    worker.deliver('late', { leasedAt: 20_000 - 7_200 });
    expect(worker.said()).toEqual(['forget late#1']);
    expect(worker.core.running()).toEqual([]);
  });

  it('is started while its lease is sure, and extended soon', () => {
    const worker = new TestWorker({}, 8_000);
    worker.said();
    worker.now = 20_000;
    worker.deliver('late', { leasedAt: 20_000 - 7_000 });
    expect(worker.said()).toEqual(['run late#1']);
    worker.pass(50);
    expect(worker.said()).toEqual(['extend late']);
    worker.confirmExtension('late');
    worker.pass(2_000);
    expect(worker.said()).not.toContain('abort late lease_lost');
  });

  it('is not asked about when its lease may be over, nor given back by a worker that stops', () => {
    const worker = new TestWorker({}, 8_000);
    worker.now = 20_000;
    worker.step({ kind: 'stop', timeoutMs: 1_000 });
    worker.said();
    worker.deliver('late', { deliveries: 2, leasedAt: 0 });
    expect(worker.said()).toEqual(['forget late#1']);
  });

  it('does not shorten a lease that is surer', () => {
    const worker = new TestWorker({}, 8_000);
    worker.deliver('twice');
    worker.deliver('twice', { deliveries: 2, leasedAt: -7_000 });
    worker.pass(3_000);
    expect(worker.said()).not.toContain('abort twice lease_lost');
  });
});

describe('a lease', () => {
  it('is extended at a third of it, for whatever is held', () => {
    const worker = new TestWorker({ capacity: 1 });
    worker.deliver('a');
    worker.pass(ACK_WAIT_MS / 3 - 50);
    expect(worker.take('extend')).toEqual([]);
    worker.pass(50);
    expect(worker.said()).toEqual(['extend a']);
    worker.confirmExtension('a');
    worker.pass(ACK_WAIT_MS / 3 - 50);
    expect(worker.said()).toEqual([]);
    worker.pass(50);
    expect(worker.said()).toEqual(['extend a']);
  });

  it('is asked for each second again until that is confirmed', () => {
    const worker = new TestWorker();
    worker.deliver('a');
    worker.pass(ACK_WAIT_MS / 3 + 3_000);
    expect(worker.take('extend').map(({ sentAt }) => sentAt)).toEqual([10_000, 11_000, 12_000, 13_000]);
  });

  it('that may have run out aborts the handler, whose failure is not told then', () => {
    const worker = new TestWorker();
    worker.deliver('a');
    worker.said();
    worker.pass(ACK_WAIT_MS * 0.9);
    expect(worker.said().filter((text) => !/^(extend|window)/.test(text))).toEqual([
      'abort a lease_lost',
      'forget a#1',
    ]);
    worker.end('a', 'failed');
    worker.turn();
    expect(worker.said()).toEqual(['window q 2']);
    expect(worker.core.isBusy).toBe(false);
  });

  it('that may have run out does not keep a success from being told', () => {
    const worker = new TestWorker();
    worker.deliver('a');
    worker.pass(ACK_WAIT_MS * 0.9);
    worker.end('a');
    worker.turn();
    const [finish] = worker.take('finish');
    expect(finish!.holdings[0]).toMatchObject({ execution: 'a', outcome: 'succeeded' });
    worker.settle(finish!.holdings, 'accepted');
    expect(worker.said().some((text) => text.startsWith('ack'))).toBe(false);
    expect(worker.core.isBusy).toBe(false);
  });

  it('that has run out before a slot was free lets nothing start', () => {
    const worker = new TestWorker({ capacity: 1 }, 3_000);
    worker.deliver('a');
    worker.deliver('b');
    worker.now += 2_700; // no tick: the process stood still
    worker.end('a');
    expect(worker.said()).toEqual(['window q 1', 'run a#1', 'forget b#1']);
  });

  it('whose message comes again while it is held goes on with the new delivery', () => {
    const worker = new TestWorker();
    worker.deliver('a');
    worker.pass(20_000);
    worker.said();
    worker.deliver('a', { deliveries: 2 });
    expect(worker.said()).toEqual(['adopt a a@2']);
    worker.pass(20_000);
    expect(worker.said().filter((text) => !text.startsWith('extend'))).toEqual([]);
  });
});

describe('a message that was delivered before', () => {
  it('runs only when the shard says so, as the attempt that it says', () => {
    const worker = new TestWorker();
    worker.deliver('a', { deliveries: 2 });
    expect(worker.said()).toEqual(['window q 2', 'ask a#1']);
    worker.answer('a', 2);
    expect(worker.said()).toContain('run a#2');
    worker.end('a');
    worker.turn();
    expect(worker.take('finish')[0]!.holdings[0]!.attempt).toBe(2);
  });

  it('is acknowledged and forgotten when the shard says that it is over', () => {
    const worker = new TestWorker();
    worker.deliver('a', { deliveries: 3 });
    worker.answer('a', 'over');
    expect(worker.said()).toEqual(['window q 2', 'ask a#1', 'ack a#1']);
    expect(worker.core.isBusy).toBe(false);
  });

  it('is left to the worker that has got it since, before it runs and after', () => {
    const worker = new TestWorker();
    worker.deliver('a', { deliveries: 2 });
    worker.answer('a', 'superseded');
    expect(worker.said()).toEqual(['window q 2', 'ask a#1', 'forget a#1']);
    worker.deliver('b');
    worker.end('b');
    worker.step({ kind: 'turn' });
    worker.settle(worker.take('finish')[0]!.holdings, 'superseded');
    expect(worker.said().filter((line) => /ack|forget/.test(line))).toEqual(['forget b#1']);
    expect(worker.core.isBusy).toBe(false);
  });

  it('is given back when the shard lets it run after its lease may have run out', () => {
    const worker = new TestWorker({}, 8_000);
    worker.deliver('a', { deliveries: 2 });
    worker.pass(8_000);
    expect(worker.said().at(-1)).toBe('forget a#1');
    worker.answer('a', 2);
    expect(worker.said()).toContain('finish a:returned');
    expect(worker.holding('a').attempt).toBe(2);
    worker.settle([worker.holding('a')], 'accepted');
    expect([worker.said(), worker.core.isBusy]).toEqual([[], false]);
  });

  it('is given back when its lease runs out before a slot is free', () => {
    const worker = new TestWorker({ capacity: 1 }, 8_000);
    worker.deliver('busy');
    worker.deliver('a', { deliveries: 2 });
    worker.answer('a', 2);
    worker.pass(8_000);
    expect(worker.said()).toContain('finish a:returned');
  });

  it('is asked about anew when it came again before the shard let it run', () => {
    const worker = new TestWorker({}, 8_000);
    worker.deliver('a', { deliveries: 2 });
    const first = worker.holding('a');
    worker.pass(8_000);
    worker.deliver('a', { deliveries: 3 });
    expect(worker.said().slice(-2)).toEqual(['forget a#1', 'ask a#1']);
    worker.step({ kind: 'answered', holding: first, answer: 2 });
    expect(worker.said()).toEqual([]);
    worker.answer('a', 3);
    expect(worker.said()).toContain('run a#3');
  });

  it('is asked for again a quarter of a second after there was no answer', () => {
    const worker = new TestWorker();
    worker.deliver('a', { deliveries: 2 });
    worker.answer('a', 'retry');
    worker.said();
    worker.pass(200);
    expect(worker.said()).toEqual([]);
    worker.pass(500);
    expect(worker.said()).toEqual(['ask a#1']); // and not twice, while that one is under way
  });
});

describe('a stop', () => {
  it('gives back what has not begun, lets handlers end, and is over when the last message has come', () => {
    const worker = new TestWorker({ capacity: 1 });
    worker.deliver('a');
    worker.deliver('b');
    worker.deliver('c', { deliveries: 2 });
    worker.said();
    worker.step({ kind: 'stop', timeoutMs: 10_000 });
    expect(worker.said()).toEqual(['finish b:returned c:returned', 'window q 3']);
    worker.deliver('d');
    worker.answer('c', 2);
    worker.turn();
    expect(worker.said()).toEqual(['finish d:returned', 'window q 4']);
    worker.end('a');
    worker.turn();
    for (const execution of ['a', 'b', 'c', 'd']) worker.settle([worker.holding(execution)], 'accepted');
    expect(worker.take('stopped')).toEqual([]);
    worker.step({ kind: 'drained' });
    expect(worker.said()).toEqual(['stopped 0']);
    worker.pass(60_000);
    expect(worker.said()).toEqual([]);
  });

  it('aborts handlers when its time is up, and gives them up after the grace', () => {
    const worker = new TestWorker();
    worker.deliver('a');
    worker.step({ kind: 'stop', timeoutMs: 1_000 });
    worker.step({ kind: 'drained' });
    worker.said();
    worker.pass(1_000);
    expect(worker.said()).toEqual(['abort a stopping']);
    worker.pass(GRACE_MS);
    const [finish] = worker.take('finish');
    expect(finish!.holdings[0]).toMatchObject({ outcome: 'failed', reason: expect.stringContaining('had not ended') });
    worker.settle(finish!.holdings, 'accepted');
    expect(worker.said()).toContain('stopped 0');
  });

  it('ends without the last results when nobody takes them for five seconds', () => {
    const worker = new TestWorker();
    worker.deliver('a');
    worker.end('a');
    worker.step({ kind: 'stop', timeoutMs: 1_000 });
    worker.step({ kind: 'drained' });
    worker.settle(worker.take('finish')[0]!.holdings, undefined);
    worker.pass(1_000 + GRACE_MS + 4_950);
    expect(worker.take('stopped')).toEqual([]);
    worker.pass(50);
    expect(worker.said().at(-1)).toBe('stopped 1');
  });

  it('that is asked for twice is the first one', () => {
    const worker = new TestWorker();
    worker.deliver('a');
    worker.step({ kind: 'stop', timeoutMs: 1_000 });
    worker.step({ kind: 'stop', timeoutMs: 600_000 });
    worker.pass(1_000);
    expect(worker.said()).toContain('abort a stopping');
  });

  it('of a worker that holds nothing is over at once', () => {
    const worker = new TestWorker();
    worker.step({ kind: 'stop', timeoutMs: 1_000 });
    worker.step({ kind: 'drained' });
    expect(worker.said()).toEqual(['window q 2', 'window q 0', 'stopped 0']);
  });
});
