import { LIMITS, type InboxRecord } from '@belfry/protocol';
import type { InboxAppend, WorkRef } from '@belfry/ports';
import type { Reply } from '@belfry/shard';
import { pause, type Environment } from './environment.ts';
import type { HostedShard } from './hosted-shard.ts';

/** Whether an answer names executions that may not have reached a worker yet. */
export function isCancelWithRunning({ answer }: Reply): boolean {
  return answer.ok && answer.status === 'cancelled' && answer.running.length > 0;
}

/**
 * Takes back what of a cancelled task no worker has been given, before the cancel is answered: those executions end as cancelled, and
 * the answer names the others as running.
 *
 * Z1. After the answer, nothing of the task is dispatched: what was not published yet is not going to be.
 * Z2. That an execution was taken back stands in the inbox before the answer says so.
 */
export async function takeBack(env: Environment, host: HostedShard, reply: Reply): Promise<Reply> {
  const { answer } = reply;
  if (!answer.ok || answer.status !== 'cancelled') return reply;
  const refs = host.core.workRefs(answer.running);
  const unpublished = refs.filter(({ execution }) => host.dropPrepared(execution)); // Z1
  await host.publishing;
  const published = refs.filter((ref) => !unpublished.includes(ref));
  const withdrawn = await env.work.withdraw(published).catch((error: unknown) => {
    env.log.warn('dispatched work of a cancelled task cannot be taken back', { error: String(error) });
    return [];
  });
  const taken = [...unpublished, ...withdrawn];
  if (!(await give(env, host, taken))) return reply;
  const back = new Set(taken.map(({ execution }) => execution));
  return { ...reply, answer: { ...answer, running: answer.running.filter((execution) => !back.has(execution)) } };
}

/** Appends that these executions were returned unrun (Z2). False when the shard went to another owner before. */
async function give(env: Environment, host: HostedShard, taken: readonly WorkRef[]): Promise<boolean> {
  if (taken.length === 0) return true;
  const messages: InboxAppend[] = [];
  for (let from = 0; from < taken.length; from += LIMITS.batchItems) {
    const r = taken.slice(from, from + LIMITS.batchItems).map(returned);
    messages.push({ shard: host.core.shard, body: JSON.stringify({ v: 1, g: '', r }) });
  }
  for (let attempt = 1; !host.gone; attempt++) {
    const outcome = await env.inbox.append(messages);
    if (outcome.kind === 'ok') return true;
    await pause(env.timers, attempt);
  }
  return false;
}

function returned({ execution: x, namespace: ns, attempt: a }: WorkRef): InboxRecord {
  return { k: 'result', c: 0, x, ns, a, o: 'returned', w: '', dl: 0, st: 0, fi: 0 };
}
