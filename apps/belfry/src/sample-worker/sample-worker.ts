import type { Json } from '@belfry/protocol';
import { defineTask, Worker } from '@belfry/sdk';

import { SAFE_HANDLERS, SHELL_HANDLERS, type SampleHandler } from './handlers.ts';

export interface SampleWorkerOptions {
  readonly url: string;
  readonly namespace: string;
  /** Registers the shell handler, which runs what it is sent. */
  readonly allowShell: boolean;
  /** Queue of echo, sleep, fail and noop. Default `default`. */
  readonly queue?: string;
  /** Default `shell`. */
  readonly shellQueue?: string;
  /** Executions at the same time. Default 16. */
  readonly concurrency?: number;
}

export interface RunningSampleWorker {
  readonly queues: readonly string[];
  readonly handlers: readonly string[];
  /** Finishes or returns what it holds. */
  stop(): Promise<void>;
}

const CONCURRENCY = 16;

function define(queue: string, handlers: { readonly [name: string]: SampleHandler }) {
  return Object.entries(handlers).map(([name, handler]) => defineTask<Json>({ name, queue }).handler(handler));
}

/** Starts the worker that `belfry dev` and `belfry worker` run. */
export async function startSampleWorker(options: SampleWorkerOptions): Promise<RunningSampleWorker> {
  const { url, namespace, allowShell, queue = 'default', shellQueue = 'shell', concurrency = CONCURRENCY } = options;
  const handlers = [...define(queue, SAFE_HANDLERS), ...(allowShell ? define(shellQueue, SHELL_HANDLERS) : [])];
  const worker = new Worker({ url, namespace, handlers, concurrency });
  await worker.start();
  return {
    queues: [...new Set([queue, ...(allowShell ? [shellQueue] : [])])],
    handlers: [...Object.keys(SAFE_HANDLERS), ...(allowShell ? Object.keys(SHELL_HANDLERS) : [])],
    stop: () => worker.stop(),
  };
}
