import type { Changed } from '@belfry/ports';
import { isObject, LIMITS, parseTaskId, subjects } from '@belfry/protocol';
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

/** An owner's watch over what changes of a shard, for a node that loads it meanwhile. */
export interface Watched {
  readonly number: number;
  /** The owner's, and its watermark when the watch began. */
  readonly epoch: number;
  readonly watermark: number;
}

/** What has changed since a watch began, as of the owner's last checkpoint: that of this epoch and sequence. */
export interface Since extends Changed {
  readonly epoch: number;
  readonly seq: number;
}

/** Undefined where nobody watches: no owner answers, or one of an older version. */
export async function askToWatch(
  env: Pick<Environment, 'node' | 'messenger'>,
  shard: number,
): Promise<Watched | undefined> {
  const body = JSON.stringify({ to: env.node, watch: true });
  try {
    return watchedOf(read(await env.messenger.ask(subjects.shard(shard, 'prepare'), body, LIMITS.prepareMs)));
  } catch {
    return undefined;
  }
}

/**
 * Asks for a shard. An owner that is alive writes its last checkpoint first, and says what has changed since a watch began; one that is not
 * says nothing. `isServed` is false when nobody serves it any more: its owner is gone.
 */
export async function askForRelease(
  env: Pick<Environment, 'node' | 'messenger'>,
  shard: number,
  watch?: number,
): Promise<{ readonly isServed: boolean; readonly since?: Since | undefined }> {
  const body = JSON.stringify({ to: env.node, watch });
  try {
    const reply = await env.messenger.ask(subjects.shard(shard, 'release'), body, LIMITS.releaseMs);
    return { isServed: true, since: sinceOf(read(reply)) };
  } catch (error) {
    return { isServed: (error as { readonly code?: unknown }).code !== 'no_owner' };
  }
}

/** @throws SyntaxError for what is no JSON. */
function read(reply: Uint8Array): Readonly<Record<string, unknown>> {
  const value: unknown = JSON.parse(new TextDecoder().decode(reply));
  return isObject(value) ? value : {};
}

/** An owner of an older version answers something else: then nothing is known. */
function tasksOf(reply: Uint8Array): number {
  const { tasks } = read(reply);
  return typeof tasks === 'number' ? tasks : 0;
}

function watchedOf({ watch }: Readonly<Record<string, unknown>>): Watched | undefined {
  if (!isObject(watch)) return undefined;
  const { number, epoch, watermark } = watch;
  if (typeof number !== 'number' || typeof epoch !== 'number' || typeof watermark !== 'number') return undefined;
  return { number, epoch, watermark };
}

function sinceOf({ since }: Readonly<Record<string, unknown>>): Since | undefined {
  if (!isObject(since)) return undefined;
  const { epoch, seq, tasks, commandsFrom = Infinity } = since;
  if (typeof epoch !== 'number' || typeof seq !== 'number' || typeof commandsFrom !== 'number') return undefined;
  if (!Array.isArray(tasks)) return undefined;
  const ids = tasks.flatMap((id) => parseTaskId(id) ?? []);
  return ids.length === tasks.length ? { epoch, seq, tasks: ids, commandsFrom } : undefined;
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
