import type { Fence, HeldFence, InboxMessage, SeenFence, ShardHead, WorkRef } from '@belfry/ports';
import { decodeEnvelope, envelopeOf, LIMITS, type OwnershipRecord } from '@belfry/protocol';
import type { Reconciled, Shard } from '@belfry/shard';
import { giveBack, takenOf } from './cancels.ts';
import { breathe, pause, untilOk, type Environment } from './environment.ts';
import type { Loads } from './loads.ts';

/** Shards whose work messages are looked through at the same time. */
const CLEARED_AT_ONCE = 8;

export interface TakenShard {
  readonly core: Shard;
  readonly fence: Fence;
  /** Inbox sequence of the checkpoint that it was loaded from. */
  readonly checkpointedSeq: number;
}

/** Messages that crash their shard: by `<shard>/<seq>`. */
export interface Crashes {
  isQuarantined(shard: number, seq: number): boolean;
  /** Counts a crash; returns whether the message is now in quarantine. */
  count(shard: number, seq: number, error: unknown): Promise<boolean>;
}

/** Counts a crash; returns whether the message is in quarantine now. One that cannot be counted is no more than a crash. */
export async function countCrash(
  { log, metrics }: Environment,
  crashes: Crashes,
  { shard, seq }: InboxMessage,
  error: unknown,
): Promise<boolean> {
  try {
    const quarantined = await crashes.count(shard, seq, error);
    if (quarantined) metrics.quarantined();
    return quarantined;
  } catch (failure) {
    log.warn('a crash cannot be counted', { shard, seq, error: String(failure) });
    return false;
  }
}

/**
 * Messages that are in no checkpoint, were given to no owner, and are not in the inbox any more: the store was put back to a state that is
 * older than what the inbox keeps, or the inbox was lost. What was acknowledged between the two instants may be missing.
 */
export interface InboxGap {
  readonly shards: readonly number[];
  /** The first sequence that is missing for one of them, and the first that is there. */
  readonly fromSeq: number;
  readonly untilSeq: number;
  /** Up to when the shard that lags most had looked, by its checkpoint or as it was read, and when it was found; ms since 1970. */
  readonly sinceMs: number;
  readonly foundMs: number;
}

/**
 * What a takeover came to. To be taken over again are shards that crashed in their replay, or whose log names a newer owner; and all
 * when the work stream was lost meanwhile.
 */
export interface Takeover {
  readonly taken: readonly TakenShard[];
  readonly again: readonly number[];
  /** Shards whose state cannot be loaded, with the reason. */
  readonly faulty: ReadonlyMap<number, unknown>;
  readonly gap?: InboxGap;
}

/** What the work stream says of shards that are to be taken over. It can be asked for before their owner lets go of them. */
export interface Outlook {
  readonly incarnation: number;
  /** What stands in each shard's fence. */
  readonly fences: ReadonlyMap<number, HeldFence>;
}

export async function outlookOf(env: Environment, shards: readonly number[]): Promise<Outlook> {
  const incarnation = await env.work.incarnation();
  return { incarnation, fences: await fencesOf(env, shards) };
}

/**
 * Takes the shards of an outlook over: epoch; rows, beside fence, surviving work and ownership record; replay; only then does the caller
 * dispatch. What the replay reads is asked for beside all that, since a shard stands still meanwhile.
 * `seen` holds epochs that are known from elsewhere, and learns those that the replay finds.
 *
 * R1. Nothing is loaded before the epoch is taken: an older owner's checkpoint can no longer change what is loaded. A newer one's can: it has
 *     fenced before, so that the fence tells once it is loaded.
 * R2. Surviving work is listed after the fence is taken: nothing can be added by an older owner afterwards.
 * R3. The replay ends at the shard's own ownership record: every result whose work message was gone in R2 lies before it.
 * R4. That the work stream has lost what was dispatched stands in the inbox before a fence in the new stream hides it. A fence of one who
 *     had seen another stream hides nothing.
 * R5. What is wrong with one shard keeps no other from being taken over.
 * R6. Nothing of a takeover that comes to nothing outlives it: the next one would load, and announce itself, beside it.
 */
export async function takeOver(
  env: Environment,
  loads: Loads,
  outlook: Outlook,
  crashes: Crashes,
  seen: Map<number, number>,
): Promise<Takeover> {
  const beside: Promise<unknown>[] = [];
  let isWhole = false;
  try {
    const takeover = await takeOverWith(env, loads, beside, outlook, crashes, seen);
    isWhole = takeover.again.length === 0;
    return takeover;
  } finally {
    loads.stop();
    if (!isWhole) await Promise.allSettled([loads.over(), ...beside]); // R6
  }
}

async function takeOverWith(
  env: Environment,
  loads: Loads,
  beside: Promise<unknown>[],
  outlook: Outlook,
  crashes: Crashes,
  seen: Map<number, number>,
): Promise<Takeover> {
  const { incarnation } = outlook;
  const nothing: Takeover = { taken: [], again: [...outlook.fences.keys()], faulty: new Map() };
  const claims = await claim(env, outlook, seen, loads);
  if ([...claims.values()].some(({ fence }) => fence.incarnation !== incarnation)) {
    // The stream was lost while fences were asked for: those that stand in the new one must not hide it, whatever comes next.
    await appendOwnership(env, [...claims.values()], { lost: true }); // R4
    return nothing;
  }
  const heads = new Set(Array.from(claims.values(), ({ head }) => head));
  const announced = announce(env, claims, incarnation);
  beside.push(announced);
  const state = Promise.all([loads.of(heads), announced]);
  const prepared = state.then(([{ cores }, survivors]) => survivors && { cores, ends: survivors.ends });
  const fencesThen = state.then(() => fencesOf(env, [...claims.keys()])); // R1
  const [[{ cores, faulty }, survivors], { failed, gap }, fences] = await Promise.all([
    state,
    replay(env, claims, prepared, crashes, seen),
    fencesThen,
  ]);
  if (survivors === undefined) return nothing;
  const { surviving } = survivors;
  const taken: TakenShard[] = [];
  const survived = new Map<number, Reconciled>();
  const again = new Set(failed);
  for (const [shard, { fence }] of claims) if ((fences.get(shard) as HeldFence).epoch > fence.epoch) again.add(shard);
  for (const core of cores.values()) {
    if (again.has(core.shard)) continue;
    const { head, fence, fencedBefore } = claims.get(core.shard) as Claim;
    try {
      const refs = surviving.get(core.shard) ?? [];
      survived.set(core.shard, core.reconcile(refs, isLost(head, fencedBefore), env.clock.now()));
    } catch (error) {
      faulty.set(core.shard, error);
      continue;
    }
    taken.push({ core, fence, checkpointedSeq: head.seq });
    await breathe(env.timers);
  }
  await inGroups([...survived], CLEARED_AT_ONCE, ([shard, reconciled]) => {
    const cleared = clear(env, shard, reconciled);
    beside.push(cleared);
    return cleared;
  });
  return { taken, again: [...again], faulty, ...(gap === undefined ? {} : { gap }) };
}

/** Told in the log too: it is the one way in which something acknowledged is lost. */
async function gapOf(env: Environment, heads: readonly ShardHead[]): Promise<InboxGap | undefined> {
  const { firstSeq } = await env.inbox.usage();
  // A shard without any checkpoint has missed nothing of its own.
  const behind = heads.filter(({ seq }) => seq > 0 && seq + 1 < firstSeq);
  if (behind.length === 0) return undefined;
  const gap: InboxGap = {
    shards: behind.map(({ shard }) => shard).toSorted((a, b) => a - b),
    fromSeq: Math.min(...behind.map(({ seq }) => seq)) + 1,
    untilSeq: firstSeq,
    sinceMs: Math.min(...behind.map(({ watermark }) => watermark)),
    foundMs: env.clock.now(),
  };
  env.log.error('the inbox was trimmed past a checkpoint: what was acknowledged in between is missing', { ...gap });
  return gap;
}

/**
 * Rids the work stream of what is over, so that no worker gets it. A parcel in which other attempts are not over goes as a whole, if no
 * worker has been given it, and those get messages of their own; a worker that has it knows, or asks before it runs.
 */
async function clear(env: Environment, shard: number, { over, mixed }: Reconciled): Promise<void> {
  if (over.length > 0) await env.work.remove(over);
  if (mixed.length === 0) return;
  const withdrawn = await env.work.withdraw(mixed);
  await giveBack(env, shard, withdrawn.flatMap(takenOf), () => false);
}

interface Announced {
  readonly surviving: ReadonlyMap<number, readonly WorkRef[]>;
  /** Sequences of the ownership records. */
  readonly ends: ReadonlyMap<number, number>;
}

/** Lists the surviving work, and appends the ownership records. Undefined when the work stream was lost meanwhile. */
async function announce(
  env: Environment,
  claims: ReadonlyMap<number, Claim>,
  incarnation: number,
): Promise<Announced | undefined> {
  const surviving = new Map(
    await inGroups([...claims.keys()], 64, async (shard) => [shard, await env.work.surviving(shard)] as const),
  );
  if ((await env.work.incarnation()) !== incarnation) {
    await appendOwnership(env, [...claims.values()], { lost: true }); // R4
    return undefined;
  }
  return { surviving, ends: await appendOwnership(env, [...claims.values()]) }; // R3
}

interface Claim {
  readonly head: ShardHead;
  readonly fence: Fence;
  /** The epoch in the fence before; 0 when the work stream knew none that counts. */
  readonly fencedBefore: number;
}

/** Whether the work stream has lost what the owners before had dispatched. */
function isLost(head: ShardHead, fencedBefore: number): boolean {
  return fencedBefore === 0 && head.epoch > 1;
}

/** Epoch and fence of each shard; where another node was quicker, again with the next epoch. */
async function claim(
  env: Environment,
  outlook: Outlook,
  seen: Map<number, number>,
  loads: Loads,
): Promise<Map<number, Claim>> {
  const claims = new Map<number, Claim>();
  const { incarnation } = outlook;
  let known: ReadonlyMap<number, HeldFence> | undefined = outlook.fences;
  for (let open = [...known.keys()]; open.length > 0; open = open.filter((shard) => !claims.has(shard))) {
    const fences: ReadonlyMap<number, HeldFence> = await fencesOf(env, open, known);
    known = undefined; // it is ours, or another's
    const fencedBefore = (shard: number): number => epochIn(incarnation, fences.get(shard) as HeldFence);
    const atLeast = open.map((shard) => Math.max(seen.get(shard) ?? 0, (fences.get(shard) as HeldFence).epoch));
    const heads = await untilOk(env, 'epochs', () => env.store.takeEpochs(open, env.node, atLeast));
    loads.begin(heads); // R1
    const losers = heads.filter((head) => isLost(head, fencedBefore(head.shard)));
    await appendOwnership(
      env,
      losers.map((head) => ({ head })),
      { lost: true },
    ); // R4
    await inGroups(heads, 64, async (head) => {
      const fence = await untilFenced(env, head, { incarnation, epoch: (fences.get(head.shard) as HeldFence).epoch });
      if (typeof fence === 'string')
        env.log.warn(
          fence === 'lost'
            ? 'the fences were lost with the work stream, taking the next epoch' // R4
            : 'another node fenced a shard first, taking the next epoch',
          { shard: head.shard },
        );
      else claims.set(head.shard, { head, fence, fencedBefore: fencedBefore(head.shard) });
    });
  }
  return claims;
}

/** Those that are `known` are not asked for, but for none: a stream that was lost may have new fences since. */
async function fencesOf(
  env: Environment,
  shards: readonly number[],
  known?: ReadonlyMap<number, HeldFence>,
): Promise<ReadonlyMap<number, HeldFence>> {
  const fenceOf = async (shard: number): Promise<HeldFence> => {
    const fence = known?.get(shard);
    return fence !== undefined && fence.epoch > 0 ? fence : await env.work.fenceOf(shard);
  };
  return new Map(await inGroups(shards, 64, async (shard) => [shard, await fenceOf(shard)] as const));
}

/** That of a fence whose taker had seen another stream is none: nobody has said yet that what was dispatched before is lost (R4). */
function epochIn(incarnation: number, { epoch, seen = incarnation }: HeldFence): number {
  return seen === incarnation ? epoch : 0;
}

async function untilFenced(
  env: Environment,
  { shard, epoch }: ShardHead,
  seen: SeenFence,
): Promise<Fence | 'fenced' | 'lost'> {
  for (let attempt = 1; ; attempt++) {
    const outcome = await env.work.takeFence(shard, epoch, seen);
    if (outcome.kind === 'ok') return outcome.value;
    if (outcome.kind === 'refused') return outcome.reason;
    env.log.warn('a fence cannot be taken, trying again', { shard, error: outcome.error.message });
    await pause(env.timers, attempt);
  }
}

interface Prepared {
  readonly cores: ReadonlyMap<number, Shard>;
  /** Sequences of the ownership records. */
  readonly ends: ReadonlyMap<number, number>;
}

interface Replayed {
  /** Shards to which a message could not be applied. */
  readonly failed: ReadonlySet<number>;
  readonly gap: InboxGap | undefined;
}

/**
 * Applies all messages up to the ownership records. Reading begins at once, and waits with its first message for what is `prepared`
 * meanwhile; undefined: there is nothing to apply.
 */
async function replay(
  env: Environment,
  claims: ReadonlyMap<number, Claim>,
  prepared: Promise<Prepared | undefined>,
  crashes: Crashes,
  seen: Map<number, number>,
): Promise<Replayed> {
  const heads = Array.from(claims.values(), ({ head }) => head);
  const failed = new Set<number>();
  const ended = new Set<number>();
  const over = Promise.withResolvers<void>();
  for (const awaited of [over.promise, prepared]) awaited.catch(() => undefined); // what fails, fails below
  let open: number | undefined;
  const isApplied = async (core: Shard, message: InboxMessage): Promise<boolean> => {
    const { head } = claims.get(message.shard) as Claim;
    try {
      return applyOne(core, message, head.epoch, seen, env.reads);
    } catch (error) {
      await countCrash(env, crashes, message, error);
      return false;
    }
  };
  const onMessage = async (message: InboxMessage): Promise<void> => {
    const ready = await prepared;
    const { shard, seq, timestamp } = message;
    const core = ready?.cores.get(shard);
    const end = ready?.ends.get(shard);
    if (ready === undefined || core === undefined || end === undefined) return;
    if (seq > end) {
      if (!ended.has(shard)) over.reject(new Error(`the inbox was made anew: record ${end} of shard ${shard} is gone`));
      return;
    }
    if (seq > core.seq && !failed.has(shard)) {
      if (crashes.isQuarantined(shard, seq)) core.pass(seq, timestamp);
      else if (!(await isApplied(core, message))) failed.add(shard);
    }
    open ??= ready.cores.size;
    if (seq !== end) return;
    ended.add(shard);
    if (--open === 0) over.resolve();
  };
  const first = Math.min(...heads.map(({ seq }) => seq)) + 1;
  const reading = await env.inbox.read([...claims.keys()], first, onMessage);
  reading.done.catch(over.reject);
  try {
    const [gap, ready] = await Promise.all([gapOf(env, heads), prepared]);
    if (ready !== undefined && ready.cores.size > 0) await over.promise;
    return { failed, gap };
  } finally {
    await reading.stop();
  }
}

/** Returns the sequence of each shard's record. */
async function appendOwnership(
  env: Environment,
  claims: readonly Pick<Claim, 'head'>[],
  more: Pick<OwnershipRecord, 'lost'> = {},
): Promise<Map<number, number>> {
  const ends = new Map<number, number>();
  for (let from = 0; from < claims.length; from += LIMITS.batchMessages) {
    const part = claims.slice(from, from + LIMITS.batchMessages);
    const messages = part.map(({ head: { shard, epoch } }) => {
      const record: OwnershipRecord = { k: 'ownership', c: 0, epoch, node: env.node, ...more };
      return { shard, body: envelopeOf([record]) };
    });
    const seqs = await untilOk(env, 'ownership records', () => env.inbox.append(messages));
    part.forEach(({ head }, at) => ends.set(head.shard, seqs[at] as number));
  }
  return ends;
}

/** False when the log names an owner that is newer than this one. */
function applyOne(
  core: Shard,
  message: InboxMessage,
  epoch: number,
  seen: Map<number, number>,
  reads: number | undefined,
): boolean {
  const envelope = decodeEnvelope(message.body, reads);
  for (const record of envelope.r) {
    if (record.k !== 'ownership' || record.epoch <= epoch) continue;
    // Postgres and the fence are older than the log: our epoch is not the highest.
    seen.set(core.shard, Math.max(seen.get(core.shard) ?? 0, record.epoch));
    return false;
  }
  core.apply(message.seq, message.timestamp, envelope);
  return true;
}

async function inGroups<T, R>(items: readonly T[], size: number, act: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let from = 0; from < items.length; from += size) {
    results.push(...(await Promise.all(items.slice(from, from + size).map(act))));
  }
  return results;
}
