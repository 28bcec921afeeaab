import type { Body } from '@belfry/ports';
import type { TaskView } from '@belfry/protocol';

import { taskView, type TaskFacts } from './views.ts';

/**
 * A task as clients see it, of what its shard knows and its body. The shard's word counts: the body may be the whole row that a checkpoint
 * is writing, with the schedule of before an update.
 */
export function renderTask(
  shard: number,
  glance: Omit<TaskFacts, 'shard' | keyof Body> & Pick<Body, 'createdAt'>,
  body: Body,
): TaskView {
  return taskView({ shard, ...body, ...glance });
}
