export * from './checkpoint-store.ts';
export * from './inbox.ts';
export * from './lease-store.ts';
export * from './outcome.ts';
export * from './queries.ts';
export * from './task-slice.ts';
export * from './work-queue.ts';
export * from './inbox-bundles.ts';
