import type { WorkRef } from '@belfry/ports';
import { envelopeOf, executionId, LIMITS, type ResultRecord, type WorkMessage } from '@belfry/protocol';
import { beforeEach, describe, expect, it } from 'vitest';
import { Model } from './model.ts';
import { Network } from './network.ts';
import { Process, T0 } from './process.ts';
import { Random } from './random.ts';
import { SimWork, type Delivery, type Puller } from './sim-work.ts';
import { VirtualTime } from './virtual-time.ts';

const SHORT = LIMITS.workLeaseMs;
const LONG = LIMITS.ackWaitMs;
const TASK = '0'.repeat(32);
const EXECUTION = executionId(TASK, T0);
const REF: WorkRef = { namespace: 'sim', queue: 'q', shard: 0, attempts: [{ execution: EXECUTION, attempt: 1 }] };

let time: VirtualTime;
let network: Network;
let model: Model;
let worker: Process;

beforeEach(() => {
  time = new VirtualTime();
  network = new Network(time, new Random(1));
  model = new Model(time, () => undefined);
  model.creating(TASK, { schedule: { kind: 'at', atMs: 0 }, catchUp: 'all' });
  worker = new Process('w', time);
});

/** Lets the world go on until then. */
async function until(atMs: number): Promise<void> {
  time.at(atMs, () => undefined);
  await time.run(() => time.nowMs >= atMs);
}

describe('the simulated work stream', () => {
  let work: SimWork;
  let delivered: number[];
  let received: Delivery[];

  beforeEach(async () => {
    delivered = [];
    received = [];
    work = new SimWork(time, network, model);
    await work.stored.ensure(() => Promise.resolve(1));
    await work.stored.ensureConsumer('sim', 'q', LONG);
  });

  async function publish(): Promise<void> {
    const fence = await work.stored.takeFence(0, 1);
    if (fence.kind !== 'ok') throw new Error('no fence');
    await work.stored.publish(fence.value, 'a', [{ namespace: 'sim', queue: 'q', attempts: REF.attempts, body: '{}' }]);
  }

  function pull(pullMs: number): Puller {
    const puller: Puller = {
      process: worker,
      namespace: 'sim',
      queue: 'q',
      leaseMs: LONG,
      pullMs,
      askedAt: -Infinity,
      sentAt: -Infinity,
      window: 0,
      wanted: 1,
      isBound: true,
      receive: (delivery) => {
        delivered.push(time.nowMs);
        received.push(delivery);
      },
      onGone: () => undefined,
    };
    work.pull(puller);
    work.setWindow(puller, 1, time.nowMs);
    return puller;
  }

  it('leases for as long as the queue says at the moment, what was delivered before that was changed, too', async () => {
    await publish();
    pull(10 * LONG);
    await until(1_000);
    const supervisor = work.of(new Process('s', time));
    void supervisor.setLease({ namespace: 'sim', queue: 'q', leaseMs: SHORT });
    await until(5_000);
    void supervisor.setLease({ namespace: 'sim', queue: 'q', leaseMs: LONG });
    await until(LONG - 1);
    expect(delivered).toHaveLength(1);
    await until(LONG + 1_000);
    expect(delivered).toHaveLength(2);
    void supervisor.setLease({ namespace: 'sim', queue: 'q', leaseMs: SHORT });
    await until(LONG + SHORT + 1_000);
    expect(delivered).toHaveLength(3);
  });

  it('gives nothing to a worker whose pull has ended, until it pulls anew', async () => {
    const puller = pull(5_000);
    await until(6_000);
    await publish();
    work.pull({ ...puller, receive: () => undefined }); // there is something to look for
    await until(7_000);
    expect(delivered).toEqual([]);
    work.renew(puller, time.nowMs);
    await until(8_000);
    expect(delivered).toHaveLength(1);
  });

  it('does not take what is said of a message of a lost stream for said of the one in the next', async () => {
    await publish();
    const puller = pull(10 * LONG);
    await until(1_000);
    work.lose();
    await work.stored.ensure(() => Promise.resolve(1_000));
    await work.stored.ensureConsumer('sim', 'q', LONG);
    await publish();
    work.pull({ ...puller, isBound: true });
    await until(2_000);
    expect(received).toHaveLength(2);
    const surviving = async (): Promise<number> => (await work.stored.surviving(0)).length;
    await work.acknowledge((received[0] as Delivery).work);
    expect(await surviving()).toBe(1);
    // It has no result: that it was taken for acknowledged is what the model objects to.
    await expect(work.acknowledge((received[1] as Delivery).work)).rejects.toThrow(/^acknowledged: /);
  });
});

describe('the model of the contract', () => {
  it('does not let a message be taken from a worker before the end of the lease that it relies on', async () => {
    model.spoke(worker, LONG);
    await until(SHORT);
    expect(() => model.leaseExpired(REF, SHORT, { process: worker, leaseMs: LONG })).toThrow(/^lease: /);
  });

  it('lets it be taken from one that was silent for so long, also just after that', async () => {
    model.spoke(worker, LONG);
    await until(LONG);
    model.leaseExpired(REF, SHORT, { process: worker, leaseMs: LONG });
    await until(LONG + 5_000);
    model.spoke(worker, LONG);
    await until(LONG + 6_000);
    model.leaseExpired(REF, SHORT, { process: worker, leaseMs: LONG });
    await until(LONG + 5_000 + SHORT + 1);
    expect(() => model.leaseExpired(REF, SHORT, { process: worker, leaseMs: LONG })).toThrow(/^lease: /);
  });

  it('lets an attempt be given back when the worker that ran it was silent past its own lease, not that of one before', async () => {
    const scheduler = new Process('n', time);
    model.schedulerStarted(scheduler);
    const message = { execution: EXECUTION, dispatchedAt: T0, payload: { version: 0 } } as unknown as WorkMessage;
    const giveBack = (a: number): void => {
      const times = { dl: 0, st: 0, fi: 0 };
      const record: ResultRecord = { k: 'result', c: 0, x: EXECUTION, ns: 'sim', a, o: 'returned', w: '', ...times };
      const appended = [{ shard: 0, body: envelopeOf([record]) }];
      model.appending(appended, scheduler);
      model.appended(appended, T0 + time.nowMs);
    };
    model.started(message, 1, worker, LONG);
    await until(LONG);
    giveBack(1);
    model.started(message, 2, worker, SHORT);
    model.reported([EXECUTION], scheduler);
    await until(LONG + SHORT);
    giveBack(2);
    model.started(message, 3, worker, LONG);
    model.reported([EXECUTION], scheduler);
    await until(LONG + 3 * SHORT);
    expect(() => giveBack(3)).toThrow(/^given back: /);
  });
});
