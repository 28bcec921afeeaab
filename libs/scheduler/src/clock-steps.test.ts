import { DisciplinedClock } from '@belfry/timing';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Clock } from './environment.ts';
import { T0, testCluster, type TestCluster } from './test-cluster.ts';

/** The clock of a machine: its wall clock may be set. */
class SteppingClock implements Clock {
  readonly #cluster: TestCluster;
  readonly #disciplined: DisciplinedClock;
  /** How far the wall clock is off. */
  offMs = 0;

  constructor(cluster: TestCluster) {
    this.#cluster = cluster;
    this.#disciplined = new DisciplinedClock(this.monotonic(), this.#wall());
  }

  now(): number {
    return this.#disciplined.read(this.monotonic(), this.#wall());
  }

  monotonic(): number {
    return this.#cluster.elapsedMs;
  }

  isHeld(): boolean {
    this.now();
    return this.#disciplined.aheadMs > 0;
  }

  restart(): void {
    this.#disciplined.restart(this.monotonic(), this.#wall());
  }

  #wall(): number {
    return T0 + this.#cluster.elapsedMs + this.offMs;
  }
}

let cluster: TestCluster;
let clock: SteppingClock;
beforeEach(async () => {
  cluster = testCluster();
  clock = new SteppingClock(cluster);
  cluster.clock = clock;
  await cluster.startOwner();
  await cluster.worker('w', 100);
});
afterEach(() => vi.useRealTimers());

/** Attempts in the stream and those that workers have pulled since. */
async function dispatched(): Promise<string[]> {
  return (await cluster.inStream()).toSorted();
}

it('fires nothing twice, and nothing that is not due, when a clock that was ahead is set back', async () => {
  const early = await cluster.create(0, 'early', 3_000);
  await cluster.pass(1_000);
  clock.offMs = 2_500; // wrong from here on: 'early' goes at 1 s, as nobody can know better
  await cluster.pass(10);
  expect(await dispatched()).toEqual([`${early}.1`]);

  clock.offMs = 0; // 1.01 s, while the wheel is at 3.51 s
  const later = await cluster.create(0, 'later', 2_000);
  const after = await cluster.create(1, 'after', 4_000);
  while (cluster.elapsedMs < 3_500) {
    await cluster.pass(50);
    // 'later' is due before the instant at which the wheel stands: it is late by the step, and never early.
    if (cluster.elapsedMs < 2_000) expect(await dispatched()).toEqual([`${early}.1`]);
  }
  await cluster.pass(50);
  expect(await dispatched()).toEqual([`${early}.1`, `${later}.1`].toSorted());
  while (cluster.elapsedMs < 3_950) await cluster.pass(50);
  expect(await dispatched()).toHaveLength(2);
  await cluster.pass(50);
  expect(await dispatched()).toEqual([`${early}.1`, `${later}.1`, `${after}.1`].toSorted());
});

it('fires at once what a step forward made due', async () => {
  const due = await cluster.create(0, 'due', 30_000);
  const waiting = await cluster.create(1, 'waiting', 50_000);
  await cluster.pass(1_000);
  expect(await dispatched()).toEqual([]);
  clock.offMs = 40_000;
  await cluster.pass(1);
  expect(await dispatched()).toEqual([`${due}.1`]);
  clock.offMs = 50_000;
  await cluster.pass(1);
  expect(await dispatched()).toEqual([`${due}.1`, `${waiting}.1`].toSorted());
});

it('hands over, and begins anew at the right time without firing again what a wrong clock fired an hour early', async () => {
  const [node] = [await cluster.start('b')];
  const wrong = await cluster.create(0, 'wrong', 3_000_000);
  clock.offMs = 3_600_000;
  await cluster.pass(1_000);
  expect(await dispatched()).toEqual([`${wrong}.1`]);
  cluster.pull();
  await cluster.result(wrong, 1, 'succeeded');
  clock.offMs = 0;
  // As the server does it: the shards go, the clock begins anew, the shards come back.
  await cluster.place([node, node, node, node]);
  clock.restart();
  const right = await cluster.create(0, 'right', cluster.elapsedMs + 2_000);
  await cluster.pass(1_000);
  expect(await dispatched()).toEqual([]);
  await cluster.pass(1_000);
  expect(await dispatched()).toEqual([`${right}.1`]);
  await cluster.seconds(3);
  expect(cluster.history().filter((row) => row.startsWith(wrong))).toEqual([`${wrong} succeeded 1`]);
});
