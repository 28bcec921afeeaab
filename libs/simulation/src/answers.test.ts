import type { TaskView } from '@belfry/protocol';
import { expect, it } from 'vitest';

import { acknowledged, contradiction } from './answers.ts';
import type { KnownTask, Version } from './known-task.ts';

function version(number: number, changes: Partial<Version> = {}): Version {
  const stored = { storedAt: number * 10, ackedAt: number * 10 + 5 };
  return { number, kind: 'every', fires: [100, 200], ...stored, refused: false, ...changes };
}

function taskOf(versions: Version[], changes: Partial<KnownTask> = {}): KnownTask {
  const none = {
    catchUp: 'all' as const,
    missed: new Set<number>(),
    over: new Set<number>(),
    cancelStoredAt: undefined,
    cancelAckedAt: undefined,
    running: new Set(''),
  };
  return { id: 'one', versions, allowed: new Set([100, 200]), ...none, ...changes };
}

function viewOf(state: TaskView['state'], number = 0): TaskView {
  return { state, payload: { version: number, takesMs: 0, failures: 0 } } as unknown as TaskView;
}

function wrong(task: KnownTask, view: TaskView | undefined, over: readonly number[] = []): string | undefined {
  return contradiction(task, acknowledged(task), view, (fire) => over.includes(fire));
}

it('takes a task that was acknowledged for missing, until all of its fires may be over', () => {
  const task = taskOf([version(0)]);
  expect(wrong(task, undefined)).toMatch(/there is none/);
  expect(wrong(task, undefined, [100])).toMatch(/there is none/);
  expect(wrong(task, undefined, [100, 200])).toBeUndefined();
  expect(wrong(task, viewOf('finished'), [100])).toMatch(/finished/);
  expect(wrong(taskOf([version(0, { ackedAt: undefined })]), undefined)).toBeUndefined();
});

it('holds an answer against the cancel that was acknowledged before it was asked for', () => {
  const versions = [version(0)];
  const known = acknowledged(taskOf(versions));
  const cancelled = taskOf(versions, { cancelStoredAt: 50, cancelAckedAt: 60 });
  expect(wrong(cancelled, viewOf('waiting'))).toMatch(/cancel was acknowledged/);
  expect(wrong(cancelled, undefined, [100, 200])).toMatch(/cancel was acknowledged/);
  expect(wrong(cancelled, viewOf('cancelled'))).toBeUndefined();
  expect(wrong(cancelled, viewOf('finished'), [100, 200])).toBeUndefined();
  expect(contradiction(cancelled, known, viewOf('waiting'), () => false)).toBeUndefined();
  expect(wrong(taskOf(versions), viewOf('cancelled'))).toMatch(/no cancel/);
});

it('holds an answer against the update that was acknowledged before it was asked for', () => {
  const task = taskOf([version(0), version(1), version(2, { ackedAt: undefined })]);
  expect(wrong(task, viewOf('waiting', 0))).toMatch(/version is 0, and 1/);
  expect(wrong(task, viewOf('waiting', 1))).toBeUndefined();
  expect(wrong(task, viewOf('waiting', 2))).toBeUndefined();
  expect(wrong(taskOf([version(0), version(1, { storedAt: undefined })]), viewOf('waiting', 1))).toMatch(/no inbox/);
});
