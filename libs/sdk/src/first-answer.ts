/**
 * Asks, and asks again after each of `pausesMs` in which no final answer came. Resolves with the first outcome that is final; with one that is
 * not when no question is open any more. Rejects when a question does.
 */
export async function firstAnswer<T>(
  ask: () => Promise<T>,
  pausesMs: readonly number[],
  isFinal: (outcome: T) => boolean,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  let open = 0;
  let timer: NodeJS.Timeout | undefined;
  const send = (pauses: readonly number[]): void => {
    const [pauseMs, ...rest] = pauses;
    if (pauseMs !== undefined) timer = setTimeout(() => send(rest), pauseMs);
    open++;
    ask().then((outcome) => {
      open--;
      if (open === 0 || isFinal(outcome)) resolve(outcome);
    }, reject);
  };
  send(pausesMs);
  return await promise.finally(() => clearTimeout(timer));
}
