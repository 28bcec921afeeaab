import { beforeEach, describe, expect, it } from 'vitest';

import { Machine } from './machine.ts';
import { Network, NoAnswer } from './network.ts';
import { Process } from './process.ts';
import { Random } from './random.ts';
import { VirtualTime } from './virtual-time.ts';

let time: VirtualTime;
let network: Network;

beforeEach(() => {
  time = new VirtualTime();
  network = new Network(time, new Random(1));
});

/** Whether a service answers a process, and after how many ms. */
async function ask(process: Process, service: 'work' | 'store'): Promise<{ answered: boolean; afterMs: number }> {
  const askedMs = time.nowMs;
  let answered: boolean | undefined;
  network
    .ask(process, service, () => Promise.resolve())
    .then(
      () => (answered = true),
      (error: unknown) => (answered = !(error instanceof NoAnswer)),
    );
  await time.run(() => answered !== undefined);
  return { answered: answered === true, afterMs: time.nowMs - askedMs };
}

describe('faults that overlap', () => {
  it('end only themselves: a process goes on after the last of its pauses', async () => {
    const process = new Process('p', time);
    const happened: number[] = [];
    const [endFirst, endSecond] = [process.pause(), process.pause()];
    process.after(10, () => happened.push(time.nowMs));
    time.at(20, endSecond);
    time.at(50, endFirst);
    await time.run(() => false);
    expect(happened).toEqual([50]);
  });

  it('end only themselves: a machine is connected after the last of its cuts, and a new process does not mend it', async () => {
    const machine = new Machine();
    const endFirst = machine.cut(['work', 'store'], 'both');
    const endSecond = machine.cut(['work'], 'in');
    endFirst();
    const process = new Process('p', time, machine);
    expect(await ask(process, 'store')).toMatchObject({ answered: true });
    expect(await ask(process, 'work')).toMatchObject({ answered: false });
    endSecond();
    expect(await ask(process, 'work')).toMatchObject({ answered: true });
  });

  it('are as bad as the worst of each kind, and end only themselves: what befalls services', async () => {
    const process = new Process('p', time);
    const endings = [network.suffer({ isBrokerDown: true }), network.suffer({ isBrokerDown: true })];
    const endSlow = network.suffer({ storeSlownessMs: 3_000 });
    network.suffer({ storeSlownessMs: 1 })();
    expect(await ask(process, 'work')).toMatchObject({ answered: false });
    endings[0]?.();
    expect(await ask(process, 'work')).toMatchObject({ answered: false });
    endings[1]?.();
    expect(await ask(process, 'work')).toMatchObject({ answered: true });
    const slow = await ask(process, 'store');
    expect(slow.afterMs).toBeGreaterThan(50);
    endSlow();
    expect((await ask(process, 'store')).afterMs).toBeLessThanOrEqual(10);
  });
});
