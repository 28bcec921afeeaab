import { createProjectGraphAsync } from '@nx/devkit';

/**
 * Makes the graph of projects that @nx/enforce-module-boundaries reads. Without one, or with one of yesterday, the rule
 * says nothing and passes. Tasks of Nx have it already.
 */
export async function ensureProjectGraph() {
  if (process.env['NX_TASK_TARGET_PROJECT'] !== undefined) return;
  process.env['NX_DAEMON'] = 'false';
  await createProjectGraphAsync({ exitOnError: false });
}
