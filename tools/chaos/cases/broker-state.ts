import { setTimeout as delay } from 'node:timers/promises';

import { STREAMS } from '@belfry/protocol';

import type { ChaosCase } from '../scene.ts';
import { asOperator, deleted } from './operator.ts';

function bucketDeleted(name: string, bucket: string): ChaosCase {
  return {
    name,
    what: `the bucket ${bucket} is deleted by hand, and an owner killed 3 s later`,
    load: { windowMs: 18_000 },
    async inject(scene) {
      await deleted(scene, `KV_${bucket}`);
      await delay(3_000);
      await scene.cluster.schedulers[0]?.kill();
    },
  };
}

export const BROKER_STATE: readonly ChaosCase[] = [
  {
    name: 'work-stream-deleted',
    what: 'the work stream is deleted by hand, with its sequences and fences',
    async inject(scene) {
      await deleted(scene, STREAMS.work);
    },
  },
  bucketDeleted('placement-deleted', 'BELFRY_PLACEMENT'),
  bucketDeleted('leases-deleted', 'BELFRY_LEASES'),
  {
    name: 'inbox-nearly-full',
    what: 'the inbox may hold hardly more than it does: first creates are refused, then dispatch stops; after 8 s it may hold all again',
    load: { windowMs: 18_000 },
    async inject(scene) {
      await asOperator(scene, async ({ nc }) => {
        const info = async (): Promise<{ config: Record<string, unknown>; state: { bytes: number } }> =>
          (await nc.request(`$JS.API.STREAM.INFO.${STREAMS.inbox}`)).json();
        const limit = async (config: Record<string, unknown>, bytes: number): Promise<void> => {
          const wanted = JSON.stringify({ ...config, max_bytes: Math.ceil(bytes) });
          const answer = (await nc.request(`$JS.API.STREAM.UPDATE.${STREAMS.inbox}`, wanted)).json<{
            error?: unknown;
          }>();
          if (answer.error !== undefined)
            throw new Error(`the inbox cannot be limited: ${JSON.stringify(answer.error)}`);
        };
        const { config, state } = await info();
        await limit(config, state.bytes * 1.35);
        await delay(4_000);
        await limit(config, (await info()).state.bytes * 1.1);
        await delay(4_000);
        await limit(config, config['max_bytes'] as number);
      });
    },
    async verify({ load, blame }) {
      // The client repeats what is refused: it shows as a wait.
      if (load.slowestMs < 2_000 && load.unanswered === 0) blame('no create was refused');
    },
  },
];
