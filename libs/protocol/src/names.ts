import { LIMITS } from './limits.ts';

const NAME = new RegExp(`^[A-Za-z0-9_-]{1,${LIMITS.nameChars}}$`);

/** Whether `text` may stand as one token of a subject: namespace, queue, handler, worker id. */
export function isName(text: unknown): text is string {
  return typeof text === 'string' && NAME.test(text);
}
