/**
 * Asks, and asks again after each of `pausesMs` in which no answer came. Resolves with the first outcome that is not `retry`; with a `retry`
 * when no question is open any more. Rejects when a question does.
 */
export async function firstAnswer<T extends { readonly kind: string }>(
  ask: () => Promise<T>,
  pausesMs: readonly number[],
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
      if (outcome.kind !== 'retry' || open === 0) resolve(outcome);
    }, reject);
  };
  send(pausesMs);
  return await promise.finally(() => clearTimeout(timer));
}
