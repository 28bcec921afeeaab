import { NO_FIRES, type ActiveRow, type Fence, type InboxMessage, type ShardHead, type WorkRef } from '@belfry/ports';
import { decodeEnvelope, envelopeOf, LIMITS, type OwnershipRecord } from '@belfry/protocol';
import { Interned, Shard, type Reconciled } from '@belfry/shard';
import { giveBack, takenOf } from './cancels.ts';
import { breathe, pause, type Environment } from './environment.ts';

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
 * Messages that are in no checkpoint and not in the inbox any more: the store was put back to a state that is older than what the inbox
 * keeps, or the inbox was lost. What was acknowledged between the two instants may be missing.
 */
export interface InboxGap {
  readonly shards: readonly number[];
  /** The first sequence that is missing for one of them, and the first that is there. */
  readonly fromSeq: number;
  readonly untilSeq: number;
  /** Up to when the shard that lags most had looked, by its checkpoint, and when it was found; ms since 1970. */
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

/**
 * Takes shards over, in this order: epoch, fence, rows beside surviving work and ownership record, replay; only then does the caller
 * dispatch.
 * `seen` holds epochs that are known from elsewhere, and learns those that the replay finds.
 *
 * R1. Nothing is loaded before the epoch is taken: an older owner's checkpoint can no longer change what is loaded.
 * R2. Surviving work is listed after the fence is taken: nothing can be added by an older owner afterwards.
 * R3. The replay ends at the shard's own ownership record: every result whose work message was gone in R2 lies before it.
 * R4. That the work stream has lost what was dispatched stands in the inbox before a fence in the new stream hides it.
 * R5. What is wrong with one shard keeps no other from being taken over.
 */
export async function takeOver(
  env: Environment,
  interned: Interned,
  shards: readonly number[],
  crashes: Crashes,
  seen: Map<number, number>,
): Promise<Takeover> {
  const incarnation = await env.work.incarnation();
  const claims = await claim(env, shards, seen);
  if ([...claims.values()].some(({ fence }) => fence.incarnation !== incarnation)) {
    // The stream was lost while fences were asked for: those that stand in the new one must not hide it, whatever comes next.
    await appendOwnership(env, [...claims.values()], { lost: true }); // R4
    return { taken: [], again: shards, faulty: new Map() };
  }
  // While the rows come, the rest goes on: nothing of it depends on them.
  const [{ cores, faulty }, survivors] = await Promise.all([
    loadCores(env, interned, claims),
    announce(env, claims, incarnation),
  ]);
  if (survivors === undefined) return { taken: [], again: shards, faulty: new Map() };
  const { surviving, ends } = survivors;
  const gap = await gapOf(env, cores, claims);
  const failed = await replay(env, cores, claims, ends, crashes, seen);
  const taken: TakenShard[] = [];
  for (const core of cores.values()) {
    if (failed.has(core.shard)) continue;
    const { head, fence, fencedBefore } = claims.get(core.shard) as Claim;
    let survived: Reconciled;
    try {
      survived = core.reconcile(surviving.get(core.shard) ?? [], isLost(head, fencedBefore), env.clock.now());
    } catch (error) {
      faulty.set(core.shard, error);
      continue;
    }
    await clear(env, core.shard, survived);
    taken.push({ core, fence, checkpointedSeq: head.seq });
    await breathe(env.timers);
  }
  return { taken, again: [...failed], faulty, ...(gap === undefined ? {} : { gap }) };
}

/** Told in the log too: it is the one way in which something acknowledged is lost. */
async function gapOf(
  env: Environment,
  cores: ReadonlyMap<number, Shard>,
  claims: ReadonlyMap<number, Claim>,
): Promise<InboxGap | undefined> {
  const { firstSeq } = await env.inbox.usage();
  // A shard without any checkpoint has missed nothing of its own.
  const behind = [...cores.values()].filter(({ seq }) => seq > 0 && seq + 1 < firstSeq);
  if (behind.length === 0) return undefined;
  const gap: InboxGap = {
    shards: behind.map(({ shard }) => shard).toSorted((a, b) => a - b),
    fromSeq: Math.min(...behind.map(({ seq }) => seq)) + 1,
    untilSeq: firstSeq,
    sinceMs: Math.min(...behind.map(({ shard }) => (claims.get(shard) as Claim).head.watermark)),
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

/**
 * Loads shards that another node owns, and forgets them: so that connections, compiled code and the database's pages are warm when they
 * stand still for their takeover. It changes nothing.
 */
export async function rehearse(env: Environment, shards: readonly number[]): Promise<void> {
  const head = { epoch: 0, seq: 0, watermark: env.clock.now(), counters: NO_FIRES, gaps: [] };
  const unclaimed = new Map(shards.map((shard) => [shard, { head: { shard, ...head } }]));
  await loadCores(env, new Interned(), unclaimed);
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
  /** The epoch in the fence before; 0 when the work stream knew none. */
  readonly fencedBefore: number;
}

/** Whether the work stream has lost what the owners before had dispatched. */
function isLost(head: ShardHead, fencedBefore: number): boolean {
  return fencedBefore === 0 && head.epoch > 1;
}

/** Epoch and fence of each shard; where another node was quicker, again with the next epoch. */
async function claim(
  env: Environment,
  shards: readonly number[],
  seen: Map<number, number>,
): Promise<Map<number, Claim>> {
  const claims = new Map<number, Claim>();
  for (let open = shards; open.length > 0; open = open.filter((shard) => !claims.has(shard))) {
    const fenced = new Map(
      await inGroups(open, 64, async (shard) => [shard, await env.work.fencedEpoch(shard)] as const),
    );
    const atLeast = open.map((shard) => Math.max(seen.get(shard) ?? 0, fenced.get(shard) as number));
    const heads = await untilOk(env, 'epochs', () => env.store.takeEpochs(open, env.node, atLeast));
    const losers = heads.filter((head) => isLost(head, fenced.get(head.shard) as number));
    await appendOwnership(
      env,
      losers.map((head) => ({ head })),
      { lost: true },
    ); // R4
    await inGroups(heads, 64, async (head) => {
      const fence = await untilFenced(env, head, fenced.get(head.shard) as number);
      if (typeof fence === 'string')
        env.log.warn(
          fence === 'lost'
            ? 'the fences were lost with the work stream, taking the next epoch' // R4
            : 'another node fenced a shard first, taking the next epoch',
          { shard: head.shard },
        );
      else claims.set(head.shard, { head, fence, fencedBefore: fenced.get(head.shard) as number });
    });
  }
  return claims;
}

async function untilFenced(
  env: Environment,
  { shard, epoch }: ShardHead,
  before: number,
): Promise<Fence | 'fenced' | 'lost'> {
  for (let attempt = 1; ; attempt++) {
    const outcome = await env.work.takeFence(shard, epoch, before);
    if (outcome.kind === 'ok') return outcome.value;
    if (outcome.kind === 'refused') return outcome.reason;
    env.log.warn('a fence cannot be taken, trying again', { shard, error: outcome.error.message });
    await pause(env.timers, attempt);
  }
}

async function loadCores(
  env: Environment,
  interned: Interned,
  claims: ReadonlyMap<number, Pick<Claim, 'head'>>,
): Promise<{ readonly cores: ReadonlyMap<number, Shard>; readonly faulty: Map<number, unknown> }> {
  const cores = new Map<number, Shard>();
  const active = new Map<number, Map<string, ActiveRow[]>>();
  const faulty = new Map<number, unknown>();
  const load = (shard: number, act: (core: Shard) => void): void => {
    const core = cores.get(shard);
    if (core === undefined) return; // it is faulty
    try {
      act(core);
    } catch (error) {
      faulty.set(shard, error);
      cores.delete(shard);
    }
  };
  await untilOk(env, 'shards', () => {
    const nowMs = env.clock.now();
    faulty.clear();
    for (const [shard, { head }] of claims) {
      cores.set(shard, new Shard({ shard, interned, head, nowMs, rememberMs: LIMITS.rememberMs }));
      active.set(shard, new Map());
    }
    return env.store.load(
      [...claims.keys()],
      (shard, rows) => {
        const byTask = active.get(shard) as Map<string, ActiveRow[]>;
        for (const row of rows) byTask.set(row.task, [...(byTask.get(row.task) ?? []), row]);
      },
      (shard, commands) => load(shard, (core) => core.loadCommands(commands)),
      (shard, rows) => load(shard, (core) => core.loadCalendars(rows)),
      (shard, rows) => load(shard, (core) => core.loadTasks(rows, active.get(shard) as Map<string, ActiveRow[]>)),
    );
  });
  return { cores, faulty };
}

/** Applies all messages up to the ownership records, at `ends`. Returns the shards for which that failed. */
async function replay(
  env: Environment,
  cores: ReadonlyMap<number, Shard>,
  claims: ReadonlyMap<number, Claim>,
  ends: ReadonlyMap<number, number>,
  crashes: Crashes,
  seen: Map<number, number>,
): Promise<Set<number>> {
  const shards = [...cores.keys()];
  if (shards.length === 0) return new Set();
  const first = Math.min(...[...cores.values()].map((core) => core.seq)) + 1;
  const failed = new Set<number>();
  const over = Promise.withResolvers<void>();
  let open = shards.length;
  const isApplied = async (message: InboxMessage): Promise<boolean> => {
    const { head } = claims.get(message.shard) as Claim;
    try {
      return applyOne(cores.get(message.shard) as Shard, message, head.epoch, seen, env.reads);
    } catch (error) {
      await countCrash(env, crashes, message, error);
      return false;
    }
  };
  const onMessage = async (message: InboxMessage): Promise<void> => {
    const { shard, seq, timestamp } = message;
    const core = cores.get(shard);
    const end = ends.get(shard);
    if (core === undefined || end === undefined || seq > end) return;
    if (seq > core.seq && !failed.has(shard)) {
      if (crashes.isQuarantined(shard, seq)) core.pass(seq, timestamp);
      else if (!(await isApplied(message))) failed.add(shard);
    }
    if (seq === end && --open === 0) over.resolve();
  };
  const reading = await env.inbox.read(shards, first, onMessage);
  reading.done.catch(over.reject);
  try {
    await over.promise;
  } finally {
    await reading.stop();
  }
  return failed;
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

async function untilOk<T>(
  env: Environment,
  what: string,
  act: () => Promise<{ kind: 'ok'; value: T } | { kind: 'retry'; error: Error } | { kind: 'refused'; reason: unknown }>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const outcome = await act();
    if (outcome.kind === 'ok') return outcome.value;
    env.log.warn(`takeover: ${what} not yet`, {
      error: outcome.kind === 'retry' ? outcome.error.message : String(outcome.reason),
      attempt,
    });
    await pause(env.timers, attempt);
  }
}

async function inGroups<T, R>(items: readonly T[], size: number, act: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let from = 0; from < items.length; from += size) {
    results.push(...(await Promise.all(items.slice(from, from + size).map(act))));
  }
  return results;
}
