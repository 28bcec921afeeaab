export interface FirstAnswer<T> {
  /** No question waits for longer than what is left of these. */
  readonly withinMs: number;
  /** It is asked again after each of them in which no final answer came. */
  readonly pausesMs: readonly number[];
  readonly isFinal: (outcome: T) => boolean;
}

/**
 * Asks, and asks again in silence. Resolves with the first outcome that is final; with one that is not when no question is open any more.
 * Rejects when a question does.
 */
export async function firstAnswer<T>(
  ask: (timeoutMs: number) => Promise<T>,
  { withinMs, pausesMs, isFinal }: FirstAnswer<T>,
): Promise<T> {
  const endMs = performance.now() + withinMs;
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  let open = 0;
  let timer: NodeJS.Timeout | undefined;
  const send = (pauses: readonly number[]): void => {
    const [pauseMs, ...rest] = pauses;
    if (pauseMs !== undefined) timer = setTimeout(() => send(rest), pauseMs);
    open++;
    ask(Math.max(1, endMs - performance.now())).then((outcome) => {
      open--;
      if (open === 0 || isFinal(outcome)) resolve(outcome);
    }, reject);
  };
  send(pausesMs);
  return await promise.finally(() => clearTimeout(timer));
}
