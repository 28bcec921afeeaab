import { setTimeout as delay } from 'node:timers/promises';

import { taskOf } from '../check.ts';
import type { Death } from '../drill.ts';
import { NARROW, type Load } from '../load.ts';
import type { Member } from '../member.ts';
import type { Moment } from '../moments.ts';
import { pick } from '../random.ts';
import type { ChaosCase, Scene } from '../scene.ts';

import { ranElsewhere } from './kills.ts';
import { owns } from './many.ts';

/** From the order to the moment. */
const MOMENT_MS = 10_000;

const PLACES = {
  ack: { of: 'g1', what: 'a gateway dies {when} it appends requests to the inbox; none of them is answered' },
  publish: { of: 's2', what: 'a scheduler dies {when} it publishes a dispatch batch' },
  checkpoint: { of: 's2', what: 'a scheduler dies {when} it commits a checkpoint' },
  purge: { of: 's2', what: 'a scheduler dies {when} it takes back work messages of cancelled tasks' },
} as const;

function failpoint(place: keyof typeof PLACES, when: 'before' | 'after'): ChaosCase {
  const { of, what } = PLACES[place];
  return {
    name: `fail-${place}-${when}`,
    what: what.replace('{when}', `just ${when}`),
    load: { trickle: 10 },
    async inject(scene) {
      const member = scene.cluster.member(of);
      member.orderDeath(`${place}-${when}`);
      if (place === 'purge') await cancelQueued(scene.load);
      await died(member, scene);
    },
  };
}

/** It dies at the moment that it was told; undefined, and to be blamed, when it does not come to that. */
async function died(member: Member, { blame }: Pick<Scene, 'blame'>): Promise<Death | undefined> {
  await Promise.race([member.exited(), delay(MOMENT_MS, undefined, { ref: false })]);
  if (member.death === undefined) blame(`${member.name} never came to the moment at which it was to die`);
  return member.death;
}

/** More than a queue's workers can hold, so that some wait in the work stream; these are taken back when they are cancelled. */
async function cancelQueued(load: Load): Promise<void> {
  const at = Date.now() + 1_000;
  await load.addMany(5 * NARROW.slots, { at, queue: NARROW.queue }, { ms: 5_000 });
  await delay(Math.max(0, at + 1_000 - Date.now()));
  await load.cancelMany(at);
}

/** By load: the executions whose results a worker had in its hands as it died. */
const finished = new WeakMap<Load, readonly string[]>();

/** A worker dies around its report. What was accepted is over; what was not runs again. */
function finish(when: 'before' | 'after', what: string): ChaosCase {
  const runsOf = when === 'before' ? 2 : 1;
  return {
    name: `fail-finish-${when}`,
    what,
    load: { tasks: 800, trickle: 10 }, // so many that results come together
    async inject(scene) {
      const { cluster, load, random } = scene;
      const worker = pick(cluster.workers, random);
      worker.orderDeath(`finish-${when}`);
      const death = await died(worker, scene);
      if (death === undefined) return;
      cluster.absent(worker, death.atMs, Infinity);
      finished.set(load, death.about.map(String));
    },
    async verify(scene) {
      const { cluster, load, blame, note } = scene;
      const runs = Map.groupBy(cluster.runs(), ({ execution }) => execution);
      // A cancel is the end of what would run again.
      const cancelled = new Set(load.trickle.tasks.filter(({ cancel }) => cancel !== undefined).map(({ id }) => id));
      const executions = (finished.get(load) ?? []).filter((execution) => !cancelled.has(taskOf(execution)));
      for (const execution of executions) {
        const of = runs.get(execution) ?? [];
        if (of.length !== runsOf || of.some(({ endMs }) => endMs === undefined))
          blame(`${execution}, which had run to its end as its worker died, ran ${of.length} times`);
      }
      note(`results in its hands: ${executions.length}`);
      if (when === 'before') ranElsewhere(scene, 'they ran elsewhere after');
    },
  };
}

/** An owner is killed, and another one dies of what comes of it: the third has all shards. */
function second(moment: Moment, what: string, dyingOf: (scene: Scene) => Promise<Member>): ChaosCase {
  return {
    name: `fail-${moment}`,
    what: `one of three owners is killed, and ${what}`,
    ground: { schedulers: 3 },
    load: { trickle: 10, windowMs: 15_000 },
    async inject(scene) {
      const { cluster, random, blame, measured } = scene;
      const dying = await dyingOf(scene);
      const others = cluster.schedulers.filter((member) => member !== dying);
      const killed = pick(others, random);
      const shards = new Set<string | number>((await cluster.ownedShards()).get(killed.name));
      dying.orderDeath(moment, killed.incarnation); // placements for other reasons have it
      await killed.kill();
      const fromMs = Date.now();
      const death = await died(dying, scene);
      if (death === undefined) return;
      if (moment.startsWith('takeover') && !death.about.some((shard) => shards.has(shard)))
        blame(`${dying.name} died as it took over others than those of ${killed.name}`);
      await owns(cluster, 1);
      measured('the third had all shards after', Date.now() - fromMs);
    },
  };
}

const placement = (when: 'before' | 'after'): ChaosCase =>
  second(
    `placement-${when}`,
    `the leading supervisor, an owner too, dies just ${when} it writes the placement that leaves it out`,
    ({ cluster }) => cluster.leader(),
  );

const takeover = (step: 'epoch' | 'fence' | 'replayed', what: string): ChaosCase =>
  second(`takeover-${step}`, `one that takes its shards over dies just after it has ${what}`, ({ cluster, random }) =>
    Promise.resolve(pick(cluster.schedulers, random)),
  );

export const FAILPOINTS: readonly ChaosCase[] = [
  ...(['ack', 'publish', 'checkpoint', 'purge'] as const).flatMap((place) => [
    failpoint(place, 'before'),
    failpoint(place, 'after'),
  ]),
  {
    name: 'fail-ingest-after',
    what: 'a gateway dies just after it has made tasks of what was published durably, and before it acks that',
    load: { trickle: 20 },
    async inject(scene) {
      const gateway = pick(scene.cluster.gateways, scene.random);
      gateway.orderDeath('ingest-after');
      await died(gateway, scene);
    },
  },
  finish('before', 'a worker dies just before it sends results: what it ran to the end runs again'),
  finish('after', 'a worker dies just after its results were accepted, and before it acks: none of that runs again'),
];

export const SECOND_FAILPOINTS: readonly ChaosCase[] = [
  placement('before'),
  placement('after'),
  takeover('epoch', 'taken their epochs, and before it fences'),
  takeover('fence', 'fenced one, and before its ownership record'),
  takeover('replayed', 'replayed the inbox up to its ownership record, and before it dispatches'),
];
