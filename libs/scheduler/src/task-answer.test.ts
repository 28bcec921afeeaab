import { LIMITS } from '@belfry/protocol';
import type { TaskGlance } from '@belfry/shard';
import { expect, it } from 'vitest';
import { taskAnswer } from './task-answer.ts';

/** A task with executions that have failed once each. */
function failing(count: number, error: string): TaskGlance {
  const executions = Array.from({ length: count }, (_, n) => ({
    id: `e${n}`,
    scheduledAt: n,
    state: 'retrying' as const,
    attempt: 1,
    dispatchedAt: n,
    attempts: [
      {
        attempt: 1,
        outcome: 'failed' as const,
        worker: 'w',
        dispatchedAt: n,
        deliveredAt: n,
        startedAt: n,
        finishedAt: n,
        acceptedAt: n,
        error,
      },
    ],
    epoch: 1,
  }));
  return { id: 't', schedule: 'e1000', target: '[]', createdAt: 0, state: 'retrying', next: [], executions };
}

const told = (glance: TaskGlance): TaskGlance =>
  (JSON.parse(taskAnswer(glance, (shown) => shown)) as { readonly task: TaskGlance }).task;

it('tells all executions while they fit', () => {
  const task = told(failing(50, 'no'));
  expect(task.executions).toHaveLength(50);
  expect(task).not.toHaveProperty('executionsLeftOut');
});

it('tells the latest executions that fit a message, and how many it leaves out', () => {
  const answer = taskAnswer(failing(2_000, '\u0001'.repeat(LIMITS.errorChars)), (shown) => shown);
  expect(answer.length).toBeLessThanOrEqual(LIMITS.messageBytes);
  const { executions, executionsLeftOut = 0 } = (JSON.parse(answer) as { readonly task: TaskGlance }).task;
  expect(executions.length).toBeGreaterThan(10);
  expect(executions.length + executionsLeftOut).toBe(2_000);
  expect(executions.at(-1)?.id).toBe('e1999');
});

it('tells a task without an execution that fits no message', () => {
  const task = told(failing(1, 'x'.repeat(LIMITS.messageBytes)));
  expect(task).toMatchObject({ executions: [], executionsLeftOut: 1 });
});
