import { connectNats, requestJson, type NatsLink } from '@belfry/adapter-nats';
import { BelfryError, subjects, wireError, type OperatorOp, type WireError } from '@belfry/protocol';

import type { Operators } from './operators.ts';

const CONNECT_MS = 3_000;
/** How long a leader is waited for: a stand-by leads after three seconds at most, where others are heard. */
const LEADER_MS = 8_000;
const AGAIN_MS = 250;
const ANSWER_MS = 5_000;
const NODE_MS = 2_000;

type Answer<T> = T | { readonly error: WireError };

/** @throws NatsFailure when NATS cannot be reached */
export async function openOperators(url: string): Promise<Operators> {
  const link = await connectNats(url, { name: 'belfry operator', timeoutMs: CONNECT_MS });
  return {
    cluster: () => askLeader(link, 'cluster', {}),
    shards: async (node) => {
      const outcome = await requestJson<never>(
        link,
        subjects.operatorsOfNode(node, 'shards'),
        {},
        { timeoutMs: NODE_MS },
      );
      return outcome.kind === 'ok' ? outcome.value : undefined;
    },
    move: (request) => askLeader(link, 'move', request),
    drain: (request) => askLeader(link, 'drain', request),
    close: () => link.close(),
  };
}

/** Asks until a leader answers. @throws BelfryError */
async function askLeader<T extends object>(link: NatsLink, op: OperatorOp, request: object): Promise<T> {
  const deadline = performance.now() + LEADER_MS;
  for (;;) {
    const outcome = await requestJson<Answer<T>>(link, subjects.operators(op), request, { timeoutMs: ANSWER_MS });
    if (outcome.kind === 'refused') throw new BelfryError(wireError('internal', 'an answer that is not JSON'));
    const error: WireError | undefined =
      outcome.kind === 'retry'
        ? wireError('unavailable', 'no supervisor leads at present')
        : 'error' in outcome.value
          ? outcome.value.error
          : undefined;
    if (error === undefined && outcome.kind === 'ok') return outcome.value as T;
    if (error !== undefined && (error.code !== 'unavailable' || performance.now() >= deadline))
      throw new BelfryError(error);
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}
