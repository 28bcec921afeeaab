import { envelopeOf, LIMITS, type InboxRecord } from '@belfry/protocol';
import type { AttemptRef, InboxAppend, WorkRef } from '@belfry/ports';
import type { Reply } from '@belfry/shard';
import { pause, type Environment } from './environment.ts';
import type { HostedShard } from './hosted-shard.ts';

/** Whether an answer names executions that may not have reached a worker yet. */
export function isCancelWithRunning({ answer }: Reply): boolean {
  return answer.ok && answer.status === 'cancelled' && answer.running.length > 0;
}

/**
 * Takes back what of a cancelled task no worker has been given, before the cancel is answered: those executions end as cancelled, and
 * the answer names the others as running. What else was in the messages that are taken back gets others.
 *
 * Z1. After the answer, nothing of the task is dispatched: what was not published yet is not going to be.
 * Z2. That an execution was taken back stands in the inbox before the answer says so.
 */
export async function takeBack(env: Environment, host: HostedShard, reply: Reply): Promise<Reply> {
  const { answer } = reply;
  if (!answer.ok || answer.status !== 'cancelled') return reply;
  const { core } = host;
  const unpublished = new Set(answer.running.filter((execution) => host.dropPrepared(execution))); // Z1
  await host.publishing;
  const messages = new Set<WorkRef>();
  const taken: Taken[] = [];
  for (const { id, attempt, target, message } of core.dispatched(answer.running)) {
    if (unpublished.has(id)) taken.push({ namespace: target.namespace, execution: id, attempt });
    else if (message !== undefined) messages.add(message);
  }
  const withdrawn = await env.work.withdraw([...messages]).catch((error: unknown) => {
    env.log.warn('dispatched work of a cancelled task cannot be taken back', { error: String(error) });
    return [];
  });
  taken.push(...withdrawn.flatMap(takenOf));
  if (!(await giveBack(env, core.shard, taken, () => host.gone))) return reply;
  const back = new Set(taken.map(({ execution }) => execution));
  return { ...reply, answer: { ...answer, running: answer.running.filter((execution) => !back.has(execution)) } };
}

/** An attempt that was taken back before any worker had it. */
export interface Taken extends AttemptRef {
  readonly namespace: string;
}

export function takenOf({ namespace, attempts }: WorkRef): Taken[] {
  return attempts.map((attempt) => ({ namespace, ...attempt }));
}

/** Appends that these attempts were returned unrun (Z2). False when `isGone` before: the shard is another owner's. */
export async function giveBack(
  env: Environment,
  shard: number,
  taken: readonly Taken[],
  isGone: () => boolean,
): Promise<boolean> {
  if (taken.length === 0) return true;
  const messages: InboxAppend[] = [];
  for (let from = 0; from < taken.length; from += LIMITS.batchItems) {
    const r = taken.slice(from, from + LIMITS.batchItems).map(returned);
    messages.push({ shard, body: envelopeOf(r) });
  }
  for (let attempt = 1; !isGone(); attempt++) {
    const outcome = await env.inbox.append(messages);
    if (outcome.kind === 'ok') return true;
    await pause(env.timers, attempt);
  }
  return false;
}

function returned({ namespace: ns, execution: x, attempt: a }: Taken): InboxRecord {
  return { k: 'result', c: 0, x, ns, a, o: 'returned', w: '', dl: 0, st: 0, fi: 0 };
}
