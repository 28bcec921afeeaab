import { writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import { NARROW, type Load } from '../load.ts';
import type { ChaosCase } from '../scene.ts';

const PLACES = {
  ack: { member: 'g1', what: 'a gateway dies {when} it appends requests to the inbox; none of them is answered' },
  publish: { member: 's2', what: 'a scheduler dies {when} it publishes a dispatch batch' },
  checkpoint: { member: 's2', what: 'a scheduler dies {when} it commits a checkpoint' },
  purge: { member: 's2', what: 'a scheduler dies {when} it takes back work messages of cancelled tasks' },
} as const;

function failpoint(point: keyof typeof PLACES, when: 'before' | 'after'): ChaosCase {
  const { member: name, what } = PLACES[point];
  return {
    name: `fail-${point}-${when}`,
    what: what.replace('{when}', when === 'before' ? 'just before' : 'just after'),
    load: { trickle: 10 },
    async prepare({ cluster }) {
      const member = cluster.member(name);
      await member.stop();
      await member.start({ CHAOS_FAILPOINT: `${point}:${when}:${member.failFile}` });
      await cluster.heal();
    },
    async inject({ cluster, load, blame }) {
      const member = cluster.member(name);
      writeFileSync(member.failFile, '');
      if (point === 'purge') await cancelQueued(load);
      await Promise.race([member.exited(), delay(10_000, undefined, { ref: false })]);
      if (member.isRunning) blame('the failpoint was never reached');
    },
  };
}

/** More than a queue's workers can hold, so that some wait in the work stream; these are taken back when they are cancelled. */
async function cancelQueued(load: Load): Promise<void> {
  const at = Date.now() + 1_000;
  await load.addMany(5 * NARROW.slots, { at, queue: NARROW.queue }, { ms: 5_000 });
  await delay(Math.max(0, at + 1_000 - Date.now()));
  await load.cancelMany(at);
}

export const FAILPOINTS: readonly ChaosCase[] = (['ack', 'publish', 'checkpoint', 'purge'] as const).flatMap(
  (point) => [failpoint(point, 'before'), failpoint(point, 'after')],
);
