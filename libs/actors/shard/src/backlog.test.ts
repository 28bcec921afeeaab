import { SlotLists } from '@belfry/timing';
import { expect, it } from 'vitest';
import { Backlog } from './backlog.ts';

const TASKS = 200;

it('forgets queues in which nothing waits, and no others, however many there have been', () => {
  const backlog = new Backlog(new SlotLists(TASKS + 1));
  for (let task = 0; task < TASKS; task++) {
    backlog.addSlot(`acme.kept-${task}`, 1, 0, task);
    for (let day = 0; day < 50; day++) {
      backlog.addSlot(`acme.of-${task}-${day}`, 1, 0, TASKS);
      backlog.removeSlot(`acme.of-${task}-${day}`, 1, 0, TASKS);
    }
  }
  expect(backlog.queues).toBeLessThanOrEqual(2 * TASKS + 1);
  expect(backlog).toMatchObject({ total: TASKS, fires: TASKS });
  for (let task = 0; task < TASKS; task++) {
    expect(backlog.firstSlot(`acme.kept-${task}`, 1, 0)).toBe(task);
    backlog.removeSlot(`acme.kept-${task}`, 1, 0, task);
  }
  for (let day = 0; day < 1_000; day++) {
    backlog.addSlot(`acme.later-${day}`, 2, 0, TASKS);
    backlog.removeSlot(`acme.later-${day}`, 2, 0, TASKS);
  }
  expect(backlog.queues).toBeLessThanOrEqual(2 * TASKS + 1);
});
