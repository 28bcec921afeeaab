import { taskIdOfKey } from '@belfry/protocol';
import { seeded } from '@belfry/timing/testing';
import { describe, expect, it } from 'vitest';
import { TASK_FREE, TASK_WAITING, TaskTable } from './task-table.ts';

describe('TaskTable', () => {
  it('agrees with a plain map over a random walk', () => {
    const random = seeded(1);
    const table = new TaskTable({ tickMs: 1, startMs: 0 });
    const model = new Map<string, number>();
    for (let step = 0; step < 20_000; step++) {
      const id = taskIdOfKey('acme', String(Math.floor(random() * 500)));
      const slot = model.get(id) ?? -1;
      expect(table.find(id)).toBe(slot);
      if (slot < 0) {
        const added = table.add(id);
        table.state[added] = TASK_WAITING;
        model.set(id, added);
        expect(table.idOf(added)).toBe(id);
      } else {
        table.remove(slot);
        model.delete(id);
        expect(table.state[slot]).toBe(TASK_FREE);
      }
      if (step % 500 === 0) table.assertInvariants();
    }
    expect(new Set(model.values()).size).toBe(table.size);
  });

  it('spreads the ids that Belfry makes: runs in the index stay short', () => {
    const table = new TaskTable({ tickMs: 1, startMs: 0 });
    for (let at = 0; at < 24_000; at++) table.state[table.add(taskIdOfKey('acme', String(at)))] = TASK_WAITING;
    expect(table.longestRun()).toBeLessThan(200);
  });
});
