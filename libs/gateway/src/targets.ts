import { encodeTarget, LIMITS, targetOf, type CatchUp, type TaskDraft } from '@belfry/protocol';

import { GenerationalCache } from './generational-cache.ts';

/** Encoded targets as JSON strings. Tasks have few distinct ones, so their texts are kept. */
export class Targets {
  readonly #known = new GenerationalCache<string>(LIMITS.gatewayCacheEntries);

  jsonOf(namespace: string, draft: TaskDraft, catchUp: CatchUp | undefined): string {
    const { queue, handler, priority, timeoutMs, precision, retry } = draft;
    if (retry !== undefined || catchUp !== undefined) return encode(namespace, draft, catchUp);
    const key = `${namespace}.${queue}.${handler}.${priority}.${timeoutMs}.${precision}`; // names have no dots
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const text = encode(namespace, draft, undefined);
    this.#known.set(key, text);
    return text;
  }
}

function encode(namespace: string, draft: TaskDraft, catchUp: CatchUp | undefined): string {
  return JSON.stringify(encodeTarget(targetOf(namespace, draft, catchUp)));
}
