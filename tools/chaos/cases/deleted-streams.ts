import { setTimeout as delay } from 'node:timers/promises';

import { executionId, STREAMS, taskIdOfKey } from '@belfry/protocol';
import { Belfry } from '@belfry/sdk';

import type { Run } from '../check.ts';
import { QUEUE } from '../load.ts';
import type { ChaosCase, Scene } from '../scene.ts';
import { asOperator, deleted, infoOf, madeAnew } from './operator.ts';

/** What is published, refused, created or cancelled for a case. */
const SOME = 20;
const MANY = 1_000;
/** Owners checkpoint every second: what ended longer before the last checkpoint is in it. */
const CHECKPOINT_MS = 2_000;
/** An owner reads a message as soon as it is stored. */
const UNREAD_MS = 1_000;

/** What the case's own refusals are told by. */
const NO_CRON = 'no cron';

export const DELETED_STREAMS: readonly ChaosCase[] = [
  {
    name: 'ingest-deleted',
    what: 'the ingest stream is deleted by hand, between durable publishes: those before were taken, those after wait until it is there again',
    load: { windowMs: 16_000 },
    async inject(scene) {
      const { cluster, load } = scene;
      await using client = new Belfry({ url: cluster.natsUrl });
      const publish = async (what: string, at: number): Promise<void> => {
        const keys = Array.from({ length: SOME }, (_, index) => `${load.plan.name}-${what}-${index}`);
        await Promise.all(
          keys.map((key) =>
            client.publish({ key, at, queue: QUEUE, handler: 'work', precision: 'high', payload: { ms: 0 } }),
          ),
        );
        const executions = keys.map((key) => executionId(taskIdOfKey('default', key), at));
        load.fires.push(...executions.map((execution) => ({ execution, scheduledAt: at })));
      };
      await publish('before', Date.now() + 8_000);
      await asOperator(scene, (link) =>
        cluster.until(
          'what was published is taken',
          async () => (await infoOf(link, STREAMS.ingest))?.state.messages === 0,
        ),
      );
      await deleted(scene, STREAMS.ingest);
      await Promise.all([publish('after', Date.now() + 8_000), madeAnew(scene, STREAMS.ingest)]);
      told(scene, 'The ingest stream was gone');
    },
  },
  {
    name: 'rejected-deleted',
    what: 'the stream of refused messages is deleted by hand, with what it lists; what is refused after it is listed again',
    load: { windowMs: 12_000, trickle: 0 },
    async inject(scene) {
      const { cluster } = scene;
      await using client = new Belfry({ url: cluster.natsUrl });
      const refuse = async (): Promise<void> => {
        for (let at = 0; at < SOME; at++) await client.publish({ cron: NO_CRON, queue: QUEUE, handler: 'work' });
      };
      const listed = (count: number): Promise<void> =>
        cluster.until(`${count} refusals are listed`, async () => {
          return (await refusals()) === count;
        });
      // Those of cases before stay.
      const refusals = async (): Promise<number> => {
        const found = await client.rejected(MANY).catch(() => []);
        return found.filter((refusal) => JSON.stringify(refusal).includes(NO_CRON)).length;
      };
      const before = await refusals();
      await refuse();
      await listed(before + SOME);
      await deleted(scene, STREAMS.rejected);
      await refuse();
      await madeAnew(scene, STREAMS.rejected);
      await listed(SOME);
      told(scene, 'The stream of refused messages was gone');
    },
  },
  {
    name: 'inbox-deleted',
    what: 'the inbox is deleted by hand under its owners: what they have read of it they keep, and results that they had not read run again',
    load: { windowMs: 18_000 },
    async inject(scene) {
      const { cluster } = scene;
      await deleted(scene, STREAMS.inbox);
      const goneMs = Date.now();
      for (const worker of cluster.workers) cluster.absent(worker, goneMs - UNREAD_MS, goneMs);
      deletedAt.set(scene.load, goneMs - UNREAD_MS);
      await madeAnew(scene, STREAMS.inbox);
      told(scene, 'The inbox was gone');
      await gapIsTold(scene, cluster.schedulers.length, goneMs);
    },
    verify: onlySinceRanAgain,
  },
  {
    name: 'inbox-deleted-with-owners',
    what: 'the inbox is deleted by hand and all schedulers are killed: what was acknowledged after their last checkpoints is gone, and nothing else',
    load: { windowMs: 24_000, trickle: 0 },
    patienceMs: 120_000,
    async inject(scene) {
      const { cluster, load, blame, note } = scene;
      const { primary, schedulers } = cluster;
      const at = Date.now() + 16_000;
      const stored = async (instant: number): Promise<number> =>
        (await primary.sql(`SELECT key FROM belfry.task WHERE key LIKE '%-many-${instant}-%'`)).length;
      await load.addMany(SOME, { at }, { ms: 0 });
      await load.addMany(SOME, { at: at + 1 }, { ms: 0 });
      await cluster.until('they are stored', async () => (await stored(at)) + (await stored(at + 1)) === 2 * SOME);
      for (const member of schedulers) member.order({ do: 'hold' });
      const heldMs = Date.now() - CHECKPOINT_MS;
      await delay(1_500); // a checkpoint that had begun is written
      const [kept, booked] = [[...load.fires], load.trickle.tasks.length];
      // Acknowledged, and in no checkpoint: tasks that will not be there, and cancels that will not have been.
      await load.addMany(SOME, { at: at + 2 }, { ms: 0 });
      await load.cancelMany(at + 1);
      load.fires.splice(0, Infinity, ...kept);
      load.trickle.tasks.splice(booked);
      await Promise.all(schedulers.map((member) => member.kill()));
      const killedMs = Date.now();
      await deleted(scene, STREAMS.inbox);
      for (const worker of cluster.workers) cluster.absent(worker, heldMs, killedMs);
      deletedAt.set(load, heldMs);
      await madeAnew(scene, STREAMS.inbox);
      for (const member of schedulers) await member.begin();
      await Promise.all(schedulers.map((member) => member.untilReady()));
      told(scene, 'The inbox was gone');
      await gapIsTold(scene, 1, killedMs);
      const there = await stored(at + 2);
      if (there > 0) blame(`${there} tasks are there that no checkpoint should have had`);
      note(`${SOME} creates and ${SOME} cancels after the last checkpoints are gone, as the log said`);
    },
    verify: onlySinceRanAgain,
  },
];

/** From when on results may be gone, by load. */
const deletedAt = new WeakMap<object, number>();

function told({ cluster, blame }: Scene, what: string): void {
  if (!cluster.members.some((member) => member.log().includes(what))) blame(`no log says: ${what}`);
}

/** So many schedulers have found since then which shards may lack something. */
async function gapIsTold({ cluster }: Scene, by: number, sinceMs: number): Promise<void> {
  await cluster.until('the gap is told', async () => {
    const healths = await Promise.all(cluster.schedulers.map((member) => member.health()));
    return healths.filter((health) => (health?.parts.scheduler?.inboxGap?.foundMs ?? 0) >= sinceMs).length >= by;
  });
}

/** What ended before, ran once: only results that were in no checkpoint, and with no owner, may be gone. */
async function onlySinceRanAgain({ cluster, load, note, blame }: Scene): Promise<void> {
  const sinceMs = deletedAt.get(load) as number;
  const mine = new Set(
    load.fires.map(({ execution }) => execution).filter((execution) => !load.retries.has(execution)),
  );
  const runs = Map.groupBy(cluster.runs(), ({ execution }: Run) => execution);
  const again = [...runs].filter(([execution, of]) => mine.has(execution) && of.length > 1);
  const early = again.filter(([, of]) => of.some(({ endMs }) => endMs !== undefined && endMs < sinceMs));
  note(`${again.length} executions ran again, since their results were gone`);
  if (early.length > 0)
    blame(`${early.length} executions ran again though their results were safe, as ${early[0]?.[0]}`);
}
