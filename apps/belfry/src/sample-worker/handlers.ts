import { setTimeout as sleep } from 'node:timers/promises';

import type { Json } from '@belfry/protocol';
import { FatalError, type HandlerContext } from '@belfry/sdk';

import { readShellPayload, runShell } from './shell.ts';

/** Takes what the sample handlers use of an execution's context. */
export type SampleHandler = (context: Pick<HandlerContext<Json>, 'payload' | 'signal' | 'attempt'>) => Promise<Json>;

function field(payload: Json, name: string): unknown {
  return typeof payload === 'object' && payload !== null ? (payload as { [name: string]: unknown })[name] : undefined;
}

/** Gives back what it got. */
const echo: SampleHandler = async ({ payload }) => payload;

const noop: SampleHandler = async () => null;

/** `{"ms": 500}`, or a number; default 1,000. */
const sleepHandler: SampleHandler = async ({ payload, signal }) => {
  const asked = typeof payload === 'number' ? payload : (field(payload, 'ms') ?? 1_000);
  if (typeof asked !== 'number' || !(asked >= 0)) throw new Error('ms must be a number, 0 or more');
  await sleep(asked, undefined, { signal });
  return { sleptMs: asked };
};

/** Fails; with `{"times": 2}` only in the first two attempts, to show a retry. */
const fail: SampleHandler = async ({ payload, attempt }) => {
  const times = field(payload, 'times');
  if (typeof times === 'number' && attempt > times) return { succeededInAttempt: attempt };
  const message = field(payload, 'message');
  throw new Error(typeof message === 'string' ? message : `failed as asked, attempt ${attempt}`);
};

const shell: SampleHandler = async ({ payload, signal }) => {
  const read = readShellPayload(payload);
  if (typeof read === 'string') throw new FatalError(read);
  return { ...(await runShell(read, signal)) };
};

/** Handlers that are safe anywhere. */
export const SAFE_HANDLERS: { readonly [name: string]: SampleHandler } = { echo, noop, sleep: sleepHandler, fail };
/** Runs what it is sent: only where the operator allowed it. */
export const SHELL_HANDLERS: { readonly [name: string]: SampleHandler } = { shell };
