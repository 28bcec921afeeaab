import { LIMITS } from '@belfry/protocol';
import type { TaskGlance } from '@belfry/shard';

/** Executions that are told at most. */
const MOST_SHOWN = 250;

/**
 * The answer to a query for one task, as JSON. A task may have more executions under way, with longer errors, than fit a message: then the
 * latest of them are told, as many as do.
 */
export function taskAnswer(glance: TaskGlance, render: (glance: TaskGlance) => unknown): string {
  const { executions } = glance;
  for (let shown = Math.min(executions.length, MOST_SHOWN); ; shown >>= 1) {
    const executionsLeftOut = executions.length - shown;
    const told = { ...glance, executions: executions.slice(executionsLeftOut), executionsLeftOut };
    const text = JSON.stringify({ task: render(executionsLeftOut === 0 ? glance : told) });
    if (shown === 0 || Buffer.byteLength(text) <= LIMITS.messageBytes) return text;
  }
}
