import { LIMITS, subjects } from '@belfry/protocol';
import type { Environment } from './environment.ts';

/** A shard that has a living owner, and how many tasks it has. */
export interface OwnedShard {
  readonly shard: number;
  readonly tasks: number;
}

/** Which shards of those that a node shall have are owned by somebody who answers, and which are free to be taken at once. */
export interface Owners {
  readonly free: readonly number[];
  readonly owned: readonly OwnedShard[];
}

/** Asks the shards' addresses. An owner that is alive says so at once; one that does not is not waited for: fences keep it off. */
export async function askOwners(
  env: Pick<Environment, 'node' | 'messenger'>,
  shards: readonly number[],
): Promise<Owners> {
  const body = JSON.stringify({ to: env.node });
  const owned: OwnedShard[] = [];
  const free: number[] = [];
  await Promise.all(
    shards.map(async (shard) => {
      try {
        const reply = await env.messenger.ask(subjects.shard(shard, 'prepare'), body, LIMITS.prepareMs);
        owned.push({ shard, tasks: tasksOf(reply) });
      } catch {
        free.push(shard);
      }
    }),
  );
  const inOrder = (a: number, b: number): number => a - b;
  return { free: free.toSorted(inOrder), owned: owned.toSorted((a, b) => inOrder(a.shard, b.shard)) };
}

/**
 * Asks for a shard. An owner that is alive writes its last checkpoint first; one that is not says nothing. False when nobody serves it any
 * more: its owner is gone.
 */
export async function askForRelease(env: Pick<Environment, 'node' | 'messenger'>, shard: number): Promise<boolean> {
  try {
    await env.messenger.ask(subjects.shard(shard, 'release'), JSON.stringify({ to: env.node }), LIMITS.releaseMs);
    return true;
  } catch (error) {
    return (error as { readonly code?: unknown }).code !== 'no_owner';
  }
}

/** An owner of an older version answers something else: then nothing is known. */
function tasksOf(reply: Uint8Array): number {
  const { tasks } = JSON.parse(new TextDecoder().decode(reply)) as { readonly tasks?: unknown };
  return typeof tasks === 'number' ? tasks : 0;
}

/**
 * The groups in which owned shards are handed over, one group after the other: a shard stands still for as long as its group takes, so
 * groups are small; and each has a cost of its own, so small shards go together. A process that has taken few groups over is slow at it:
 * it begins with one shard, then two, then four.
 */
export function handOverGroups(owned: readonly OwnedShard[], groupsBefore: number): number[][] {
  const groups: number[][] = [];
  let tasksOfLast = Infinity;
  for (const { shard, tasks } of owned) {
    const last = groups.at(-1);
    const most = Math.min(LIMITS.handOverShards, 2 ** (groupsBefore + groups.length - 1));
    if (last === undefined || last.length >= most || tasksOfLast + tasks > LIMITS.handOverTasks) {
      groups.push([shard]);
      tasksOfLast = tasks;
    } else {
      last.push(shard);
      tasksOfLast += tasks;
    }
  }
  return groups;
}
