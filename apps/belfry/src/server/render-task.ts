import { taskView } from '@belfry/gateway';
import type { Body } from '@belfry/ports';
import type { TaskView } from '@belfry/protocol';
import type { Environment } from '@belfry/scheduler';

type TaskGlance = Parameters<Environment['renderTask']>[1];

/**
 * A task as clients see it. What the shard says counts: the body may be the whole row that a checkpoint is writing, with the schedule of before
 * an update.
 */
export function renderTask(shard: number, glance: TaskGlance, body: Body): TaskView {
  return taskView({ shard, ...body, ...glance });
}
